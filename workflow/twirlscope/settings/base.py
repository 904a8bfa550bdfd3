"""Base class of all settings: closed and immutable, every key with a description, a unit and a default."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UserError

MEASUREMENTS = ("twirl", "gradient", "hessian", "layers")
LARGEST_SEED = 2**63 - 1  # of NumPy and torch


class Settings(BaseModel):
    """A section of the config. Unknown keys are errors, and so are strings in place of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


def key(default: Any = ..., text: str = "", unit: str = "", shapes: Sequence[str] | None = None, **limits: Any) -> Any:
    """A config key with its default, description, unit and limits (`ge`, `gt`, `le`, `lt`, `min_length`).

    Args:
        shapes: the stages whose results depend on the key. None for the stage that the section belongs to and all that
            follow from it; `MEASUREMENTS` or one of them for a key of a task that no training depends on; `()` for a
            key that only says how a machine does the work.
    """
    extra = {} if shapes is None else {"json_schema_extra": {"shapes": list(shapes)}}
    return Field(default, description=text + (f" [{unit}]" if unit else ""), **extra, **limits)


def keys_apart(cls: type[Settings], stage: str) -> list[str]:
    """Keys of a section that the results of a stage do not depend on."""
    shapes = {n: (f.json_schema_extra or {}).get("shapes") for n, f in cls.model_fields.items()}
    return [name for name, stages in shapes.items() if stages is not None and stage not in stages]


def keys_for(cls: type[Settings], stage: str) -> list[str]:
    """Keys of the section of a task that a stage depends on and the training does not."""
    return [name for name in keys_apart(cls, "train") if name not in keys_apart(cls, stage)]


def parse(cls: type[Settings], values: object, where: str) -> tuple[Settings | None, list[UserError]]:
    """The settings and no errors, or None and every error, each with its key path below `where`."""
    try:
        return cls.model_validate(values), []
    except ValidationError as invalid:
        return None, [_translate(cls, e, where) for e in invalid.errors()]


def _translate(cls: type[Settings], error: Any, where: str) -> UserError:
    """A pydantic error as a UserError."""
    path = ".".join([where, *(str(p) for p in error["loc"])]).strip(".")
    got = repr(error["input"])
    if error["type"] == "extra_forbidden":
        return UserError(path, "no such key", f"{error['loc'][-1]!r}", _keys_at(cls, error["loc"][:-1]))
    if error["type"] == "missing":
        return UserError(path, "a value", "nothing")
    if error["type"] == "literal_error":
        known = error["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return UserError(path, "one of the known names", got, known)
    if error["type"] in ("float_type", "int_type") and _number_in_text(error["input"]):
        return UserError(path, f"a number (YAML reads {got} as text: write {_dotted(error['input'])})", got)
    if error["type"] in ("dict_type", "model_type"):
        return UserError(path, "a section (`key: value`)", got)
    message = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ").removeprefix("a valid ")
    if error["type"] == "value_error" and isinstance(error["input"], dict):
        return _of_key(cls, error, where, message)
    return UserError(path, message, got)


def _of_key(cls: type[Settings], error: Any, where: str, message: str) -> UserError:
    """The error of keys that do not fit together, at the first key in its message."""
    section = _class_at(cls, error["loc"])
    names = (word.strip("`") for word in message.split())
    name = next((word for word in names if word in getattr(section, "model_fields", {})), "")
    path = ".".join([where, *(str(p) for p in error["loc"]), name]).strip(".")
    got = error["input"].get(name, section.model_fields[name].default) if name else error["input"]
    return UserError(path, message, repr(got))


def _number_in_text(value: object) -> bool:
    """True if a value is a number in scientific notation that YAML reads as text: `1e-3`."""
    return isinstance(value, str) and re.fullmatch(r"[+-]?\d+e[+-]?\d+", value.lower()) is not None


def _dotted(value: str) -> str:
    """A number such as `1e-3` in the form that YAML reads as a number: `1.0e-3`."""
    return value.lower().replace("e", ".0e", 1)


def _keys_at(cls: Any, location: tuple) -> list[str]:
    """The keys of the section at a location of the config."""
    return list(getattr(_class_at(cls, location), "model_fields", {}))


def _class_at(cls: Any, location: tuple) -> Any:
    """The class of the section at a location of the config, or None."""
    for name in location:
        if get_origin(cls) is dict:
            cls = get_args(cls)[1]
            continue
        field = getattr(cls, "model_fields", {}).get(name)
        if field is None:
            return None
        cls = field.annotation
    return cls
