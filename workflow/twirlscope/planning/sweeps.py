"""Sweeps: one run and the keys that vary, expanded into named runs before the config is checked.

A run of a sweep is named after the sweep, the keys that vary and their values: `{sweep}_{key}_{value}`. The key is left
out where the sweep is named after it. Names do not change when a value is added, so that only new runs are trained.
"""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..settings.base import parse
from ..settings.experiment import MEASURES
from ..settings.sweep import SweepSettings

MOST = 1000  # runs of a sweep: more are a slip of the pen


@dataclass(frozen=True)
class Value:
    """One value of an axis: its part of a name, the keys that it sets, and its place in the config."""

    name: str
    keys: dict[str, Any]
    where: str


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    values: by axis, the name of its value.
    origin: by key path of the run, the place in the config that set it.
    measured: whether a key of a measurement varies.
    """

    sweep: str
    run: str
    base: str
    values: dict[str, str]
    origin: dict[str, str]
    section: dict[str, Any]
    measured: bool


def expand(config: dict[str, Any]) -> tuple[dict[str, Any], list[Member], list[UserError]]:
    """The config with the runs of all sweeps among its `runs`, these runs, and every mistake in the sweeps.

    Values of the wrong type are left to the schema of the config.
    """
    runs, found, errors = config.get("runs"), [], []
    sections = config.get("sweeps")
    if not isinstance(runs, dict) or not isinstance(sections, dict):
        return config, [], []
    for sweep, section in sections.items():
        settings, wrong = parse(SweepSettings, section, "")
        if not wrong:
            members, wrong = _members(str(sweep), settings, runs)
            found, errors = found + members, errors + wrong
    errors += _collisions(found, runs)
    return config | {"runs": runs | {m.run: m.section for m in found}}, found, errors


def placed(errors: Iterable[UserError], members: Iterable[Member]) -> list[UserError]:
    """The mistakes, each once; one in a run of a sweep is moved to the key of the sweep that made it.

    A mistake that the base of a sweep has as well is named there alone.
    """
    errors = list(errors)
    by_run = {m.run: m for m in members}
    own = {(e.where, e.message) for e in errors}
    kept: dict[str, UserError] = {}
    for error in errors:
        member, path = _member_of(error, by_run)
        if member is None:
            kept.setdefault(str(error), error)
            continue
        key = next((k for k in member.origin if _related(k, path)), "")
        inside = key != "" and f"{path}.".startswith(f"{key}.")
        if not inside and (f"runs.{member.base}.{path}".rstrip("."), error.message) in own:
            continue
        where = member.origin[key] if key else f"sweeps.{member.sweep}"
        moved = error.at(where + path.removeprefix(key) if inside else where)
        kept.setdefault(str(moved), moved)
    return list(kept.values())


def _member_of(error: UserError, members: dict[str, Member]) -> tuple[Member | None, str]:
    """The run of a sweep that has a mistake, and the key path in that run."""
    above, _, rest = error.where.partition(".")
    run, _, path = rest.partition(".")
    return (members.get(run) if above == "runs" else None), path


def _related(key: str, path: str) -> bool:
    """True if one key path lies in the other."""
    return f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}.")


def _members(sweep: str, settings: SweepSettings, runs: dict[str, Any]) -> tuple[list[Member], list[UserError]]:
    """The runs of one sweep, or its mistakes."""
    where = f"sweeps.{sweep}"
    base = runs.get(settings.run)
    if not isinstance(base, dict):
        return [], [UserError(f"{where}.run", "one of the runs", repr(settings.run), runs)]
    grid, errors = _axes(f"{where}.grid", settings.grid)
    together, more = _axes(f"{where}.zip", settings.zip)
    errors += more
    lengths = {len(values) for values in together.values()}
    if len(lengths) > 1:
        got = ", ".join(f"{key}: {len(values)}" for key, values in together.items())
        errors.append(UserError(f"{where}.zip", "as many values of every key", got))
    count = math.prod(len(values) for values in grid.values()) * max(lengths, default=1)
    if count > MOST:
        errors.append(UserError(where, f"at most {MOST} runs", f"{count}"))
    if not grid and not together and not errors:
        errors.append(UserError(where, "a key that varies, in `grid` or `zip`", "none"))
    if errors:
        return [], errors
    fixed = Value("", settings.set, f"{where}.set")
    rows = list(zip(*together.values(), strict=True)) if together else [()]
    axes = [*grid, *together]
    picked = [a + b for a, b in itertools.product(itertools.product(*grid.values()), rows)]
    made = [_member(sweep, settings.run, base, fixed, dict(zip(axes, values, strict=True))) for values in picked]
    return [m for m, _ in made], [e for _, wrong in made for e in wrong]


def _axes(where: str, section: dict[str, Any]) -> tuple[dict[str, list[Value]], list[UserError]]:
    """The values of every key that varies."""
    found, errors = {}, []
    for axis, given in section.items():
        here = f"{where}.{axis}"
        if axis == "seeds":
            errors.append(UserError(here, "seeds under `set`: they are no axis, every run has them all", repr(given)))
        elif isinstance(given, dict) and given and all(isinstance(keys, dict) for keys in given.values()):
            found[axis] = [Value(str(name), keys, f"{here}.{name}") for name, keys in given.items()]
        elif isinstance(given, list) and given and all(isinstance(v, str | int | float) for v in given):
            found[axis] = [Value(_written(value), {axis: value}, here) for value in given]
        else:
            expected = "a list of numbers or words, or values of several keys by a name of your choice"
            errors.append(UserError(here, expected, repr(given)))
    return found, errors


def _member(
    sweep: str, run: str, base: dict[str, Any], fixed: Value, values: dict[str, Value]
) -> tuple[Member, list[UserError]]:
    """One run: the base with its keys changed; a key that two axes set is a mistake."""
    section, origin, errors = copy.deepcopy(base), {}, []
    for value in (fixed, *values.values()):
        for path, new in value.keys.items():
            where = value.where if value.where.endswith(f".{path}") else f"{value.where}.{path}"
            twice = next((k for k in origin if _related(k, path)), None)
            if twice is not None:
                errors.append(UserError(where, f"a key that nothing else sets ({origin[twice]} does)", repr(path)))
            origin[path] = where
            _put(section, path, copy.deepcopy(new))
    short = {axis: axis.rsplit(".", 1)[-1] for axis in values}
    doubled = [word for word in short.values() if list(short.values()).count(word) > 1]
    words = [sweep]
    for axis, value in values.items():
        word = axis if short[axis] in doubled else short[axis]
        words += [value.name] if sweep.endswith(word) else [word, value.name]
    name = "_".join(re.sub(r"[^A-Za-z0-9]+", "_", word).strip("_") for word in words)
    measured = any(path.split(".")[0] in MEASURES for value in values.values() for path in value.keys)
    return Member(sweep, name, run, {axis: v.name for axis, v in values.items()}, origin, section, measured), errors


def _put(section: dict[str, Any], path: str, value: Any) -> None:
    """Set a key by its path; values in its way are replaced by sections."""
    *above, last = path.split(".")
    for key in above:
        if not isinstance(section.get(key), dict):
            section[key] = {}
        section = section[key]
    section[last] = value


def _written(value: Any) -> str:
    """A value as a part of a name: 0.003 is `0p003`, 1e-05 is `1em05`."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if isinstance(value, str) else text.replace(".", "p").replace("-", "m").replace("+", "")


def _collisions(members: list[Member], runs: dict[str, Any]) -> list[UserError]:
    """Errors of names that two runs would have."""
    errors, seen = [], dict.fromkeys(runs, "runs")
    for member in members:
        where = f"sweeps.{member.sweep}"
        if member.run in seen:
            expected = f"names of runs that are not taken (by {seen[member.run]}); call the sweep or a value otherwise"
            errors.append(UserError(where, expected, repr(member.run)))
        seen.setdefault(member.run, where)
    return errors
