"""One training and what was measured on it: what figures and report are made from, and how numbers are said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .._typing import Array, Bool, Sequence

WITHIN = 2.0  # of what rounding and turning make


@dataclass(frozen=True)
class Training:
    """One training and what was measured on it; `train`, `hessian` and `gradient` may be missing."""

    run: str
    seed: int
    train: xr.Dataset | None
    twirl: xr.Dataset
    hessian: xr.Dataset | None = None
    dataset: str = ""
    gradient: xr.Dataset | None = None

    @property
    def label(self) -> str:
        """`run, seed 0`, as it is called everywhere."""
        return f"{self.run}, seed {self.seed}"


def claimed(training: Training) -> bool | None:
    """Whether the model claims to be equivariant; None where the store does not say."""
    found = None if training.train is None else training.train.attrs.get("equivariant")
    return None if found is None else bool(found)


def terms_of(trainings: Sequence[Training]) -> list[str]:
    """All terms, the weighted sum first."""
    names = dict.fromkeys(str(t) for training in trainings for t in training.twirl["term"].values)
    return sorted(names, key=lambda name: name != "weighted")


def by_run(trainings: Sequence[Any]) -> dict[str, list[Any]]:
    """The seeds of each run, in the order given: of trainings, or of their files."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        groups.setdefault(training.run, []).append(training)
    return groups


def with_term(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose task has that term."""
    return [t for t in trainings if term in t.twirl["term"].values]


def at_floor(training: Training, term: str) -> Bool[Array, " step"]:
    """At which checkpoints the equivariance error is what rounding and turning make: none that the network has."""
    data = training.twirl.sel(term=term)
    if "loss_equiv_floor" not in data:
        return np.zeros(data.sizes["step"], bool)
    return data["loss_equiv"].values < WITHIN * data["loss_equiv_floor"].values


def off_floor(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose equivariance error is more than rounding and turning at some checkpoint."""
    return [t for t in trainings if not at_floor(t, term).all()]


def distinct_terms(trainings: Sequence[Training]) -> list[str]:
    """The terms, the weighted sum first, without those that are the whole loss wherever they occur."""
    many = [t.twirl["term"].values for t in trainings if t.twirl.sizes["term"] > 2]
    return [t for t in terms_of(trainings) if t == "weighted" or any(t in terms for terms in many)]
