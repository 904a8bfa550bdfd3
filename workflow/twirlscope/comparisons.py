"""What stands beside the primary number, never mixed with it: O(3) beside SO(3), other losses beside the squares."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from .hints import Sequence
from .page import Table, with_intervals
from .trainings import Training

ENDS = ("", "_low", "_high")


def reflection_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and term at the last checkpoint; None where reflections were not measured."""
    rows = [
        _reflection_row(training, str(term))
        for training in trainings
        if "o3_loss_equiv" in training.twirl
        for term in training.twirl["term"].values
    ]
    if not rows:
        return None
    caption = (
        "The last checkpoint over rotations alone, SO(3), and with reflections, O(3), with 95 % intervals. Samples are "
        "turned, never reflected, in training; what reflections add to the equivariance error is the distance between "
        "the twirled predictions of both halves of O(3), on top of the error within each."
    )
    frame = pd.DataFrame(rows)
    return Table(
        "reflections", caption, frame, with_intervals(frame, [f"equivariance error, {g}" for g in ("SO(3)", "O(3)")])
    )


def _reflection_row(training: Training, term: str) -> dict:
    last = training.twirl.sel(term=term).isel(step=-1)
    whole, apart = float(last["o3_loss_equiv"]), float(last["o3_reflection_error"])
    return {
        "run": training.run,
        "seed": training.seed,
        "term": term,
        **interval(last, "percent_equiv", "equivariance error, SO(3)"),
        **interval(last, "o3_percent_equiv", "equivariance error, O(3)"),
        "between the halves of O(3) [% of it]": 100 * apart / whole if whole > 0 else None,
    }


def convex_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training, loss and term at the last checkpoint; None where no other loss was measured."""
    rows = [
        _convex_row(training, str(loss), str(term))
        for training in trainings
        if "convex_loss_total" in training.twirl
        for loss in training.twirl["convex"].values
        for term in training.twirl["term"].values
    ]
    if not rows:
        return None
    caption = (
        "Other losses at the last checkpoint, split by jackknife: exact only up to a bias of order one over the square "
        "of the number of rotations, where the split of the squared error has none, and not to be compared with it. "
        "l2: mean length of the error vectors; l1: mean absolute component; huber: squares up to a length of 1; "
        "training: every term with the loss it was trained on. In units of the loss, with 95 % intervals."
    )
    frame = pd.DataFrame(rows)
    return Table("other_losses", caption, frame, with_intervals(frame, ["equivariance error"]))


def _convex_row(training: Training, loss: str, term: str) -> dict:
    last = training.twirl.sel(term=term, convex=loss).isel(step=-1)
    named = {"total loss": "convex_loss_total", "twirled prediction error": "convex_loss_mean"}
    return {
        "run": training.run,
        "seed": training.seed,
        "loss": loss,
        "term": term,
        **{f"{words} [1]": float(last[name]) for words, name in named.items()},
        "equivariance error [1]": float(last["convex_loss_equiv"]),
        **interval(last, "convex_percent_equiv", "equivariance error"),
        "learned fraction [1]": float(last["convex_learned_fraction"]),
    }


def interval(last: xr.Dataset, name: str, words: str) -> dict:
    """A percentage and the ends of its interval."""
    heads = (f"{words} [%]", f"{words}, from [%]", f"{words}, to [%]")
    return {head: float(last[f"{name}{end}"]) for head, end in zip(heads, ENDS, strict=True)}
