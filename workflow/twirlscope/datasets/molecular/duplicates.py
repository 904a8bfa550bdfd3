"""Twins: samples of the same content, which is the same molecule turned, reflected, shifted or renumbered.

Identity is by content, never by name or path: composition, and geometry up to a tolerance. A few numbers of a sample
move by at most the root mean square displacement of its atoms. Only samples whose numbers are near each other are
compared further, so that the time is linear in the number of samples. Distances of all pairs of atoms decide.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import xarray as xr

from ..._typing import Array, Callable, Float, Int, Iterator
from ...errors import Deferred, UserError
from .groups import numbered
from .scales import blocks

spatial = Deferred("scipy.spatial")
TOLERANCE = 1e-3  # [Å] root mean square displacement below which two geometries are the same
SLACK = TOLERANCE * (1 + 1e-2)  # invariants are stored in single precision
NUMBERS = 8  # invariants of a sample
RANKS = 4096  # signs of the invariants, by rank, repeat beyond so many atoms or pairs
COPY = 1e-2 * TOLERANCE  # [Å] invariants of copies differ by less: one of them stands for all
CHUNK = 1024  # samples whose neighbours are looked up at a time


def twins(data: xr.Dataset) -> Int[Array, " sample"]:
    """Group of twins of each sample: connected components, numbered by first sample.

    Args:
        data: frames, geometries or chains in order.
    """
    values, composition = _invariants(data)
    near, distances = _near_another(values, composition), _sorted_distances(data)
    numbers = [_signed_means(distances(n)) / 2 for n in near.tolist()]  # distances change by twice a displacement
    points = np.column_stack([np.array(numbers).reshape(-1, NUMBERS), values[near], composition[near]])
    root = list(range(len(near)))

    def join(some: Int[Array, " n"], pairs: Iterator[tuple[int, int]]) -> None:
        for a, b in ((int(some[i]), int(some[j])) for i, j in pairs):
            first, second = sorted((_root(root, a), _root(root, b)))
            if first != second and _same(distances(int(near[a])), distances(int(near[b]))):
                root[second] = first

    join(np.arange(len(near)), _copies(points))
    kept = np.flatnonzero([root[n] == n for n in range(len(near))])
    join(kept, _neighbours(points[kept]))
    group = np.arange(len(values))
    group[near] = near[[_root(root, n) for n in range(len(near))]] if len(near) else near
    return numbered(group)


def checked(data: xr.Dataset, twin: Int[Array, " sample"], allowed: bool) -> xr.Dataset:
    """The data with the attribute `duplicates`: number of held-out samples that are in the train split too, by split.

    Args:
        data: samples with `split`.
        twin: group of twins of each sample.
        allowed: the setting `allow_duplicates`.

    Raises:
        UserError: there are some, and they are not allowed.
    """
    split, names = data["split"].values, data["split"].attrs["flag_meanings"].split()
    leaked = np.isin(twin, twin[split == 0])
    found = {k: np.flatnonzero(leaked & (split == k)) for k in range(1, len(names))}
    counts = {names[k]: len(samples) for k, samples in found.items() if len(samples)}
    if counts and not allowed:
        k, samples = next((k, samples) for k, samples in found.items() if len(samples))
        expected = "held-out samples that are not in the train split as well"
        size, first = int((split == k).sum()), int(samples[0])
        got = f"{len(samples)} of {size} samples of {names[k]!r} that are (the first is sample {first})"
        raise UserError("split", expected, f"{got}; remove them, or set allow_duplicates and the report counts them")
    return data.assign_attrs(duplicates=json.dumps(counts))


def _invariants(data: xr.Dataset) -> tuple[Float[Array, "sample number"], Int[Array, " sample"]]:
    """Invariants of each sample, and a number of its composition.

    Each is the mean over atoms of +-r, with r the distance from the centre and a sign that depends on the rank of r
    among the atoms of the element. Sorting never increases differences, so that it moves by the root mean square
    displacement at most. In periodic frames r is the length of the force, which does not depend on the cell chosen.
    """
    words = np.random.default_rng(0x2B1D).integers(0, 2**62, 256)  # one for each element: a sum has no order
    atoms = data["atoms"].values
    values, composition = np.empty((len(atoms), NUMBERS), np.float32), np.empty(len(atoms), np.int64)
    for frames, part in blocks(data):
        count = atoms[frames]
        first = np.cumsum(count) - count
        sample = np.repeat(np.arange(len(count)), count)
        number = data["numbers"].variable[part].values.astype(np.int64)
        radius = _radii(data, frames, part, sample)
        order = np.lexsort((radius, sample * 256 + number))
        weighted = _signs()[(np.arange(len(order)) - np.repeat(first, count)) % RANKS] * radius[order][:, None]
        values[frames] = np.add.reduceat(weighted, first) / count[:, None]
        composition[frames] = np.add.reduceat(words[number], first)
    return values, numbered(composition)


@cache
def _signs() -> Float[Array, "rank number"]:
    """Random signs by rank; those of the first number are all 1."""
    signs = np.random.default_rng(0x2B1D).choice([-1.0, 1.0], (RANKS, NUMBERS))
    signs[:, 0] = 1.0
    return signs


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


def _sorted_distances(data: xr.Dataset) -> Callable[[int], Float[Array, " pair"]]:
    """Function of a sample: distances of all pairs of its atoms, sorted within each pair of elements."""
    positions, numbers = data["positions"].variable, data["numbers"].variable
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])

    def of(n: int) -> Float[Array, " pair"]:
        part = slice(int(first[n]), int(first[n + 1]))
        return sorted_distances(numbers[part].values.astype(np.int64), positions[part].values.astype(np.float64))

    return of


def sorted_distances(numbers: Int[Array, " atom"], positions: Float[Array, "atom 3"]) -> Float[Array, " pair"]:
    """Distances of all pairs of atoms [Å], sorted within each pair of elements."""
    i, j = np.triu_indices(len(numbers), 1)
    kind = np.maximum(numbers[i], numbers[j]) * 256 + np.minimum(numbers[i], numbers[j])
    length = np.linalg.norm(positions[i] - positions[j], axis=1)
    return length[np.lexsort((length, kind))]


def different(
    numbers: Int[Array, " atom"], positions: Float[Array, "conformer atom 3"], least: float
) -> Int[Array, " kept"]:
    """Conformers that differ from all kept before them by a distance RMSD of `least` [Å].

    The distance RMSD is the root mean square difference of distances sorted as in `sorted_distances`. It depends
    neither on rotation and reflection nor on the order of equal atoms, and is at most twice the RMSD of the atoms.
    """
    kept: list[int] = []
    rows = [sorted_distances(numbers, x) for x in positions]
    for n, row in enumerate(rows):
        if all(np.sqrt(np.square(row - rows[m]).mean()) >= least for m in kept):
            kept.append(n)
    return np.array(kept, np.int64)


def _signed_means(distances: Float[Array, " pair"]) -> Float[Array, " number"]:
    """Means over pairs of +-d; each moves by at most the root mean square change of the distances."""
    count = len(distances)
    return distances @ _signs()[np.arange(count) % RANKS] / max(count, 1)


def _near_another(values: Float[Array, "sample number"], composition: Int[Array, " sample"]) -> Int[Array, " near"]:
    """Indices of the samples that have another one of their composition within the tolerance in every number."""
    order = np.argsort(composition, kind="stable")
    near = [np.arange(0)]
    for group in np.split(order, np.flatnonzero(np.diff(composition[order])) + 1):
        if len(group) > 1:
            tree = spatial.cKDTree(values[group])
            for start in range(0, len(group), CHUNK):
                some = group[start : start + CHUNK]
                distance = tree.query(values[some], k=2, p=np.inf, distance_upper_bound=SLACK)[0][:, 1]
                near.append(some[np.isfinite(distance)])
    return np.sort(np.concatenate(near))


def _copies(points: Float[Array, "sample number"]) -> Iterator[tuple[int, int]]:
    """Pairs of points in the same small cell, of which one is the first there."""
    _, first, cell = np.unique(np.floor(points / COPY), axis=0, return_index=True, return_inverse=True)
    for n, m in enumerate(first[cell.ravel()].tolist()):
        if n != m:
            yield m, n


def _neighbours(points: Float[Array, "sample number"]) -> Iterator[tuple[int, int]]:
    """Pairs of points within the tolerance in every number."""
    tree = spatial.cKDTree(points)
    for start in range(0, len(points), CHUNK):
        found = tree.query_ball_point(points[start : start + CHUNK], SLACK, p=np.inf)
        yield from ((n, m) for n, near in enumerate(found, start) for m in near if m < n)


def _root(root: list[int], n: int) -> int:
    """First sample of the group of sample `n`; the way there is shortened."""
    while root[n] != n:
        root[n] = root[root[n]]
        n = root[n]
    return n


def _same(a: Float[Array, " pair"], b: Float[Array, " pair"]) -> bool:
    """True if no distance differs by more than two atoms within the tolerance can make it."""
    return len(a) == len(b) and (not len(a) or float(np.sqrt(((a - b) ** 2).mean())) <= 2 * TOLERANCE)
