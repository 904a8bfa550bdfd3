"""The checkpoints of a run shared out among jobs, and what the jobs stored put together as if one had measured all.

A checkpoint's numbers depend on no other checkpoint, so the result does not depend on the number of jobs. What is not
by step (samples, rotations, what is measured at the last checkpoint alone) is that of the job with the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from . import store
from .hints import Sequence


@dataclass(frozen=True)
class Share:
    """What one of several jobs measures: every so many checkpoints one, so that early and late ones are mixed.

    number: of the job, from 0.
    jobs: how many there are.
    """

    number: int = 0
    jobs: int = 1

    def of(self, steps: Sequence[int]) -> list[int]:
        """The steps that fall to this job, in order; some, if there are no more jobs than steps."""
        return list(steps)[self.number :: self.jobs]


def gather(parts: Sequence[Path], out: Path) -> None:
    """Write what all jobs of a stage found as one store."""
    store.save(in_order([store.load(part) for part in parts]), out)


def in_order(found: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets of different steps as one, steps ascending; attributes that differ stand side by side."""
    last = max(found, key=lambda data: data["step"].values[-1])
    fixed = [name for name, variable in last.variables.items() if "step" not in variable.dims]
    moving = [data.drop_vars(fixed, errors="ignore") for data in found]
    steps = xr.concat(moving, "step", data_vars="minimal", coords="minimal", compat="override", combine_attrs="drop")
    attrs = {n: _side_by_side([data.attrs[n] for data in found if n in data.attrs]) for n in last.attrs}
    return last.drop_dims("step").merge(steps.sortby("step")).assign_attrs(attrs).drop_encoding()


def _side_by_side(values: list) -> object:
    """The value, or all that occur, in an order of their own."""
    if all(value == values[0] for value in values):
        return values[0]
    return "; ".join(sorted({word for value in values for word in str(value).split("; ")}))
