"""Held-out geometries that are in the train split too: the same molecule, turned, reflected, shifted or renumbered.

Identity is by content, never by name or path: composition, and geometry up to a tolerance. A few numbers of a sample
move by at most the root mean square displacement of its atoms. Samples that could be the same lie in the same bin of
these numbers, so that the time is linear in the number of samples; distances of pairs decide between candidates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..._typing import Array, Float, Int, UInt64
from ...errors import UserError
from .scales import blocks

TOLERANCE = 1e-3  # [Å] root mean square displacement below which two geometries are the same
NUMBERS = 8  # invariants of a sample
WIDTH = 10 * TOLERANCE  # of a bin: a narrower one has more neighbours to look into, a wider one more candidates
SLACK = TOLERANCE * (1 + 1e-2)  # invariants are in single precision
BATCH = 1 << 14  # held-out samples compared at a time, or samples whose keys are made at a time
PRIME = np.uint64(0x9E3779B97F4A7C15)  # of the hash: odd, near 2^64 divided by the golden ratio
RANKS = 4096  # signs of the invariants, by rank of an atom, repeat beyond so many atoms


def duplicates(data: xr.Dataset) -> dict[str, Int[Array, " twin"]]:
    """Samples of each held-out split that have a twin in the train split, by the name of the split.

    Args:
        data: frames or geometries in order, with `split`.
    """
    names, split = data["split"].attrs["flag_meanings"].split(), data["split"].values
    values, composition = _invariants(data)
    train = np.flatnonzero(split == 0)
    some = [train[start : start + BATCH] for start in range(0, len(train), BATCH)]
    key = np.concatenate([_keys(composition[n], _bins(values[n])) for n in some])
    order = np.argsort(key)
    known = _Known(values, train[order], key[order])
    del some, train, key, order  # they take as much as the rest
    twins = np.zeros(len(split), bool)
    held = np.flatnonzero(split > 0)
    for start in range(0, len(held), BATCH):
        sample, candidate = known.candidates(held[start : start + BATCH], composition)
        twins[_confirmed(data, sample, candidate)] = True
    return {name: np.flatnonzero(twins & (split == k)) for k, name in enumerate(names) if k > 0}


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


@dataclass(frozen=True)
class _Known:
    """Samples of the train split in the order of the keys of their bins.

    values: invariants of all samples.
    samples: those of the train split, in the order of `keys`.
    """

    values: Float[Array, "any number"]
    samples: Int[Array, " sample"]
    keys: UInt64[Array, " sample"]

    def candidates(
        self, held: Int[Array, " held"], composition: UInt64[Array, " any"]
    ) -> tuple[Int[Array, " pair"], Int[Array, " pair"]]:
        """Pairs of a held-out sample and one for training with invariants within the tolerance, the nearest first."""
        row, bins = np.arange(len(held)), np.zeros((len(held), 0), np.int64)
        low, high = (_bins(self.values[held] + step) for step in (-SLACK, SLACK))
        for k in range(NUMBERS):  # every bin that a sample within the tolerance can lie in
            both = np.flatnonzero(low[row, k] != high[row, k])
            column = np.concatenate([low[row, k], high[row[both], k]])
            row, bins = np.concatenate([row, row[both]]), np.concatenate([bins, bins[both]])
            bins = np.column_stack([bins, column])
        key = _keys(composition[held[row]], bins)
        begin, end = (np.searchsorted(self.keys, key, side) for side in ("left", "right"))
        sample, candidate = held[np.repeat(row, end - begin)], self.samples[_ranges(begin, end)]
        away = np.abs(self.values[sample] - self.values[candidate]).max(1)
        order = np.lexsort((candidate, away, sample))
        order = order[away[order] <= SLACK]
        return sample[order], candidate[order]


def _confirmed(data: xr.Dataset, sample: Int[Array, " pair"], candidate: Int[Array, " pair"]) -> Int[Array, " twin"]:
    """Samples that are the same as one of their candidates, by the distances of all pairs of atoms.

    Args:
        data: the samples.
        sample, candidate: pairs, those of a sample one after another.
    """
    found = []
    while len(sample):
        first = np.append(True, sample[1:] != sample[:-1])  # the nearest candidate that is left of each sample
        distances = _distances(data, np.unique([sample[first], candidate[first]]))
        pairs = zip(sample[first].tolist(), candidate[first].tolist(), strict=True)
        same = np.array([_same(distances[n], distances[m]) for n, m in pairs])
        found.append(sample[first][same])
        left = ~first & ~np.isin(sample, found[-1])
        sample, candidate = sample[left], candidate[left]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _bins(values: Float[Array, "sample number"]) -> Int[Array, "sample number"]:
    return np.floor(values / WIDTH).astype(np.int64)


def _keys(composition: UInt64[Array, " sample"], bins: Int[Array, "sample number"]) -> UInt64[Array, " sample"]:
    """Hash of the composition and the bin of each sample; two that collide are told apart by their distances."""
    key = composition.copy()
    for column in bins.T:
        key = (key ^ column.astype(np.uint64)) * PRIME
        key ^= key >> np.uint64(29)
    return key


def _ranges(begin: Int[Array, " range"], end: Int[Array, " range"]) -> Int[Array, " number"]:
    """The numbers from each beginning up to its end, one range after another."""
    size = end - begin
    return np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(size.sum())


def _invariants(data: xr.Dataset) -> tuple[Float[Array, "sample number"], UInt64[Array, " sample"]]:
    """Invariants of each sample, and a hash of its composition.

    Each is the mean over atoms of +-r, with r the distance from the centre and a sign that depends on the rank of r
    among the atoms of the element. Sorting never increases differences, so that it moves by the root mean square
    displacement at most. In periodic frames r is the length of the force, which does not depend on the cell chosen.
    """
    rng = np.random.default_rng(0x2B1D)
    signs = rng.choice(np.array([-1, 1], np.int8), (NUMBERS, RANKS))
    signs[0] = 1
    words = rng.integers(0, 2**64, 256, np.uint64)  # one for each element; their sum does not depend on the order
    atoms = data["atoms"].values
    values = np.empty((data.sizes["sample"], NUMBERS), np.float32)
    composition = np.empty(data.sizes["sample"], np.uint64)
    for frames, part in blocks(data):
        count = atoms[frames]
        first = np.cumsum(count) - count
        sample = np.repeat(np.arange(len(count)), count)
        number = data["numbers"].variable[part].values.astype(np.int64)
        radius = _radii(data, frames, part, sample)
        order = np.lexsort((radius, sample * 256 + number))
        place = np.arange(len(order)) - np.repeat(first, count)
        for k in range(NUMBERS):
            values[frames, k] = np.add.reduceat(signs[k, place % RANKS] * radius[order], first) / count
        composition[frames] = np.add.reduceat(words[number], first)
    return values, composition


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


def _distances(data: xr.Dataset, samples: Int[Array, " sample"]) -> dict[int, Float[Array, " pair"]]:
    """Distances of all pairs of atoms of each sample, sorted within each pair of elements; samples ascending."""
    found, starts = {}, np.concatenate([[0], np.cumsum(data["atoms"].values)])
    for frames, part in blocks(data):
        mine = samples[slice(*np.searchsorted(samples, [frames.start, frames.stop]))].tolist()
        if not mine:
            continue
        positions = data["positions"].variable[part].values.astype(np.float64)
        numbers = data["numbers"].variable[part].values.astype(np.int64)
        for n in mine:
            own = slice(int(starts[n]) - part.start, int(starts[n + 1]) - part.start)
            found[n] = _sorted_distances(positions[own], numbers[own])
    return found


def _sorted_distances(x: Float[Array, "atom 3"], number: Int[Array, " atom"]) -> Float[Array, " pair"]:
    i, j = np.triu_indices(len(x), 1)
    kind = np.maximum(number[i], number[j]) * 256 + np.minimum(number[i], number[j])
    length = np.linalg.norm(x[i] - x[j], axis=1)
    return length[np.lexsort((length, kind))]


def _same(a: Float[Array, " pair"], b: Float[Array, " pair"]) -> bool:
    """True if no distance differs by more than two atoms within the tolerance can make it."""
    return len(a) == len(b) and (not len(a) or float(np.sqrt(((a - b) ** 2).mean())) <= 2 * TOLERANCE)
