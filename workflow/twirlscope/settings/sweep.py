"""Settings of a sweep: many runs from one."""

from __future__ import annotations

from typing import Any

from .base import Settings, key


class SweepSettings(Settings):
    """Runs that start from one run and differ in the keys that vary, which are paths such as `train.learning_rate`."""

    run: str = key(..., "name of the run, one of `runs`, that all of the sweep start from")
    set: dict[str, Any] = key({}, "keys of a run, as paths, that all of the sweep have: `seeds`, `train.steps`")
    grid: dict[str, Any] = key(
        {}, "by key: its values, or by a name of your choice the values of several keys; every combination is a run"
    )
    zip: dict[str, Any] = key({}, "the same, but all go together: the first of each, then the second; equally many")
