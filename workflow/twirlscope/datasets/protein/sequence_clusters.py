"""Clusters of similar protein sequences, by the words they share: no alignment, and the same whatever the order.

Two sequences are linked when they share enough words of four letters, and clusters are what links connect. So no pair
above the threshold is ever in two clusters: what a split by cluster needs. Linked chains of links may join sequences
that are not alike; that costs variety, not honesty.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, lil_matrix
from scipy.sparse.csgraph import connected_components

from ..._typing import Array, Int, Sequence

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
WORD = 4  # letters: of two unrelated sequences of 200, about one word in 500 agrees by chance
CHANCE = 2  # shared words that mean nothing
SHARED = 0.02  # share of the words of the shorter one that must agree beyond those: an identity of 40 to 50 %
ROWS = 500  # sequences compared with all others at once: bounds the memory


def words(sequence: str) -> Int[Array, " word"]:
    """The different words of a sequence, as numbers; words with a letter that is no amino acid are left out."""
    digits = np.array([LETTERS.find(c) for c in sequence], np.int64)
    if len(digits) < WORD:
        return np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(digits, WORD)
    return np.unique(windows[(windows >= 0).all(1)] @ len(LETTERS) ** np.arange(WORD))


def clusters(sequences: Sequence[str]) -> Int[Array, " sequence"]:
    """Number of the cluster of each sequence; clusters are numbered by their first sequence."""
    found = [words(s) for s in sequences]
    sizes = np.array([len(w) for w in found])
    first = np.concatenate([[0], np.cumsum(sizes)])
    columns = np.concatenate(found)
    table = csr_matrix((np.ones(len(columns)), columns, first), (len(found), len(LETTERS) ** WORD))
    links = lil_matrix((len(found), len(found)), dtype=bool)
    for start in range(0, len(found), ROWS):
        shared = (table[start : start + ROWS] @ table.T).tocoo()
        row = shared.row + start
        fewer = np.minimum(sizes[row], sizes[shared.col])
        alike = shared.data >= np.minimum(CHANCE + SHARED * fewer, fewer)
        links[row[alike], shared.col[alike]] = True
    label = connected_components(links.tocsr(), directed=False)[1]
    _, place, inverse = np.unique(label, return_index=True, return_inverse=True)
    return place.argsort().argsort()[inverse]
