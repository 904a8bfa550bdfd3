"""Scales of the loss of frames: element references, and root mean squares of energies and forces on the train split."""

from __future__ import annotations

import itertools
import math

import numpy as np
import xarray as xr

from ..._typing import Array, Bool, Float, Int, Iterator
from ...errors import UserError

BLOCK = 1 << 17  # frames, or atoms, read at a time where a computation covers the whole dataset
NAMED_SHARE, REFUSED_SHARE = 0.1, 0.5  # of a squared scale, in one frame
SMALL = 50  # frames below which a few may well make the scale


def blocks(data: xr.Dataset) -> Iterator[tuple[slice, slice]]:
    """Slices of frames and of their atoms, block by block, so that arrays of atoms are never read as a whole."""
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
    ends = np.searchsorted(first, np.arange(0, first[-1] + BLOCK, BLOCK)).clip(max=len(first) - 1)
    for start, stop in itertools.pairwise(np.unique(ends).tolist()):
        yield slice(start, stop), slice(int(first[start]), int(first[stop]))


def scaled(data: xr.Dataset, composition: xr.DataArray) -> xr.Dataset:
    """Data with element references and scales, both computed on the train split.

    References are fitted to the energy per atom. So the residual has mean 0, and its standard deviation is the loss of
    predicting zero. Where compositions do not determine them (one molecule), they have the smallest norm.
    """
    train = data["split"].values == 0
    reference, spread = _references(composition.values, data["energy"].values, data["atoms"].values, train)
    squares, components, largest = 0.0, 0, (0.0, -1)
    for frames, part in blocks(data):
        row = np.repeat(np.arange(frames.start, frames.stop), data["atoms"].values[frames])
        known = np.isfinite(data["forces"].variable[part].values).all(1)
        in_train = train[row] & known
        forces = data["forces"].variable[part].values[in_train].astype(np.float64)
        squares, components = squares + (forces**2).sum(), components + forces.size
        by_frame = np.bincount(row[in_train] - frames.start, (forces**2).sum(1), frames.stop - frames.start)
        largest = max(largest, (float(by_frame.max()), frames.start + int(by_frame.argmax())))
    _check_share(largest[0], squares, largest[1], int(train.sum()), "forces")
    if components and not squares:
        raise UserError("forces", "a force that is not zero in the train split", "none")
    data["reference_energy"] = ("element", reference)
    data["force_scale"] = ((), math.sqrt(squares / components) if components else 1.0)  # no labels have no scale
    data["energy_scale"] = ((), spread if spread > 1e-9 else 1.0)  # equal energies have no scale
    return data


def _references(
    composition: Int[Array, "sample element"],
    energy: Float[Array, " sample"],
    atoms: Int[Array, " sample"],
    train: Bool[Array, " sample"],
) -> tuple[Float[Array, " element"], float]:
    """Energy per atom of each element, fitted to the train split, and the standard deviation of the residual.

    By least squares, from the triangular factor of the equations, which is updated block by block.
    """
    rows, factor = np.flatnonzero(train & np.isfinite(energy)), np.zeros((0, composition.shape[1] + 1))
    blocks = [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]

    if not len(rows):
        return np.zeros(composition.shape[1]), 0.0

    def equations(block: Array) -> Float[Array, "n column"]:
        return np.column_stack([composition[block], energy[block]]) / atoms[block, None]

    for block in blocks:
        factor = np.linalg.qr(np.concatenate([factor, equations(block)]), mode="r")
    rank_below = np.finfo(np.float64).eps * max(len(rows), composition.shape[1])
    reference = np.linalg.lstsq(factor[:, :-1], factor[:, -1], rcond=rank_below)[0]
    residual = np.concatenate([equations(block) @ np.append(-reference, 1) for block in blocks])
    away = (residual - residual.mean()) ** 2
    _check_share(float(away.max()), float(away.sum()), int(rows[away.argmax()]), len(rows), "energy")
    return reference, float(residual.std())


def _check_share(part: float, whole: float, frame: int, count: int, what: str) -> None:
    """Name a frame that carries much of a squared scale, and refuse one that carries most of it.

    Scales are root mean squares: not robust, so that one wrong frame would make all losses look small.

    Args:
        part: square of that frame.
        whole: sum of the squares of all `count` frames of the train split.
        frame: its sample number.

    Raises:
        UserError: the share is above `REFUSED_SHARE`, of a split that is not small.
    """
    share = part / whole if whole else 0.0
    said = f"sample {frame} carries {100 * share:.3g} % of the squared {what} of the {count} frames for training"
    if share > REFUSED_SHARE and count >= SMALL:
        expected = f"at most {100 * REFUSED_SHARE:g} % of a squared scale in one frame"
        raise UserError(what, expected, f"{said}; is it wrong, or in another unit?")
    if share > max(NAMED_SHARE, 5 / count):
        print(f"note: {said}; it sets the scale of the loss", flush=True)
