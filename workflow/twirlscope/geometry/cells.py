"""Periodic cells: checks of a cell, wrapping of atoms into it, periodic images and overlapping atoms.

A `lattice` is a cell whose rows are the lattice vectors, with a row of 0 for each axis along which the frame is not
periodic. It defines all periodic images, its rows rotate as positions do, and it is 0 for a molecule.
"""

from __future__ import annotations

import itertools

import numpy as np

from .._typing import Array, Float, Sequence

SMALLEST_DISTANCE = 0.3  # [Å] H2 has 0.74
ON_THE_FACE = 1e-9  # share of a lattice vector: atoms this close below a face stay, so that rounding moves none


def lattice_of(cell: Array | None, periodic: Sequence[bool]) -> Float[Array, "3 3"]:
    """The lattice of a cell that is periodic along these axes."""
    return np.zeros((3, 3)) if cell is None else np.where(np.asarray(periodic)[:, None], cell, 0.0)


def fault(cell: Array | None, periodic: Sequence[bool]) -> str | None:
    """The reason why a periodic frame cannot be used, or None. Left-handed cells are allowed."""
    if cell is None:
        return "periodic, but the cell is missing"
    if cell.shape != (3, 3) or not np.isfinite(cell).all():
        return "the cell is not three finite lattice vectors"
    if not cell[np.asarray(periodic)].any(1).all():
        return "periodic along an axis whose lattice vector is missing"
    if heights(lattice_of(cell, periodic)).min() < SMALLEST_DISTANCE:
        return f"the cell is singular: its lattice planes are closer than {SMALLEST_DISTANCE} Å"
    return None


def heights(lattice: Float[Array, "3 3"]) -> Float[Array, "3"]:
    """Distance between the lattice planes of each vector [Å]; infinite along axes that are not periodic."""
    height, periodic = np.full(3, np.inf), lattice.any(1)
    for axis in np.flatnonzero(periodic):
        others = lattice[periodic & (np.arange(3) != axis)].T
        within = others @ np.linalg.lstsq(others, lattice[axis], rcond=None)[0]
        height[axis] = np.linalg.norm(lattice[axis] - within)
    return height


def wrapped(positions: Float[Array, "atom 3"], lattice: Float[Array, "3 3"]) -> Float[Array, "atom 3"]:
    """The positions with every atom moved into the cell that begins at the origin; a molecule stays as it is."""
    fractional = positions @ np.linalg.pinv(lattice)
    return positions - np.floor(fractional + ON_THE_FACE) @ lattice


def overlap(positions: Float[Array, "atom 3"], lattice: Float[Array, "3 3"]) -> str | None:
    """The complaint about two atoms, or an atom and an image, that are too close, or None.

    Atoms are sorted along x, so that only few pairs have to be compared.
    """
    points = with_skin(positions, lattice, SMALLEST_DISTANCE) if lattice.any() else positions
    ordered = points[np.argsort(points[:, 0])]
    for shift in range(1, len(ordered)):
        step = ordered[shift:] - ordered[:-shift]
        if step[:, 0].min() >= SMALLEST_DISTANCE:
            return None
        if (step**2).sum(1).min() < SMALLEST_DISTANCE**2:
            return f"two atoms are closer than {SMALLEST_DISTANCE} Å"
    return None


def with_skin(positions: Float[Array, "atom 3"], lattice: Float[Array, "3 3"], depth: float) -> Float[Array, "n 3"]:
    """The atoms in their cell, then all images within `depth` of it [Å]: all neighbours of each atom up to `depth`."""
    inside = wrapped(positions, lattice)
    fractional, skin = inside @ np.linalg.pinv(lattice), depth / heights(lattice)
    points = [inside]
    for shift in itertools.product(*(range(-n, n + 1) for n in np.floor(skin + 1).astype(int) * lattice.any(1))):
        moved = fractional + shift
        near = ((moved >= -skin - ON_THE_FACE) & (moved <= 1 + skin + ON_THE_FACE)).all(1)
        if any(shift):
            points.append(inside[near] + np.array(shift) @ lattice)
    return np.concatenate(points)
