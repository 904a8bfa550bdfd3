"""Families of runs with built-in, learned, and test-time twirled symmetry, and their curves of loss against cost.

Runs with the same dataset, task settings and held-out samples form two families: built in, whose models claim to be
equivariant, and learned, the others. At every cost the best run of a family counts, so that several sizes are one
family.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from ...._typing import Array, Float, Mapping, Sequence
from ....estimators import degree_spectrum
from ....geometry import rotation_sets
from ...trainings import Training, by_run, claims_equivariance
from .crossover import Crossover, Curves, Run, crossover, resampled, served

LEARNED, BUILT_IN, TWIRLED = "learned", "built in", "learned, twirled at test time"
AXES = {"time": "s", "FLOPs": "1", "updates": "1"}  # cost axes and their units
SETS = ("D2", "T", "O", "I")  # sets of rotations whose twirled loss the spectrum predicts
INDEPENDENT = (2, 4, 8)  # numbers of independent rotations, whose twirled loss is exact without a spectrum


@dataclass(frozen=True)
class Comparison:
    """Two families of runs that can be compared.

    dataset: of both.
    runs: by family and name of the run, its seeds.
    learned: a network has learned below this loss.
    """

    dataset: str
    runs: Mapping[str, Mapping[str, Sequence[Training]]]
    learned: float

    @property
    def alone(self) -> list[str]:
        """The runs of one seed, whose variation between seeds is unknown."""
        return [run for runs in self.runs.values() for run, seeds in runs.items() if len(seeds) == 1]


@dataclass(frozen=True)
class Axis:
    """The curves of a comparison against one cost.

    families: curves of their runs by family, TWIRLED only where the cost of an inference is known.
    serving: cost of an inference, of each of these curves.
    """

    name: str
    families: Mapping[str, Sequence[Curves]]
    serving: Mapping[str, Sequence[float]]

    def at(self, inferences: float) -> dict[str, list[Curves]]:
        """The curves against the cost of training and of a number of inferences together."""
        return {
            family: [served(c, s, inferences) for c, s in zip(curves, self.serving[family], strict=True)]
            for family, curves in self.families.items()
        }


def groups(trainings: Sequence[Training]) -> list[dict[str, list[Training]]]:
    """Groups of trainings that can be compared with each other, by family; a family may be empty."""
    found: dict[tuple, dict[str, list[Training]]] = {}
    for training in trainings:
        claim = claims_equivariance(training)
        if claim is not None and "sample_loss_total" in training.twirl:
            families = found.setdefault(_key(training), {LEARNED: [], BUILT_IN: []})
            families[BUILT_IN if claim else LEARNED].append(training)
    return list(found.values())


def _key(training: Training) -> tuple:
    """Dataset, task, number of training samples, and held-out samples: the same for trainings that are compared."""
    task = json.dumps(training.spec["task"], sort_keys=True)
    return training.dataset, task, training.attrs["training_samples"], training.twirl["sample"].values.tobytes()


def comparisons(trainings: Sequence[Training]) -> list[Comparison]:
    """Every group of runs that holds both families."""
    return [
        Comparison(
            group[LEARNED][0].dataset, {f: by_run(t) for f, t in group.items()}, _learned_below(group[LEARNED][0])
        )
        for group in groups(trainings)
        if group[LEARNED] and group[BUILT_IN]
    ]


def _learned_below(training: Training) -> float:
    """The loss below which a network has learned."""
    zero = float(training.twirl["loss_zero"].sel(term="weighted"))
    return (1 - float(training.twirl.attrs["trivial_below"])) * zero


def axes(comparison: Comparison, names: Sequence[str] = tuple(AXES)) -> list[Axis]:
    """The curves against each of these costs that is known for all trainings; time only if all ran on one device."""
    every = [t for family in comparison.runs.values() for seeds in family.values() for t in seeds]
    found = []
    for name in names:
        if name == "time" and len({t.train.attrs.get("device") for t in every}) > 1:
            continue
        if all(np.isfinite(cost_of(t, name)).all() for t in every):
            found.append(_axis(comparison, name))
    return found


def cost_of(training: Training, axis: str) -> Float[Array, " step"]:
    """Cost of the training up to every checkpoint after step 0; NaN if it is not known."""
    step, train = training.twirl["step"].values, training.train
    step = step[step > 0]
    if axis == "time":
        return train["elapsed"].values[step - 1] if "elapsed" in train else np.full(len(step), np.nan)
    if axis == "FLOPs":
        return step * float(train.get("flops_update", np.nan))
    return step.astype(float)


def _serving(training: Training, axis: str) -> float:
    """Cost of one forward pass of a sample; NaN if it is not known, and on the axis of updates."""
    name = {"time": "seconds_inference", "FLOPs": "flops_inference"}.get(axis)
    return float(training.train[name]) if name in training.train else float("nan")


def _axis(comparison: Comparison, name: str) -> Axis:
    """The curves against one cost, all from the same bootstrap resamples of held-out samples."""
    named = {f: [_run(seeds, name) for seeds in runs.values()] for f, runs in comparison.runs.items()}
    if all(np.isfinite(run.serving) for runs in named.values() for run in runs):
        twirled = [_twirled(seeds, name) for seeds in comparison.runs[LEARNED].values()]
        named[TWIRLED] = [run for runs in twirled for run in runs]
    curves = iter(resampled([run for runs in named.values() for run in runs]))
    families = {family: [next(curves) for _ in runs] for family, runs in named.items()}
    return Axis(name, families, {family: [run.serving for run in runs] for family, runs in named.items()})


def _run(seeds: Sequence[Training], axis: str) -> Run:
    """A run with one forward pass per inference."""
    loss = np.stack([_samples(t, "total") for t in seeds])
    serving = float(np.median([_serving(t, axis) for t in seeds]))
    data, cost = seeds[0].twirl, np.stack([cost_of(t, axis) for t in seeds])
    cluster = data["cluster"].values if "cluster" in data else None
    return Run(seeds[0].run, cost, loss, data["sample"].values, serving, cluster)


def _samples(training: Training, part: str) -> Float[Array, "step sample"]:
    """A part of the per-sample loss at every checkpoint after step 0."""
    data = training.twirl[f"sample_loss_{part}"].sel(term="weighted")
    return data.values[training.twirl["step"].values > 0]


def _twirled(seeds: Sequence[Training], axis: str) -> list[Run]:
    """The run with every way of twirling at test time: a lower curve, and more forward passes per inference."""
    plain = _run(seeds, axis)
    mean, equiv = (np.stack([_samples(t, part) for t in seeds]) for part in ("mean", "equiv"))
    ways = zip(*(_left(t) for t in seeds), strict=True)
    return [
        replace(
            plain,
            loss=mean + np.stack([left for _, left in way])[..., None] * equiv,
            serving=plain.serving * way[0][0],
        )
        for way in ways
    ]


def _left(training: Training) -> list[tuple[int, Float[Array, " step"]]]:
    """Ways of twirling: forward passes, and the share of the equivariance error left at every checkpoint after step 0.

    K independent rotations leave 1 / K, exactly. For a set of rotations the share is predicted from the spectrum of the
    checkpoint; between checkpoints with a spectrum it is linear in the logarithm of the step. All rotations of a finite
    group leave nothing.
    """
    data = training.twirl.isel(step=np.flatnonzero(training.twirl["step"].values > 0)).sel(term="weighted")
    found = [(passes, np.full(data.sizes["step"], 1 / passes)) for passes in INDEPENDENT]
    group = str(training.twirl.attrs.get("group", "SO3"))
    if group in rotation_sets.FINITE_GROUPS:
        passes = len(rotation_sets.rotation_set(rotation_sets.FINITE_GROUPS[group]))
        return [*found, (passes, np.zeros(data.sizes["step"]))]
    if "spectrum" not in data:
        return found
    q, equiv, steps = data["spectrum"].values, data["panel_loss_equiv"].values, data["step"].values
    known = np.isfinite(equiv)
    for name in SETS:
        chosen = rotation_sets.rotation_set(name)
        rest = degree_spectrum.twirling_residual(
            q, chosen.alpha(4 * q.shape[-1]), equiv, float((chosen.weight**2).sum())
        ).value
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(equiv > 0, rest / equiv, 1.0)[known]
        share = np.interp(np.log(steps), np.log(steps[known]), np.clip(share, 0, 1))
        found.append((len(chosen), share))
    return found


def pairs(axis: Axis, inferences: float, comparison: Comparison) -> dict[str, Crossover]:
    """The crossover of built-in symmetry with each of the other families, if they have learned."""
    at = axis.at(inferences)
    found = {f: crossover(at[f], at[BUILT_IN], comparison.learned) for f in at if f != BUILT_IN}
    if inferences == 0:
        found.pop(TWIRLED, None)  # it differs only by its inferences
    return {f: one.alone() if comparison.alone else one for f, one in found.items() if one is not None}
