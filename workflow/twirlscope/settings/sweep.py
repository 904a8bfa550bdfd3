"""Settings of a sweep: many runs derived from one run."""

from __future__ import annotations

from typing import Any

from .base import Settings, key


class SweepSettings(Settings):
    """Runs derived from one run by other values of some keys, given as paths such as `train.learning_rate`."""

    run: str = key(..., "name of the run, one of `runs`, that all runs of the sweep are derived from")
    set: dict[str, Any] = key(
        {}, "by key, as a path such as `seeds` or `train.steps`: its value in all runs of the sweep"
    )
    grid: dict[str, Any] = key(
        {}, "by key: its values, or by a name of your choice: values of several keys; every combination is a run"
    )
    zip: dict[str, Any] = key(
        {}, "like `grid`, but values are paired: the first of every key is a run, the second of every key, and so on"
    )
