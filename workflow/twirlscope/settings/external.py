"""Settings of a run that is not trained here: a calculator of another package, and the process that runs it."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from .base import Settings, key

ALIASES = {"class_name": "calculator", "kwargs": "arguments"}  # as ml-peg writes a calculator, `module` beside them


class ExternalSettings(Settings):
    """A calculator of ASE, its environment, its checkpoints, and the limits of its calls."""

    calculator: str = key(
        ..., "`module:name` of a class or factory that makes a calculator of ASE, or `file.py:factory`"
    )
    arguments: dict[str, Any] = key(
        {}, "keyword arguments of the calculator; `{checkpoint}` and `{step}` in a text stand for those of a checkpoint"
    )
    checkpoints: Any = key(
        "",
        "pattern of files with `{step}` for a whole number, or a mapping from steps to files; empty for one model",
        json_schema_extra={"type": ["string", "object"]},
    )
    python: str = key("", "Python of the environment that has the calculator; empty for the Python of this workflow")
    batched: str = key(
        "",
        "`mace`, `chgnet`, `metatomic` or `file.py:function`, which evaluates many structures in one call; empty for "
        "one structure at a time",
    )
    batch: int = key(32, "structures in one call of the batch function", shapes=(), ge=1)
    trust: bool = key(False, "must be true: the calculator is code from elsewhere, and it is run")
    reset: bool = key(True, "whether `reset()` of the calculator is called before every structure")
    stress: bool = key(False, "whether stresses of periodic frames are measured too")
    subtract_noise: bool = key(
        False, "whether the variance of the noise, two calls for one input, is subtracted; the report says so"
    )
    floor_samples: int = key(16, "samples whose noise and rounding error are measured", ge=2)
    jacobian: int = key(
        0,
        "samples whose force Jacobian is measured by displacements; each costs 6 calls per atom and checkpoint",
        ge=0,
    )
    max_calls: int = key(
        0, "calls of the calculator above which a job refuses to start; 0 for no limit", shapes=(), ge=0
    )
    workers: int = key(1, "processes that share the structures", shapes=(), ge=1)
    threads: int = key(1, "threads of each process", shapes=(), ge=1)
    timeout: float = key(
        600.0, "longest time for a structure or a batch; then the process is replaced", "s", shapes=(), gt=0
    )
    start_timeout: float = key(
        600.0, "longest time for imports and construction of the calculator", "s", shapes=(), gt=0
    )

    @model_validator(mode="before")
    @classmethod
    def _as_other_tools_write_it(cls, values: Any) -> Any:
        """`module`, `class_name` and `kwargs` as ml-peg writes them."""
        if not isinstance(values, dict) or "module" not in values or "calculator" in values:
            return values
        found = {ALIASES.get(k, k): v for k, v in values.items() if k != "module"}
        return found | {"calculator": f"{values['module']}:{found.get('calculator', '')}"}
