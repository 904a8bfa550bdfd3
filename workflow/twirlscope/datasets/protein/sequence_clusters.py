"""Clusters of similar protein sequences by shared k-mers, without alignment and independent of the order.

Two sequences are linked if they share enough k-mers of four letters. Clusters are the connected components (single
linkage). So two sequences above the threshold are never in different clusters, as a split by cluster requires. A
cluster may also hold sequences that are not similar: the split stays valid, but there are fewer clusters.
"""

from __future__ import annotations

import numpy as np

from ..._typing import Array, Int, Sequence
from ...errors import Deferred

sparse, csgraph = Deferred("scipy.sparse"), Deferred("scipy.sparse.csgraph")
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
K = 4  # letters of a k-mer: of two unrelated sequences of 200, about one in 500 is shared by chance
CHANCE = 2  # k-mers that may be shared by chance
SHARED = 0.02  # share of the k-mers of the shorter sequence, beyond CHANCE, that links two: an identity of 40 to 50 %
ROWS = 500  # sequences compared with all others at once, which limits the memory


def kmers(sequence: str) -> Int[Array, " kmer"]:
    """Distinct k-mers of a sequence, as numbers, without those that have a letter that is no amino acid."""
    digits = np.array([AMINO_ACIDS.find(c) for c in sequence], np.int64)
    if len(digits) < K:
        return np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(digits, K)
    return np.unique(windows[(windows >= 0).all(1)] @ len(AMINO_ACIDS) ** np.arange(K))


def clusters(sequences: Sequence[str]) -> Int[Array, " sequence"]:
    """Number of the cluster of each sequence; clusters are numbered by their first sequence."""
    found = [kmers(s) for s in sequences]
    sizes = np.array([len(w) for w in found])
    first = np.concatenate([[0], np.cumsum(sizes)])
    columns = np.concatenate(found)
    table = sparse.csr_matrix((np.ones(len(columns)), columns, first), (len(found), len(AMINO_ACIDS) ** K))
    links = sparse.lil_matrix((len(found), len(found)), dtype=bool)
    for start in range(0, len(found), ROWS):
        shared = (table[start : start + ROWS] @ table.T).tocoo()
        row = shared.row + start
        fewer = np.minimum(sizes[row], sizes[shared.col])
        alike = shared.data >= np.minimum(CHANCE + SHARED * fewer, fewer)
        links[row[alike], shared.col[alike]] = True
    label = csgraph.connected_components(links.tocsr(), directed=False)[1]
    _, place, inverse = np.unique(label, return_index=True, return_inverse=True)
    return place.argsort().argsort()[inverse]
