"""A training and everything that was measured on it; choices among trainings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .._typing import Array, Bool, Sequence
from ..estimators.loss_split import ROUNDING
from ..storage.made_from import ATTRIBUTE

PRIMARY = "primary"  # stands for the first term of every task, under all rotations where these were measured


@dataclass(frozen=True)
class Training:
    """One run with one seed, and its stores; all but `twirl` may be missing.

    number: of the run on the page, which sets its colour.
    """

    run: str
    seed: int
    train: xr.Dataset | None
    twirl: xr.Dataset
    hessian: xr.Dataset | None = None
    dataset: str = ""
    gradient: xr.Dataset | None = None
    dynamics: xr.Dataset | None = None
    layers: xr.Dataset | None = None
    number: int | None = None

    @property
    def label(self) -> str:
        """`run, seed 0`: its name on the whole page."""
        return f"{self.run}, seed {self.seed}"

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The settings of the run: task, model, train, seed, dataset; {} where the store does not hold them.

        Keys of the task that shape measurements alone are those of the measurement.
        """
        text = self.attrs.get("run")
        spec = json.loads(text) if isinstance(text, str) else text
        if not isinstance(spec, dict) or "task" not in spec:
            return spec if isinstance(spec, dict) else {}
        record = json.loads(self.twirl.attrs.get(ATTRIBUTE, "{}"))
        measured = {k.removeprefix("task."): json.loads(v) for k, v in record.items() if k.startswith("task.")}
        return spec | {"task": spec["task"] | measured}

    @property
    def objective(self) -> dict[str, Any]:
        """Name and settings of the objective of the training; {} where the store does not hold them."""
        return self.spec.get("train", {}).get("objective", {})

    @property
    def augmented(self) -> bool:
        """True for a training on samples under fresh uniform rotations without any other term in its loss."""
        section = self.objective
        fresh = section.get("angle", 180.0) == 180.0 and not section.get("copies", 0)
        return section.get("name") == "augment" and fresh

    @property
    def kept(self) -> list[dict[str, str]]:
        """The code changes across which the training was kept: hashes `before` and `after`, and `date`."""
        return json.loads(self.attrs.get("kept", "[]"))

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes of the train store, {} without one."""
        return {} if self.train is None else self.train.attrs

    @cached_property
    def _by_term(self) -> dict[tuple[str, bool], xr.Dataset]:
        """Measurements by term of the loss, and whether of the last checkpoint alone, as far as they were asked for."""
        return {}

    def of_term(self, term: str) -> xr.Dataset:
        """The twirl store for one term of the loss; chosen once, since a report of many runs asks for it often.

        `PRIMARY` is the first term of the task, under all rotations where these were measured.
        """
        if (term, False) not in self._by_term:
            primary = term == PRIMARY
            self._by_term[term, False] = (
                under_all_rotations(self, primary_term(self))[0] if primary else self.twirl.sel(term=term)
            )
        return self._by_term[term, False]

    def panel(self, term: str) -> xr.Dataset:
        """The twirl store for one term of the loss, at the checkpoints at which the panel was measured."""
        data = self.twirl.sel(term=term)
        return data.isel(step=np.flatnonzero(np.isfinite(data["panel_loss_equiv"].values)))

    def last(self, term: str) -> xr.Dataset:
        """The twirl store for one term of the loss at the last checkpoint."""
        if (term, True) not in self._by_term:
            self._by_term[term, True] = self.of_term(term).isel(step=-1)
        return self._by_term[term, True]

    @cached_property
    def under_rotations(self) -> dict[str, tuple[xr.Dataset, bool]]:
        """See `under_all_rotations`, by term of the loss, as far as they were asked for."""
        return {}

    @cached_property
    def courses(self) -> dict[tuple[str, str], Any]:
        """Courses of the percentage by term and part of the samples, as far as they were asked for."""
        return {}

    def labelled(self, data: pd.DataFrame) -> pd.DataFrame:
        """The rows with run and seed as first columns."""
        return pd.DataFrame({"run": self.run, "seed": self.seed, **dict(data.items())}, index=data.index)


def divided(trainings: Sequence[Training]) -> tuple[list[Training], list[Training]]:
    """The trainings, and the potentials that were not trained here."""
    external = [t for t in trainings if "external" in t.twirl.attrs]
    return [t for t in trainings if "external" not in t.twirl.attrs], external


def claims_equivariance(training: Training) -> bool | None:
    """True if the model claims to be equivariant; None where the store does not say."""
    claim = training.attrs.get("equivariant")
    return None if claim is None else bool(claim)


def terms_of(trainings: Sequence[Training]) -> list[str]:
    """All terms of the loss, the weighted sum first."""
    names = dict.fromkeys(str(t) for training in trainings for t in training.twirl["term"].values)
    return sorted(names, key=lambda name: name != "weighted")


def primary_term(training: Training) -> str:
    """The first term of the loss, such as the forces: the one that a task is about."""
    return next((str(t) for t in training.twirl["term"].values if t != "weighted"), "weighted")


def under_all_rotations(training: Training, term: str) -> tuple[xr.Dataset, bool]:
    """Losses of the training under all rotations, and False; or under the 24 of a cube, a lower bound, and True.

    The lower bound is also taken on a grid so coarse that turning makes as much of an error as the network.
    """
    if term not in training.under_rotations:
        training.under_rotations[term] = _under_all_rotations(training, term)
    return training.under_rotations[term]


def _under_all_rotations(training: Training, term: str) -> tuple[xr.Dataset, bool]:
    data = training.twirl.sel(term=term)
    if "so3_percent_equiv" in data and not _hidden_by_turning(data.isel(step=-1)):
        whole = [name for name in data.variables if name.startswith("so3_")]
        return data.drop_vars([n.removeprefix("so3_") for n in whole], errors="ignore").rename(
            {n: n.removeprefix("so3_") for n in whole}
        ), False
    return data, str(training.twirl.attrs.get("group", "SO3")) != "SO3"


def _hidden_by_turning(last: xr.Dataset) -> bool:
    """True if only the rotations of a cube, which turn a grid exactly, show the error of a checkpoint."""
    small, exact = (
        float(last[f"{group}loss_equiv"]) < ROUNDING * float(last[f"{group}loss_equiv_floor"]) for group in ("so3_", "")
    )
    return small and not exact


def distinct_terms(trainings: Sequence[Training]) -> list[str]:
    """The terms of the loss, the weighted sum first, without terms that are the whole loss wherever they occur."""
    many = [t.twirl["term"].values for t in trainings if t.twirl.sizes["term"] > 2]
    return [t for t in terms_of(trainings) if t == "weighted" or any(t in terms for terms in many)]


def other_terms(trainings: Sequence[Training]) -> list[str]:
    """The terms beside the primary ones: the weighted sum where it differs from them, then the others."""
    main = {primary_term(t) for t in trainings}
    differs = any(t.twirl.sizes["term"] > 2 or "so3_percent_equiv" in t.twirl for t in trainings)
    return [t for t in distinct_terms(trainings) if t not in main and (t != "weighted" or differs)]


def by_run(trainings: Sequence[Any]) -> dict[str, list[Any]]:
    """The seeds of each run, in the order given: of trainings, or of their files."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        groups.setdefault(training.run, []).append(training)
    return groups


def first_seeds(trainings: Sequence[Training]) -> list[Training]:
    """The first seed of every run."""
    return [seeds[0] for seeds in by_run(trainings).values()]


def with_term(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose task has that term; every task has a `PRIMARY` one."""
    return list(trainings) if term == PRIMARY else [t for t in trainings if term in t.twirl["term"].values]


def at_floor(training: Training, term: str) -> Bool[Array, " step"]:
    """True at checkpoints whose equivariance error is rounding error: what rounding and turning make by themselves."""
    data = training.of_term(term)
    if "at_floor" in data:
        return data["at_floor"].values
    if "loss_equiv_floor" not in data:
        return np.zeros(data.sizes["step"], bool)
    return data["loss_equiv"].values < ROUNDING * data["loss_equiv_floor"].values


def off_floor(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose equivariance error is more than rounding error at some checkpoint."""
    return [t for t in trainings if not at_floor(t, term).all()]
