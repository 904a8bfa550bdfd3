"""Checkpoints of a run shared out among jobs, and their stores merged as if one job had measured all.

A checkpoint's numbers depend on no other checkpoint, so the result does not depend on the number of jobs. What is not
by step (samples, rotations, what is measured at the last checkpoint alone) is that of the job with the last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._typing import Sequence
from ..runtime.progress import say_found
from ..storage import made_from, store
from ..storage.concatenation import concatenated_steps


@dataclass(frozen=True)
class Share:
    """Checkpoints that one of several jobs measures: every n-th of them, so that early and late ones are mixed.

    number: of the job, from 0.
    jobs: number of jobs.
    """

    number: int = 0
    jobs: int = 1

    def of(self, steps: Sequence[int]) -> list[int]:
        """Steps of this job, ascending; at least one where there are no more jobs than steps."""
        return list(steps)[self.number :: self.jobs]


def gather(parts: Sequence[Path], out: Path) -> None:
    """Merge the stores of all jobs of a stage into one.

    Raises:
        UserError: the jobs measured with different settings, code or data.
    """
    made_from.require_same(parts, "stores of jobs")
    found = [store.load(part) for part in parts]
    arrays = {name: variable for data in found for name, variable in store.declarations(data).items()}
    store.save(concatenated_steps(found), out, arrays)
    say_found(f"{len(parts)} parts as one store")
