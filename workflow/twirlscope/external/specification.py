"""Specification of an external model: its checkpoints, the arguments of each, its files, and what is refused early."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..settings.external import ExternalSettings
from .client import Spec

ADAPTERS = Path(__file__).parent / "adapters"


def series(settings: ExternalSettings, where: str) -> dict[int, str]:
    """File of each step, ascending; `{0: ""}` without checkpoints.

    Raises:
        UserError: no file fits the pattern, a step is no whole number, or a file does not exist.
    """
    where = f"{where}.checkpoints"
    if not settings.checkpoints:
        return {0: ""}
    if isinstance(settings.checkpoints, str):
        return _matching(settings.checkpoints, where)
    if not isinstance(settings.checkpoints, dict):
        raise UserError(where, "a pattern with {step}, or a mapping from steps to files", repr(settings.checkpoints))
    found = {}
    for step, file in settings.checkpoints.items():
        if isinstance(step, bool) or not re.fullmatch(r"\d+", str(step)):
            raise UserError(where, "steps that are whole numbers from 0", repr(step))
        if not Path(str(file)).exists():
            raise UserError(where, "a file that exists", repr(file))
        found[int(step)] = str(file)
    return dict(sorted(found.items()))


def _matching(pattern: str, where: str) -> dict[int, str]:
    """Files of a pattern by the step in their names."""
    if pattern.count("{step}") != 1:
        raise UserError(where, "a pattern with one {step}", repr(pattern))
    before, after = pattern.split("{step}")
    files = sorted(glob.glob(f"{glob.escape(before)}*{glob.escape(after)}"))
    found = {}
    for file in files:
        step = file[len(before) : len(file) - len(after)]
        if not re.fullmatch(r"\d+", step):
            raise UserError(where, "files whose {step} is a whole number", repr(file))
        if int(step) in found:
            raise UserError(where, "one file per step", f"{found[int(step)]} and {file}")
        found[int(step)] = file
    if not found:
        raise UserError(where, "a pattern that a file fits", repr(pattern))
    return dict(sorted(found.items()))


def filled(value: Any, step: int, checkpoint: str) -> Any:
    """Arguments with `{step}` and `{checkpoint}` replaced in every text."""
    if isinstance(value, str):
        return value.replace("{checkpoint}", checkpoint).replace("{step}", str(step))
    if isinstance(value, Mapping):
        return {k: filled(v, step, checkpoint) for k, v in value.items()}
    return [filled(v, step, checkpoint) for v in value] if isinstance(value, list | tuple) else value


def adapter(name: str, where: str) -> str:
    """`file.py:function` of a batch function from its name.

    Raises:
        UserError: no adapter of that name, and no file.
    """
    if not name:
        return ""
    file = name.rpartition(":")[0]
    if file:
        if not Path(file).is_file():
            raise UserError(f"{where}.batched", "a Python file that exists, as `file.py:function`", repr(name))
        return name
    known = sorted(p.stem for p in ADAPTERS.glob("*.py") if p.stem != "__init__")
    if name not in known:
        raise UserError(f"{where}.batched", "an adapter or `file.py:function`", repr(name), known)
    return f"{ADAPTERS / name}.py:evaluate"


def spec_of(settings: ExternalSettings, step: int, checkpoint: str, where: str) -> Spec:
    """The calculator of one checkpoint."""
    chosen = ("calculator", "python", "reset", "timeout", "start_timeout", "threads")
    return Spec(
        arguments=filled(settings.arguments, step, checkpoint),
        batched=adapter(settings.batched, where),
        **{name: getattr(settings, name) for name in chosen},
    )


def check(settings: ExternalSettings, where: str) -> list[UserError]:
    """Errors that show before any job and before anything is imported."""
    if not settings.trust:
        expected = "true, as this runs code of the calculator's package and of its files"
        return [UserError(f"{where}.trust", expected, settings.trust)]
    errors = [error for part in (series, _check_adapter, _check_names) for error in _errors(part, settings, where)]
    mapped = isinstance(settings.checkpoints, str | dict)
    if mapped and bool(settings.checkpoints) != ("{checkpoint}" in repr(settings.arguments)):
        got = "one of them alone"
        errors.append(UserError(f"{where}.arguments", "{checkpoint} in a text, with `checkpoints` and only then", got))
    return errors


def _errors(part: Callable, settings: ExternalSettings, where: str) -> list[UserError]:
    """The error that a check raises, if any."""
    try:
        part(settings, where)
    except UserError as error:
        return [error]
    return []


def _check_adapter(settings: ExternalSettings, where: str) -> None:
    adapter(settings.batched, where)


def _check_names(settings: ExternalSettings, where: str) -> None:
    """Refuses a calculator that is no `module:name`, and files that do not exist."""
    place, _, name = settings.calculator.rpartition(":")
    if not place or not name:
        raise UserError(f"{where}.calculator", "`module:name` or `file.py:factory`", repr(settings.calculator))
    if place.endswith(".py") and not Path(place).is_file():
        raise UserError(f"{where}.calculator", "a Python file that exists", repr(settings.calculator))
    if settings.python and not Path(settings.python).is_file():
        raise UserError(f"{where}.python", "a Python that exists", repr(settings.python))


def named_files(spec: Spec) -> list[str]:
    """Files and folders that the specification names: factory, batch function, and those among the arguments."""
    texts = [spec.calculator.rpartition(":")[0], spec.batched.rpartition(":")[0], *_texts(spec.arguments)]
    return [text for text in texts if text and len(text) < 1000 and Path(text).exists()]


def file_hashes(spec: Spec) -> dict[str, str]:
    """Hash of every file that the specification names."""
    return {name: _hash(Path(name)) for name in named_files(spec)}


def _texts(value: Any) -> list[str]:
    """All texts in nested arguments."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [text for each in inner for text in _texts(each)]


def _hash(path: Path) -> str:
    """SHA-256 of a file, or of the names, sizes and times of a folder's files."""
    if path.is_dir():
        status = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(path.rglob("*")) if p.is_file()]
        return hashlib.sha256(json.dumps(status).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
