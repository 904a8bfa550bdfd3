import numpy as np
import pytest

from twirlscope.datasets.protein import sequence_clusters
from twirlscope.datasets.protein.sequence_clusters import AMINO_ACIDS


def random_sequence(rng, length=150):
    return "".join(rng.choice(list(AMINO_ACIDS), length))


def mutated(rng, sequence, identity):
    """The sequence with each letter kept with this probability, and else replaced by another."""
    return "".join(c if rng.random() < identity else rng.choice(list(AMINO_ACIDS.replace(c, ""))) for c in sequence)


def test_kmers__are_the_different_windows_without_unknown_letters():
    assert len(sequence_clusters.kmers("ACDEF")) == 2
    assert len(sequence_clusters.kmers("AAAAAAA")) == 1
    assert len(sequence_clusters.kmers("ACDXEFGH")) == 1
    assert len(sequence_clusters.kmers("ACD")) == 0
    assert set(sequence_clusters.kmers("ACDE")) == set(sequence_clusters.kmers("ACDE" * 1))
    assert sequence_clusters.kmers("ACDE")[0] != sequence_clusters.kmers("EDCA")[0]


@pytest.mark.parametrize("identity", [1.0, 0.9, 0.7])
def test_clusters__join_near_duplicates(identity):
    rng = np.random.default_rng(0)
    found = [random_sequence(rng) for _ in range(20)]
    label = sequence_clusters.clusters(found + [mutated(rng, s, identity) for s in found])
    np.testing.assert_array_equal(label, np.tile(np.arange(20), 2))


def test_clusters__keep_unrelated_sequences_apart_and_a_piece_with_its_whole():
    rng = np.random.default_rng(1)
    found = [random_sequence(rng, int(n)) for n in rng.integers(50, 257, 200)]
    label = sequence_clusters.clusters([*found, found[7][20:50], "", ""])
    assert label[200] == label[7]
    assert (np.bincount(label)[label[-2:]] == 1).all()  # nothing is known of these: each is its own
    assert label.max() + 1 > 190  # of 202; a few are joined by chance


def test_clusters__are_what_the_links_connect_counted_by_hand():
    rng = np.random.default_rng(2)
    base = [random_sequence(rng, 80) for _ in range(6)]
    found = base + [mutated(rng, base[i % 6], 0.55) for i in range(30)]
    sets = [{s[i : i + 4] for i in range(len(s) - 3)} for s in found]
    link = [[len(a & b) >= 2 + 0.02 * min(len(a), len(b)) for b in sets] for a in sets]
    reach = np.array(link)
    for _ in range(8):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    label = sequence_clusters.clusters(found)
    np.testing.assert_array_equal(label[:, None] == label, reach)
    order = rng.permutation(len(found))
    shuffled = sequence_clusters.clusters([found[i] for i in order])
    np.testing.assert_array_equal(shuffled[:, None] == shuffled, reach[np.ix_(order, order)])


def test_clusters__are_the_same_in_pieces(monkeypatch):
    rng = np.random.default_rng(3)
    found = [random_sequence(rng, 60) for _ in range(9)] * 2
    whole = sequence_clusters.clusters(found)
    monkeypatch.setattr(sequence_clusters, "ROWS", 4)
    np.testing.assert_array_equal(sequence_clusters.clusters(found), whole)
