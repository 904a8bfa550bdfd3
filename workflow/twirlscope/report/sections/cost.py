"""The cost of every run: the same quantities, measured in the same way.

Question: what did training cost, and what does an inference cost?
"""

from __future__ import annotations

import math

import pandas as pd

from ..._typing import Sequence
from ...storage.arrays.train import OMITTED
from ..numbers import Column, Numbers, numbers
from ..questions import WORTH
from ..section import Section
from ..tables import Table, present_tables
from ..trainings import Training
from ..wording import say

COSTS = {  # variable of the train store -> its column, and the factor from the stored unit
    "flops_update": (Column("flops_update", "FLOPs of an update", "GFLOP"), 1e-9),
    "flops_inference": (Column("flops_inference", "FLOPs of an inference", "MFLOP"), 1e-6),
    "seconds_update": (Column("seconds_update", "time of an update", "ms"), 1e3),
    "seconds_inference": (Column("seconds_inference", "time of an inference", "ms"), 1e3),
    "memory_peak": (Column("memory_peak", "peak memory", "MB"), 1.0),
    "device_hours": (Column("device_hours", "device-hours", "h"), 1.0),
    "device_energy": (Column("device_energy", "energy", "kJ"), 1e-3),
}
COLUMNS = (
    Column("seeds", "seeds", "1"),
    Column("parameters", "parameters", "1"),
    *(column for column, _ in COSTS.values()),
    Column("threads", "threads", "1"),
    Column("missing", "not counted"),
)


# numbers


def costs(trainings: Sequence[Training]) -> Numbers | None:
    """Costs of every metered training; None if no training was metered."""
    rows = [_row(t) for t in trainings if t.train is not None and "seconds_update" in t.train]
    return numbers(pd.DataFrame(rows), COLUMNS) if rows else None


def _row(training: Training) -> dict:
    note = training.attrs["cost_missing"]
    return {
        "run": training.run,
        "seed": training.seed,
        "parameters": training.attrs["parameters"],
        **{name: float(training.train[name]) * factor for name, (_, factor) in COSTS.items()},
        "device": training.attrs["device"],
        "threads": training.attrs["threads"],
        "missing": f"{training.label}: {note}" if note else "",
    }


def means(found: Numbers) -> Numbers:
    """Means over the seeds of every run."""
    groups = found.data.groupby("run", sort=False)
    rows = groups[["parameters", *COSTS]].mean()
    rows.insert(0, "seeds", groups.size())
    rows["parameters"] = rows["parameters"].round().astype(int)
    rows["device"] = groups["device"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    return numbers(rows.reset_index(), COLUMNS)


# sentences


def cost_words(seeds: Sequence[Training]) -> str:
    """The costs of one run in words, means over its seeds; empty if no training was metered."""
    found = costs(seeds)
    if found is None:
        return ""
    (row,) = means(found).data.to_dict("records")
    known = [(column, float(row[name])) for name, (column, _) in COSTS.items() if math.isfinite(row[name])]
    return "; ".join(f"{column.words} {say(value)} {column.unit}" for column, value in known)


# tables


def cost_table(trainings: Sequence[Training]) -> Table | None:
    """The costs, one row per training, and on the page one per run; None if no training was metered."""
    found = costs(trainings)
    if found is None:
        return None
    missing = [note for note in dict.fromkeys(found.data["missing"]) if note]
    caption = (
        "Costs of the runs, means over seeds. An inference is a forward pass of one sample, in batches of the "
        f"training, padding included. FLOPs are those of torch's counter, which leaves out {OMITTED}. Times are "
        "medians; times of updates were measured in the training itself. Memory: weights, optimiser state, gradients "
        "and activations during an update. Device-hours: of one GPU, or of one thread of a CPU, while updates were "
        "made. Energy: of the whole device during that time; a dash if the device does not report it."
    ) + "".join(f" Not counted: {note}." for note in missing)
    shown, devices = means(found), list(dict.fromkeys(found.data["device"]))
    if len(devices) == 1:
        shown, caption = shown.without(["device"]), f"{caption} Device: {devices[0]}."
    return Table("cost", caption, found, shown)


def section(every: Sequence[Training]) -> Section:
    """The costs of every training as a table."""
    return Section(WORTH, "cost", "Cost", tables=present_tables({"Cost": cost_table(every)}))
