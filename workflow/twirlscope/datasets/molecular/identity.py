"""Molecules by content: two samples are of one molecule if they have the same given name or the same molecular graph.

Two atoms are bonded if they are closer than a multiple of the sum of their covalent radii. A graph has a key, a hash of
its elements and bonds by colour refinement (Weisfeiler and Lehman). The key depends neither on names and the order of
atoms, nor on positions and stereochemistry. Heat stretches bonds across one threshold, but seldom across several: a
sample has a key per threshold, and samples that share one are of one molecule. The rare graphs that colour refinement
cannot tell apart are one molecule too. Periodic frames have no graph: their key is their composition in lowest terms.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..._typing import Array, Float, Int, UInt
from ...errors import Deferred, needs
from .groups import joined
from .scales import BLOCK, blocks

sparse, spatial = Deferred("scipy.sparse"), Deferred("scipy.spatial")
FACTORS = (
    1.25,
    1.35,
)  # of the sum of covalent radii, below which two atoms are bonded
ROUNDS = 16  # of colour refinement: graphs that differ only in more distant pairs of atoms have the same key


def molecules(data: xr.Dataset, composition: xr.DataArray) -> tuple[Int[Array, " sample"], list[str]]:
    """Index of the molecule of each sample, and names of the molecules in the order of their first samples.

    A molecule is shown by its first given name. If it has none, it is shown by the formula of its first sample.

    Args:
        data: samples in order, with `sample_molecule`, the given name or empty.
        composition: number of atoms of each sample by element.
    """
    name, names = _named(data["sample_molecule"].values)
    index = joined(name, *graph_keys(data, composition).T)
    shown: dict[int, str] = {}
    given = np.flatnonzero(name < len(names))
    for label, first in zip(*_first_of(index[given], given), strict=True):
        shown[label] = names[name[first]]
    for label, first in zip(*_first_of(index, np.arange(len(index))), strict=True):
        shown.setdefault(label, formula(composition, first))
    return index.astype(np.int32), [shown[k] for k in range(len(shown))]


def formula(composition: xr.DataArray, sample: int) -> str:
    """Formula of a sample in Hill's order."""
    with needs("chemistry"):
        from ase.data import chemical_symbols
        from ase.formula import Formula

    counts = zip(composition["element"].values.tolist(), composition.values[sample].tolist(), strict=True)
    return Formula.from_dict({chemical_symbols[z]: n for z, n in counts if n}).format("hill")


def graph_keys(data: xr.Dataset, composition: xr.DataArray) -> Int[Array, "sample factor"]:
    """Key of the molecular graph of each sample at each threshold of `FACTORS`."""
    with needs("chemistry"):
        from ase.data import covalent_radii

    keys = np.empty((data.sizes["sample"], len(FACTORS)), np.uint64)
    for frames, part in blocks(data):
        atoms = data["atoms"].values[frames]
        number = data["numbers"].variable[part].values.astype(np.int64)
        radius = covalent_radii[number]
        positions = data["positions"].variable[part].values.astype(np.float64)
        pairs, length = _near_pairs(positions, atoms, 2 * max(FACTORS) * radius.max())
        length /= radius[pairs].sum(1)
        for k, factor in enumerate(FACTORS):
            keys[frames, k] = _graph_hash(number, pairs[length < factor], atoms)
    if "cell" in data:
        periodic = (data["cell"].values != 0).any((1, 2))
        counts = composition.values[periodic].astype(np.int64)
        lowest = counts // np.gcd.reduce(counts, axis=1, keepdims=True)
        element = _mixed(composition["element"].values.astype(np.uint64))
        keys[periodic] = _mixed((lowest.astype(np.uint64) * element).sum(1, dtype=np.uint64))[:, None]
    return keys.view(np.int64)


def _named(names: Array) -> tuple[Int[Array, " sample"], list[str]]:
    """Number of each given name, and the names; a sample without one has a number of its own, above these."""
    known: dict[str, int] = {}
    number = np.empty(len(names), np.int64)
    for start in range(0, len(names), BLOCK):
        part = [str(name) for name in names[start : start + BLOCK].tolist()]
        number[start : start + BLOCK] = [known.setdefault(name, len(known)) if name else -1 for name in part]
    without = number < 0
    number[without] = len(known) + np.arange(without.sum())
    return number, list(known)


def _first_of(labels: Int[Array, " n"], samples: Int[Array, " n"]) -> tuple[list[int], list[int]]:
    """Distinct labels, and the first sample of each."""
    distinct, first = np.unique(labels, return_index=True)
    return distinct.tolist(), samples[first].tolist()


def _near_pairs(
    positions: Float[Array, "atom 3"], atoms: Int[Array, " sample"], reach: float
) -> tuple[Int[Array, "pair 2"], Float[Array, " pair"]]:
    """Pairs of atoms of one sample that are closer than `reach`, and their distances [Å].

    A fourth coordinate puts the samples far apart, so that one tree serves a whole block of them.
    """
    apart = 2 * reach * np.repeat(np.arange(len(atoms)), atoms)
    tree = spatial.cKDTree(np.column_stack([positions, apart]), compact_nodes=False, balanced_tree=False)
    pairs = tree.query_pairs(reach, output_type="ndarray")
    return pairs, np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)


def _graph_hash(
    number: Int[Array, " atom"], bonds: Int[Array, "bond 2"], atoms: Int[Array, " sample"]
) -> UInt[Array, " sample"]:
    """Hash of the graph of each sample: the sum of the colours of its atoms, from their elements and bonds.

    Source: Weisfeiler and Lehman, Nauchno-Technicheskaya Informatsia 2, 12 (1968); Shervashidze et al., J. Mach. Learn.
    Res. 12, 2539 (2011).
    """
    ends = np.concatenate([bonds, bonds[:, ::-1]]).T
    bonded = sparse.coo_array((np.ones(ends.shape[1], np.uint64), tuple(ends)), (len(number), len(number))).tocsr()
    colour = _mixed(number.astype(np.uint64))
    for _ in range(ROUNDS):
        colour = _mixed(colour * np.uint64(3) + bonded @ colour)
    return _mixed(np.add.reduceat(colour, np.cumsum(atoms) - atoms))


def _mixed(x: UInt[Array, " n"]) -> UInt[Array, " n"]:
    """Well-mixed 64 bits of each number.

    Source: splitmix64 of Steele, Lea and Flood, OOPSLA 2014.
    """
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
