"""Floors of a measured equivariance error: noise, rounding, and the spacing of energies in single precision.

Each is the error, in the units of the loss, that a perfectly equivariant potential would show for that reason alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from ..._typing import Array, Float, Int, Tensor
from ...contracts import Batch
from ...geometry import action, so3
from ...losses import balanced, inner
from ..heldout import Heldout
from .model import Potential

FACTOR = 10.0  # an error below this multiple of a floor is not told from it
SHIFT = 5.0  # [Å] half the range of the random translations
SURE = 3 * 2**0.5  # standard errors beyond which the rounding error is more than the noise in it
SUMS = 8  # units of double precision that a sum of energies is off by
AGAIN, MOVED = 1, 2  # numbers of repeated calls: the noise, and the rounding error


class Floors(NamedTuple):
    """Floors of one checkpoint, by term, `weighted` last, in the units of the loss.

    noise: half the mean square of the difference of two calls for the same input.
    noise_error: its standard error over samples.
    rounding: half the mean square change under a translation and a permutation of the atoms, at one orientation, and
        that of a prediction that is turned and turned back.
    spacing: of the energy alone: the variance of rounding a total energy to the precision it has, over atoms squared.
    """

    noise: Float[Array, " term"]
    noise_error: Float[Array, " term"]
    rounding: Float[Array, " term"]
    spacing: Float[Array, " term"]


def floor_samples(held: Heldout, count: int) -> Int[Array, " place"]:
    """Places of a few of the held-out samples, evenly spaced."""
    return np.unique(np.linspace(0, len(held.index) - 1, min(count, len(held.index))).round().astype(int))


def measure_floors(model: Potential, held: Heldout, count: int, seed: int) -> Floors:
    """Floors from the first rotation of a few samples: two more calls for each.

    The second call for an input comes after other structures, and in another order, as it would in a measurement.
    """
    places = floor_samples(held, count)
    batch = balanced(model.task.batch(held.index[places]))
    turned = model.task.rotate(batch, so3.matrix(held.quaternion[places, 0]))
    first = model(turned.inputs)
    back = torch.arange(len(places)).flip(0)
    again = {k: v[back] for k, v in model(turned.map(lambda t: t[back]).inputs, AGAIN).items()}
    moved, order = _moved(turned, seed)
    other = model(moved.inputs, MOVED)
    other = {k: v.gather(1, _like(order, v)) if v.ndim == 3 else v for k, v in other.items()}
    noise, rounding = _half_squares(model, batch, first, again), _half_squares(model, batch, first, other)
    rounding = rounding + _half_squares(model, batch, first, _turned_and_back(model, held, places, first))
    spread = np.nanstd(noise, 1, ddof=1) / max(len(places), 2) ** 0.5
    return Floors(np.nanmean(noise, 1), spread, np.nanmean(rounding, 1), _spacing(model, held.index[places]))


def _turned_and_back(
    model: Potential, held: Heldout, places: Int[Array, " place"], first: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Predictions turned and turned back: the rounding of the turning itself, which matters for stresses."""
    rotation = so3.matrix(held.quaternion[places, 1])
    irreps = {t.name: t.irreps for t in model.task.terms}
    turned = {name: action.rotate(irreps[name], rotation, z) for name, z in first.items()}
    return {name: action.twist(irreps[name], rotation, z) for name, z in turned.items()}


def _moved(turned: Batch, seed: int) -> tuple[Batch, Int[Tensor, "sample atom"]]:
    """The samples translated and with permuted atoms, and the place to which each atom went."""
    generator = torch.Generator().manual_seed(seed + 3)
    numbers, positions = turned.inputs["numbers"], turned.inputs["positions"]
    real = numbers > 0
    rank = torch.rand(numbers.shape, generator=generator) + 2 * ~real  # padding stays at the end
    chosen = rank.argsort(1)
    shift = SHIFT * (2 * torch.rand(len(numbers), 1, 3, generator=generator, dtype=positions.dtype) - 1)
    positions = torch.where(real[..., None], positions + shift, positions)
    inputs = turned.inputs | {
        "numbers": numbers.gather(1, chosen),
        "positions": positions.gather(1, _like(chosen, positions)),
    }
    return replace(turned, inputs=inputs), chosen.argsort(1)


def _like(order: Int[Tensor, "sample atom"], tensor: Float[Tensor, "sample atom c"]) -> Int[Tensor, "sample atom c"]:
    return order[..., None].expand(-1, -1, tensor.shape[-1])


def _half_squares(model: Potential, batch: Batch, one: dict, other: dict) -> Float[Array, "term sample"]:
    """Half the squared difference of two predictions by term and sample, `weighted` last."""
    terms = model.task.terms
    found = []
    for t in terms:
        difference = one[t.name] - other[t.name]
        found.append(inner(difference, difference, batch.weights[t.name]).numpy() / 2)
    return np.stack([*found, np.tensordot([t.weight for t in terms], found, 1)])


def _spacing(model: Potential, index: Int[Array, " sample"]) -> Float[Array, " term"]:
    """Variance of the rounding of total energies: to single precision if that is all they have, else of a long sum."""
    found, terms = np.zeros(len(model.task.terms) + 1), model.task.terms
    atoms = model.task.composition(index).sum(1)
    energies = [np.array(model.energies.get(int(i), [])[:1]) for i in index]
    every = np.concatenate(energies)
    if not len(every):
        return found
    single = bool((every == every.astype(np.float32)).all())
    width = np.spacing(np.abs(every).astype(np.float32)) if single else SUMS * np.spacing(np.abs(every))
    width = width.astype(np.float64) / atoms[[len(e) > 0 for e in energies]]
    number = [t.name for t in terms].index("energy")
    found[number] = np.mean(width**2) / 12 / terms[number].scale ** 2
    found[-1] = terms[number].weight * found[number]
    return found


def largest(floors: Floors, subtracted: bool) -> Float[Array, " term"]:
    """The largest of the floors; of noise that is subtracted, its standard error counts, in the rounding error too."""
    if not subtracted:
        return np.max([floors.noise, floors.rounding, floors.spacing], 0)
    rounding = floors.rounding - floors.noise - SURE * floors.noise_error
    return np.max([floors.noise_error, rounding, floors.spacing], 0)
