"""Held-out geometries that are in the train split too: the same molecule, turned, reflected, shifted or renumbered.

Identity is by content, never by name or path: composition, and geometry up to a tolerance. A few numbers of a sample
move by at most the root mean square displacement of its atoms. Samples that could be the same lie in the same bin of
these numbers, so that the time is linear in the number of samples; distances of pairs decide between candidates.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict

import numpy as np
import xarray as xr

from ..._typing import Array, Float, Int
from ...errors import UserError
from .scales import blocks

TOLERANCE = 1e-3  # [Å] root mean square displacement below which two geometries are the same
NUMBERS = 8  # invariants of a sample
WIDTH = 10 * TOLERANCE  # of a bin: a narrower one has more neighbours to look into, a wider one more candidates
RANKS = 4096  # signs of the invariants, by rank of an atom, repeat beyond so many atoms


def duplicates(data: xr.Dataset) -> dict[str, Int[Array, " twin"]]:
    """Samples of each held-out split that have a twin in the train split, by the name of the split.

    Args:
        data: frames or geometries in order, with `split`.
    """
    names, split = data["split"].attrs["flag_meanings"].split(), data["split"].values
    values, composition = _invariants(data)
    bins = np.floor(values / WIDTH).astype(np.int64)
    known: dict[bytes, list[int]] = defaultdict(list)
    for n in np.flatnonzero(split == 0).tolist():
        known[composition[n] + bins[n].tobytes()].append(n)
    positions, first = data["positions"].variable, np.concatenate([[0], np.cumsum(data["atoms"].values)])

    def twin(n: int) -> bool:
        candidates = [m for near in _near_bins(values[n]) for m in known.get(composition[n] + near.tobytes(), ())]
        return any(_same(*(_distances(data, positions, first, i) for i in (n, m))) for m in candidates)

    return {
        name: np.array([n for n in np.flatnonzero(split == k).tolist() if twin(n)], np.int64)
        for k, name in enumerate(names)
        if k > 0
    }


def checked(data: xr.Dataset, allowed: bool) -> xr.Dataset:
    """The data with the attribute `duplicates`: number of held-out samples that are in the train split too, by split.

    Args:
        allowed: the setting `allow_duplicates`.

    Raises:
        UserError: there are some, and they are not allowed.
    """
    twins = duplicates(data)
    counts = {name: len(found) for name, found in twins.items() if len(found)}
    if counts and not allowed:
        name, found = next((n, f) for n, f in twins.items() if len(f))
        size = int((data["split"].values == list(twins).index(name) + 1).sum())
        got = f"{len(found)} of {size} samples of {name!r} that are (the first is sample {found[0]})"
        expected = "held-out samples that are not in the train split as well"
        raise UserError(
            "split", expected, f"{got}; split by molecule, or set allow_duplicates and the report counts them"
        )
    return data.assign_attrs(duplicates=json.dumps(counts))


def _invariants(data: xr.Dataset) -> tuple[Float[Array, "sample number"], list[bytes]]:
    """Invariants of each sample, and its composition as bytes: atomic numbers ascending.

    Each is the mean over atoms of +-r, with r the distance from the centre and a sign that depends on the rank of r
    among the atoms of the element. Sorting never increases differences, so that it moves by the root mean square
    displacement at most. In periodic frames r is the length of the force, which does not depend on the cell chosen.
    """
    signs = np.random.default_rng(0x2B1D).choice([-1.0, 1.0], (RANKS, NUMBERS))
    signs[:, 0] = 1.0
    atoms, values, compositions = data["atoms"].values, np.empty((data.sizes["sample"], NUMBERS)), []
    for frames, part in blocks(data):
        sample = np.repeat(np.arange(frames.stop - frames.start), atoms[frames])
        number = data["numbers"].variable[part].values.astype(np.int64)
        radius = _radii(data, frames, part, sample)
        order = np.lexsort((radius, number, sample))
        place = np.arange(len(order)) - np.repeat(np.cumsum(atoms[frames]) - atoms[frames], atoms[frames])
        weighted = signs[place % RANKS] * radius[order][:, None]
        for k in range(NUMBERS):
            summed = np.bincount(sample, weighted[:, k], frames.stop - frames.start)
            values[frames, k] = summed / atoms[frames]
        ends = np.cumsum(atoms[frames])[:-1]
        compositions += [piece.tobytes() for piece in np.split(number[order].astype(np.int16), ends)]
    return values, compositions


def _radii(data: xr.Dataset, frames: slice, part: slice, sample: Int[Array, " atom"]) -> Float[Array, " atom"]:
    """Distance of each atom of a block from the centre of its sample, or the length of its force in periodic frames."""
    positions = data["positions"].variable[part].values.astype(np.float64)
    count = np.bincount(sample)
    centre = np.stack([np.bincount(sample, positions[:, i]) for i in range(3)], 1) / count[:, None]
    radius = np.linalg.norm(positions - centre[sample], axis=1)
    if "cell" not in data:
        return radius
    periodic = (data["cell"].variable[frames].values != 0).any((1, 2))
    forces = np.nan_to_num(data["forces"].variable[part].values.astype(np.float64))
    return np.where(periodic[sample], np.linalg.norm(forces, axis=1), radius)


def _near_bins(values: Float[Array, " number"]) -> list[Int[Array, " number"]]:
    """Every bin that a sample within the tolerance can lie in."""
    low, high = (np.floor((values + step) / WIDTH).astype(np.int64) for step in (-TOLERANCE, TOLERANCE))
    either = [sorted({a, b}) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    return [np.array(one) for one in itertools.product(*either)]


def _distances(data: xr.Dataset, positions: xr.Variable, first: Int[Array, " end"], n: int) -> Float[Array, " pair"]:
    """Distances of all pairs of atoms of a sample, sorted within each pair of elements."""
    part = slice(int(first[n]), int(first[n + 1]))
    x, number = positions[part].values.astype(np.float64), data["numbers"].variable[part].values.astype(np.int64)
    i, j = np.triu_indices(len(x), 1)
    kind = np.maximum(number[i], number[j]) * 256 + np.minimum(number[i], number[j])
    length = np.linalg.norm(x[i] - x[j], axis=1)
    return length[np.lexsort((length, kind))]


def _same(a: Float[Array, " pair"], b: Float[Array, " pair"]) -> bool:
    """True if no distance differs by more than two atoms within the tolerance can make it."""
    return len(a) == len(b) and (not len(a) or float(np.sqrt(((a - b) ** 2).mean())) <= 2 * TOLERANCE)
