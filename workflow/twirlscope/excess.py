"""The equivariance error beside the excess loss, for tasks whose target is itself noisy.

The loss of such a task does not fall to 0, so a percent of it flatters every model. The excess over the best loss of
any run says better how much of what could still be learned is symmetry.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .hints import Sequence
from .page import Table
from .trainings import Training, column


def excess_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and checkpoint at which something is learned; None where no target is noisy.

    Runs on one dataset are compared with each other: they have the same held-out samples, noise and times.
    """
    noisy = [t for t in trainings if "sample_covariate" in t.twirl]
    rows = [row for training in noisy for row in _rows(training, _best(training, noisy))]
    if not rows:
        return None
    caption = (
        "Equivariance error as percent of the loss and of its excess over the best loss that any run on the same "
        "dataset reached, at any checkpoint. The target holds noise that nothing can predict, so that the loss does "
        "not fall to 0. The best loss is no lower bound, only the lowest that was seen; where a run is itself the "
        "best, it has no excess."
    )
    return Table("excess", caption, pd.DataFrame(rows))


def _best(training: Training, trainings: Sequence[Training]) -> float:
    """The lowest loss of all trainings on the same dataset."""
    return min(
        float(t.twirl["loss_total"].sel(term="weighted").min()) for t in trainings if t.dataset == training.dataset
    )


def _rows(training: Training, best: float) -> list[dict]:
    """The checkpoints of one training."""
    data, rows = training.twirl.sel(term="weighted"), []
    for k in np.flatnonzero(~data["trivial"].values):
        total, equiv, percent = (float(data[n][k]) for n in ("loss_total", "loss_equiv", "percent_equiv"))
        rows.append(
            {
                "run": training.run,
                "seed": training.seed,
                "step [1]": int(data["step"][k]),
                column("loss_total"): total,
                "excess over the best loss [1]": total - best,
                column("loss_equiv"): equiv,
                column("percent_equiv"): percent,
                "equivariance error [% of the excess]": 100 * equiv / (total - best) if total > best else None,
            }
        )
    return rows
