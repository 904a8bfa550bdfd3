"""Trainings of one kind of network and one objective, which differ in size, samples and length alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...._typing import Array, Float, Sequence
from ....estimators.power_laws import best_per_octave
from ....settings.base import keys_apart
from ....settings.train import TrainSettings
from ...trainings import Training, at_floor, claims_equivariance, primary_term
from ..objectives.comparison import flops_of, updates_of, words

AXES = ("flops", "samples", "parameters")
LOSS = "loss_total"
SIZE = (  # settings of models that set their size
    *("width", "layers", "heads", "size", "match", "pair", "condition", "radial", "radial_width"),
    *("distance_width", "order_width", "element_width"),
)
LENGTH = (  # settings of trainings that may differ within a family
    *("steps", "samples", "learning_rate", "warmup", "checkpoints_per_decade"),
    *keys_apart(TrainSettings, "train"),
)
ATTRIBUTES = {"samples": "training_samples", "parameters": "parameters"}
HELD = {  # by axis, settings that are the same for all runs of a law
    "flops": ("samples",),
    "samples": ("model", "steps"),
    "parameters": ("samples", "steps"),
}


@dataclass(frozen=True)
class Run:
    """All seeds of one run."""

    seeds: tuple[Training, ...]

    def values(self, name: str) -> Float[Array, " seed"]:
        """A number of the primary term at the last checkpoint, by seed."""
        return np.array([float(t.last(primary_term(t))[name]) for t in self.seeds])

    @cached_property
    def loss(self) -> float:
        """Mean logarithm of the held-out loss."""
        return float(np.log(self.values(LOSS)).mean())

    def at(self, axis: str) -> float:
        """FLOPs of the training [TFLOP], training samples or parameters."""
        if axis not in self._known:
            first = self.seeds[0]
            self._known[axis] = flops_of(first) / 1e12 if axis == "flops" else float(first.attrs[ATTRIBUTES[axis]])
        return self._known[axis]

    @cached_property
    def _known(self) -> dict[str, float]:
        """The numbers of `at` that were asked for, each of which is asked for many times."""
        return {}

    @cached_property
    def _model(self) -> str:
        """The settings of the network, as a text that can be compared."""
        return json.dumps(self.seeds[0].spec["model"], sort_keys=True)

    def setting(self, name: str) -> Any:
        """A number of the run that a law holds fixed."""
        if name == "samples":
            return self.at("samples")
        return updates_of(self.seeds[0]) if name == "steps" else self._model

    @cached_property
    def has_learned(self) -> bool:
        """True if the loss of every seed is below that of predicting zero."""
        lasts = [t.last(primary_term(t)) for t in self.seeds]
        return not any(bool(one["trivial"]) for one in lasts if "trivial" in one)

    @cached_property
    def is_at_floor(self) -> bool:
        """True if the equivariance error of a seed is rounding error."""
        return any(bool(at_floor(t, primary_term(t))[-1]) for t in self.seeds)


@dataclass(frozen=True)
class Family:
    """Runs on one task and dataset with one kind of network and one objective.

    name: of the network and of the objective, in words.
    """

    dataset: str
    task: str
    name: str
    built_in: bool
    runs: tuple[Run, ...]

    @property
    def symmetry(self) -> str:
        """`built in` or `learned`."""
        return "built in" if self.built_in else "learned"

    @property
    def is_augmented(self) -> bool:
        """True for learned symmetry on samples under fresh uniform rotations."""
        return not self.built_in and self.runs[0].seeds[0].augmented

    def along(self, axis: str, learned: bool = True) -> list[Run]:
        """Runs by x: the one with the lowest loss at each x, or in each octave of FLOPs.

        Settings that the axis holds fixed are the same. Of several such groups it is the one with most values of x,
        then the one with most FLOPs.

        Args:
            learned: True leaves out runs that have not learned.
        """
        groups: dict[tuple, list[Run]] = {}
        for run in self.runs:
            if (run.has_learned or not learned) and np.isfinite(run.at(axis)):
                groups.setdefault(tuple(run.setting(n) for n in HELD[axis]), []).append(run)
        if axis == "flops":  # at one length it is the law in parameters
            groups = {k: g for k, g in groups.items() if len({r.setting("steps") for r in g}) > 1}
        if not groups:
            return []
        runs = max(groups.values(), key=lambda g: (len({r.at(axis) for r in g}), max(r.at("flops") for r in g)))
        if axis == "flops":
            chosen = best_per_octave(np.array([r.at(axis) for r in runs]), np.array([r.loss for r in runs]))
            return [runs[number] for number in chosen]
        best = {x: min((r for r in runs if r.at(axis) == x), key=lambda r: r.loss) for x in {r.at(axis) for r in runs}}
        return [best[x] for x in sorted(best)]


def families(trainings: Sequence[Training]) -> list[Family]:
    """All families, in the order of their first training."""
    found: dict[tuple[str, ...], dict[str, list[Training]]] = {}
    for training in trainings:
        if training.objective and {"training_samples", "parameters"} <= set(training.attrs):
            spec = json.dumps({k: v for k, v in training.spec.items() if k != "seed"}, sort_keys=True)
            found.setdefault(_key(training), {}).setdefault(spec, []).append(training)
    made = [_family(tuple(Run(tuple(seeds)) for seeds in runs.values())) for runs in found.values()]
    names = [(f.dataset, f.task, f.name) for f in made]
    return [
        f if names.count(name) == 1 else Family(f.dataset, f.task, f"{f.name} ({f.runs[0].seeds[0].run})", *_rest(f))
        for f, name in zip(made, names, strict=True)
    ]


def _rest(family: Family) -> tuple[bool, tuple[Run, ...]]:
    return family.built_in, family.runs


def _key(training: Training) -> tuple[str, ...]:
    """The settings that all runs of a family share."""
    spec = training.spec
    model = {k: v for k, v in spec["model"].items() if k not in SIZE}
    train = {k: v for k, v in spec["train"].items() if k not in LENGTH}
    return training.dataset, *(json.dumps(part, sort_keys=True) for part in (spec["task"], model, train))


def _family(runs: tuple[Run, ...]) -> Family:
    first = runs[0].seeds[0]
    built_in = bool(claims_equivariance(first))
    name = words({k: v for k, v in first.spec["model"].items() if k not in SIZE}, "model")
    if not built_in:
        name += f", {words(first.objective)}"
    return Family(first.dataset, str(first.spec["task"]["name"]), name, built_in, runs)
