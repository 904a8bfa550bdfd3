"""Periodic cells as data: what is wrong with one, atoms put back into it, and atoms that overlap across its faces.

A `lattice` is a cell whose rows are the lattice vectors, and 0 along an axis where the frame does not repeat: it alone
says where images are, turns row by row as positions do, and is 0 as a whole for a molecule.
"""

from __future__ import annotations

import itertools

import numpy as np

from .._typing import Array, Float, Sequence

SMALLEST_DISTANCE = 0.3  # [Å] H2 has 0.74
ON_THE_FACE = 1e-9  # of a lattice vector: atoms this close below a face stay, so that rounding moves none


def lattice_of(cell: Array | None, periodic: Sequence[bool]) -> Float[Array, "3 3"]:
    """The lattice of a cell that repeats along these axes."""
    return np.zeros((3, 3)) if cell is None else np.where(np.asarray(periodic)[:, None], cell, 0.0)


def fault(cell: Array | None, periodic: Sequence[bool]) -> str | None:
    """Why a periodic frame cannot be used, or None when it can. Left-handed cells can: only their volume is signed."""
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
    """Distance between the lattice planes of each vector [Å]; infinite along axes that do not repeat."""
    found, repeats = np.full(3, np.inf), lattice.any(1)
    for axis in np.flatnonzero(repeats):
        others = lattice[repeats & (np.arange(3) != axis)].T
        within = others @ np.linalg.lstsq(others, lattice[axis], rcond=None)[0]
        found[axis] = np.linalg.norm(lattice[axis] - within)
    return found


def wrapped(positions: Float[Array, "atom 3"], lattice: Float[Array, "3 3"]) -> Float[Array, "atom 3"]:
    """The positions with every atom in the cell that begins at the origin; a molecule as it is."""
    place = positions @ np.linalg.pinv(lattice)
    return positions - np.floor(place + ON_THE_FACE) @ lattice


def overlap(positions: Float[Array, "atom 3"], lattice: Float[Array, "3 3"]) -> str | None:
    """The complaint about two atoms, or an atom and an image, at one place, or None.

    Atoms are compared along x in order, so few pairs are.
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
    """The atoms in their cell, then all images within `depth` of it [Å]: who is near an atom is near it among these."""
    inside = wrapped(positions, lattice)
    place, skin = inside @ np.linalg.pinv(lattice), depth / heights(lattice)
    found = [inside]
    for shift in itertools.product(*(range(-n, n + 1) for n in np.floor(skin + 1).astype(int) * lattice.any(1))):
        moved = place + shift
        near = ((moved >= -skin - ON_THE_FACE) & (moved <= 1 + skin + ON_THE_FACE)).all(1)
        if any(shift):
            found.append(inside[near] + np.array(shift) @ lattice)
    return np.concatenate(found)
