"""The table of what every run cost: the same quantities, measured the same way."""

from __future__ import annotations

import math

import pandas as pd
import xarray as xr

from ..._typing import Sequence
from ...storage.arrays.train import OMITTED
from ..section import Section
from ..tables import Table, present_tables
from ..trainings import Training
from ..wording import say
from . import averaging

COSTS = {  # variable of the train store -> column, factor
    "flops_update": ("FLOPs of an update [GFLOP]", 1e-9),
    "flops_inference": ("FLOPs of an inference [MFLOP]", 1e-6),
    "seconds_update": ("time of an update [ms]", 1e3),
    "seconds_inference": ("time of an inference [ms]", 1e3),
    "memory_peak": ("peak memory [MB]", 1.0),
    "device_hours": ("device-hours [h]", 1.0),
    "device_energy": ("energy [kJ]", 1e-3),
}


def cost_table(trainings: Sequence[Training]) -> Table | None:
    """One row a run, means over its seeds; None where no training was metered."""
    rows = [_row(t, t.train) for t in trainings if t.train is not None and "seconds_update" in t.train]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    numbers = ["parameters [1]", *(head for head, _ in COSTS.values())]
    groups = frame.groupby("run", sort=False)
    brief = groups[numbers].mean()
    brief.insert(0, "seeds [1]", groups.size())
    brief["parameters [1]"] = brief["parameters [1]"].round().astype(int)
    brief["device"] = groups["device"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    missing = [note for note in dict.fromkeys(frame["not counted"]) if note]
    caption = (
        "What the runs cost, means over seeds. An inference is a forward pass of one sample, in batches of the "
        f"training, padding included. FLOPs are those of torch's counter, which leaves out {OMITTED}. Times are "
        "medians; those of updates are of the training itself. Memory: weights, optimiser, gradients and activations "
        "in an update. Device-hours: of one GPU, or of one thread of a CPU, while updates were made. Energy: of the "
        "whole device meanwhile; a dash where it does not tell."
    ) + "".join(f" Not counted: {note}." for note in missing)
    return Table("cost", caption, frame, brief.reset_index())


def cost_words(seeds: Sequence[Training]) -> str:
    """What a run cost in words, means over its seeds; empty where no training was metered."""
    table = cost_table(seeds)
    if table is None:
        return ""
    (row,) = table.shown.to_dict("records")
    said = [(head.partition(" ["), float(row[head])) for head, _ in COSTS.values()]
    return "; ".join(f"{words} {say(v)} {unit.rstrip(']')}" for (words, _, unit), v in said if math.isfinite(v))


def _row(training: Training, train: xr.Dataset) -> dict:
    found = {head: float(train[name]) * factor for name, (head, factor) in COSTS.items()}
    note = train.attrs["cost_missing"]
    return {
        "run": training.run,
        "seed": training.seed,
        "parameters [1]": train.attrs["parameters"],
        **found,
        "device": train.attrs["device"],
        "threads [1]": train.attrs["threads"],
        "not counted": f"{training.label}: {note}" if note else "",
    }


def section(trainings: Sequence[Training], every: Sequence[Training]) -> Section:
    """The section."""
    shown, tables = averaging.frontiers(trainings, "weighted"), present_tables({"Cost": cost_table(every)})
    return Section("cost", "Cost", averaging.sentences(trainings), shown, tables)
