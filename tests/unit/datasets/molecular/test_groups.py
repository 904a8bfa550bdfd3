"""Groups: components of a graph by a second road, and clusters of samples that are not independent."""

import networkx
import numpy as np
import pytest

from twirlscope.datasets.molecular import groups


@pytest.mark.parametrize("seed", range(5))
def test_joined__are_the_components_of_the_graph_of_shared_labels(seed):
    random = np.random.default_rng(seed)
    labels = [random.integers(0, k, 200) for k in (150, 180, 160)]
    graph = networkx.Graph()
    for n in range(200):
        graph.add_edges_from((n, (k, label[n])) for k, label in enumerate(labels))
    expected = np.empty(200, int)
    for k, component in enumerate(networkx.connected_components(graph)):
        expected[[n for n in component if not isinstance(n, tuple)]] = k
    assert groups.joined(*labels).tolist() == groups.numbered(expected).tolist()


def test_joined__of_one_label_is_numbered_by_first_appearance():
    assert groups.joined(np.array([7, -2, 7, 0])).tolist() == [0, 1, 0, 2]


def test_clusters__are_molecules_but_samples_in_a_split_of_one_molecule():
    molecule, twins = np.array([0, 0, 1, 1, 0, 0, 0]), np.array([0, 1, 2, 3, 4, 5, 5])
    split = np.array([0, 0, 0, 0, 1, 1, 1])
    found = groups.clusters(molecule, twins, split)
    assert found.tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert found.dtype == np.int32
