"""Learning curves: the last checkpoints of runs that differ in nothing but the number of training samples.

A curve needs two sizes. Runs that differ in anything else that the config can say, seeds aside, or that were measured
in another way, are never on one curve.
"""

from __future__ import annotations

import json

import pandas as pd

from .comparisons import interval
from .findings import physical_error, with_scale
from .hints import Sequence
from .page import Table, with_intervals
from .trainings import Training

SAMPLES, EPOCHS, ERROR = "training samples [1]", "epochs [1]", "root mean square error"
PERCENT = "equivariance error"
LOSSES = {"total loss [1]": "total", "twirled prediction error [1]": "mean", "equivariance error [1]": "equiv"}
LOSS = "total loss [1]"


def curves(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """The trainings of each curve, fewest samples first, by the names of its first and its last run."""
    groups: dict[tuple[str, str], list[Training]] = {}
    for training in trainings:
        if training.train is not None and "training_samples" in training.train.attrs:
            groups.setdefault(_all_but_size(training), []).append(training)
    ordered = [sorted(group, key=_size) for group in groups.values()]
    return {f"{g[0].run} to {g[-1].run}": g for g in ordered if _size(g[0]) < _size(g[-1])}


def _size(training: Training) -> int:
    """The number of training samples: those that were used, also where the config says 0 for all."""
    return int(training.train.attrs["training_samples"])


def _all_but_size(training: Training) -> tuple[str, str]:
    """What the trainings of a curve share: the run but for samples and seed, and how its checkpoints were measured."""
    run = json.loads(training.train.attrs["run"])
    settings = {k: v for k, v in run["train"].items() if k != "samples"}
    rest = {k: v for k, v in run.items() if k != "seed"} | {"train": settings}
    return json.dumps(rest, sort_keys=True), training.twirl.attrs.get("settings", "")


def learning_frame(trainings: Sequence[Training]) -> pd.DataFrame | None:
    """One row a training of a curve and term at the last checkpoint; None where there is no curve.

    The weighted sum of the terms is left out where there is one term alone.
    """
    rows = [
        _row(name, training, str(term))
        for name, group in curves(trainings).items()
        for training in group
        for term in training.twirl["term"].values
        if term != "weighted" or training.twirl.sizes["term"] > 2
    ]
    return pd.DataFrame(rows) if rows else None


def _row(curve: str, training: Training, term: str) -> dict:
    last, size = training.twirl.sel(term=term).isel(step=-1), _size(training)
    step, batch = int(last["step"]), json.loads(training.train.attrs["run"])["train"]["batch"]
    value, unit = physical_error(training, term) if term in with_scale(training) else (None, "1")
    return {
        "run": training.run,
        "seed": training.seed,
        "curve": curve,
        "dataset": training.dataset,
        "term": term,
        SAMPLES: size,
        EPOCHS: step * batch / size,
        "step [1]": step,
        **{name: float(last[f"loss_{part}"]) for name, part in LOSSES.items()},
        **interval(last, "percent_equiv", PERCENT),
        "trivial": bool(last["trivial"]),
        **({f"{ERROR} [{unit}]": value} if unit != "1" else {}),
    }


def learning_table(frame: pd.DataFrame) -> Table:
    """What `learning_frame` gives, for the page."""
    caption = (
        "The last checkpoint of runs that differ in the number of training samples alone: total held-out loss in units "
        "of the loss, equivariance error with its 95 % interval, whether nothing was learned (trivial), and the root "
        "mean square error of a component. Epochs: how often each training sample was seen."
    )
    extra = ["curve", "dataset", "step [1]", *(name for name in LOSSES if name != LOSS)]
    brief = with_intervals(frame, [PERCENT]).drop(columns=extra)
    return Table("learning", caption, frame, brief)
