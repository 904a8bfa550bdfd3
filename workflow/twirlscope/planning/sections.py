"""Named sections of a config, and the names in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .. import plugins
from ..errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")


def pattern(names: Iterable[str]) -> str:
    """A regular expression for these names and no other, also where there are none."""
    return "|".join(dict.fromkeys(names)) or "(?!)"


def without_nulls(config: dict[str, Any]) -> dict[str, Any]:
    """The config without datasets, runs and sweeps that an overlay set to null."""
    kept = dict(config)
    for section in ("datasets", "runs", "sweeps"):
        if isinstance(kept.get(section), dict):
            kept[section] = {name: value for name, value in kept[section].items() if value is not None}
    return kept


def named_sections(config: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """The named sections below a key; the schema reports what is no section."""
    found = config.get(key)
    return [(str(n), s) for n, s in found.items() if isinstance(s, dict)] if isinstance(found, dict) else []


def objective_errors(where: str, run: dict[str, Any]) -> list[UserError]:
    """Errors in the objective of a training, if the run names one."""
    train = run.get("train")
    section = train.get("objective") if isinstance(train, dict) else None
    return plugins.settings_of("objective", section, f"{where}.train.objective")[1] if isinstance(section, dict) else []


def name_errors(where: str, name: str) -> list[UserError]:
    """Errors in a name, which becomes a folder and a wildcard."""
    good = NAME.fullmatch(name) is not None
    return [] if good else [UserError(where, "a name of letters, digits and underscores", repr(name))]
