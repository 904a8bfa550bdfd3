"""Runs that can be compared at the same cost: their schedules end there, or their learning rate is constant.

In the middle of a schedule that lowers the learning rate the loss is higher than that of a run that was planned to end
there. A comparison of a half-annealed with an annealed run says nothing about the two networks.
"""

from __future__ import annotations

from dataclasses import replace

from ...._typing import Sequence
from ...trainings import Training
from .comparison import Comparison, cost_of

NEAR = 0.2  # largest relative difference of two costs that are the same; times on shared machines vary as much


def ended_together(comparison: Comparison, axis: str = "time") -> Comparison | None:
    """The runs of both families that can be compared at the highest cost at which there are any; None without any."""
    ends = {
        (family, run): sum(cost_of(t, axis)[-1] for t in seeds) / len(seeds)
        for family, runs in comparison.runs.items()
        for run, seeds in runs.items()
    }
    for end in sorted(ends.values(), reverse=True):
        chosen = {
            family: {run: seeds for run, seeds in runs.items() if _is_fair(seeds, ends[family, run], end)}
            for family, runs in comparison.runs.items()
        }
        if all(chosen.values()):
            return replace(comparison, runs=chosen)
    return None


def _is_fair(seeds: Sequence[Training], own: float, end: float) -> bool:
    """True if a run ends at a cost, or passes it with a constant learning rate.

    Args:
        own: cost of the whole run.
    """
    constant = float(seeds[0].spec["train"].get("final_learning_rate", 1.0)) == 1
    return bool(abs(own - end) <= NEAR * end or (constant and own >= end))
