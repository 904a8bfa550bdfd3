"""Groups of samples that are not independent, such as the frames of a molecule or the chains of a family."""

from __future__ import annotations

import numpy as np

from ..._typing import Array, Bool, Int
from ...errors import Deferred

sparse, csgraph = Deferred("scipy.sparse"), Deferred("scipy.sparse.csgraph")


def numbered(labels: Int[Array, " sample"]) -> Int[Array, " sample"]:
    """Labels replaced by 0, 1, 2, ... in the order of their first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse]


def joined(*labels: Int[Array, " sample"]) -> Int[Array, " sample"]:
    """Connected components of samples that share a label in any of the arrays, numbered by first appearance."""
    group = numbered(labels[0])
    for other in labels[1:]:
        label = numbered(other)
        width = int(label.max()) + 1
        left, right = np.divmod(np.unique(group * width + label), width)
        nodes = int(group.max()) + 1 + width
        edges = sparse.coo_array((np.ones(len(left), bool), (left, right + nodes - width)), (nodes, nodes))
        group = csgraph.connected_components(edges, directed=False)[1][group].astype(np.int64)
    return numbered(group)


def clusters(
    group: Int[Array, " sample"], twins: Int[Array, " sample"], split: Int[Array, " sample"]
) -> Int[Array, " sample"]:
    """Clusters of samples that are not independent: the groups, but in a split of one group the groups of twins.

    Intervals over one cluster do not exist. So samples of a split of one group, such as frames of one molecule, are
    taken for independent; only twins, which have the same content, are one cluster.

    Args:
        group: number of the group of each sample, e.g. of its molecule.
        twins: number of the group of samples of the same content.
        split: number of the split.
    """
    cluster = group.astype(np.int64)
    for k in np.unique(split):
        mine = split == k
        if np.ptp(group[mine]) == 0:
            cluster[mine] = cluster.max() + 1 + twins[mine]
    return numbered(cluster).astype(np.int32)


def held_out(
    weight: Int[Array, " group"], wanted: int, has: Bool[Array, "group element"], seed: int
) -> Int[Array, " group"]:
    """1 for held-out groups: random ones whose weights sum to at most `wanted`.

    Args:
        weight: of each group, such as its number of samples.
        wanted: sum of the weights that is not exceeded.
        has: elements of each group; each element stays in a group that is not held out.
        seed: of the order of the groups.
    """
    remaining, test, held = has.sum(0), np.zeros(len(weight), np.int8), 0
    for g in np.random.default_rng([seed, 0x5B117]).permutation(len(weight)):
        if held + weight[g] <= wanted and (remaining[has[g]] > 1).all():
            remaining, test[g], held = remaining - has[g], 1, held + weight[g]
    return test
