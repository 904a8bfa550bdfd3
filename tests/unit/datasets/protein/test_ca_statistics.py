import json
import os
from pathlib import Path

import numpy as np
import pytest

from twirlscope.datasets.protein import ca_statistics
from twirlscope.datasets.protein.ca_statistics import STATES

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "no data")) / "proteins"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set TWIRLSCOPE_DATA to their folder")


def helix(residues=40, rise=0.15, turn=100.0, radius=0.23):
    """CA atoms of a right-handed helix [nm]: the ideal alpha helix of textbooks."""
    phase = np.radians(turn) * np.arange(residues)
    return np.stack([radius * np.cos(phase), radius * np.sin(phase), rise * np.arange(residues)], 1)


def test_angles__of_an_ideal_helix_are_those_of_the_literature_and_its_mirror_image_turns_the_other_way():
    x = helix()
    angle, dihedral = ca_statistics.angles(x)
    np.testing.assert_allclose(angle, np.radians(91), atol=0.02)
    np.testing.assert_allclose(dihedral, np.radians(50), atol=0.02)
    mirrored = ca_statistics.angles(x * [1, 1, -1])
    np.testing.assert_allclose(mirrored[0], angle)
    np.testing.assert_allclose(mirrored[1], -dihedral)


def test_angles__do_not_turn():
    x = np.cumsum(np.random.default_rng(0).normal(size=(12, 3)), 0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    for before, after in zip(ca_statistics.angles(x), ca_statistics.angles(x @ rotation.T + 2.0), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-12)


def test_radius_of_gyration__of_a_rod():
    x = np.stack([np.arange(11.0), np.zeros(11), np.zeros(11)], 1)
    assert ca_statistics.radius_of_gyration(x) == pytest.approx(np.sqrt((11**2 - 1) / 12))


@pytest.mark.slow
def test_transitions__recover_a_known_second_order_chain():
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.full(STATES, 0.3), size=(STATES, STATES))
    rows = np.tile([0, 1], (300, 1))
    for _ in range(1000):
        ends = truth[rows[:, -2], rows[:, -1]].cumsum(-1)
        drawn = (ends < rng.random((300, 1))).sum(-1).clip(max=STATES - 1)
        rows = np.concatenate([rows, drawn[:, None]], 1)
    pairs, triples = ca_statistics.transitions(list(rows))
    seen = np.zeros((STATES, STATES))
    np.add.at(seen, (rows[:, :-2], rows[:, 1:-1]), 1)
    often = seen > 2000
    assert often.sum() > 10
    assert np.abs(triples - truth)[often].max() < 0.05
    assert pairs.sum() == pytest.approx(1)
    np.testing.assert_allclose(triples.sum(-1), 1)


def test_cluster_labels__finds_clusters_that_are_apart_and_numbers_them_by_size():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [300, 200, 100])
    points = np.array([[0, 0], [9, 0], [0, 9]])[truth] + rng.normal(size=(600, 2))
    np.testing.assert_array_equal(ca_statistics.cluster_labels(points, 3, seed=3), truth)


def test_fit__of_one_helix_and_gyration_of_scaled_chains(tmp_path):
    rng = np.random.default_rng(0)
    walks = [np.cumsum(rng.normal(size=(n, 3)), 0) for n in rng.integers(50, 250, 300)]
    unit = [0.2 * len(w) ** 0.4 * w / ca_statistics.radius_of_gyration(w) for w in walks]
    radius, exponent, spread = ca_statistics.fit_gyration(unit)
    assert (radius, exponent) == pytest.approx((0.2, 0.4))
    assert spread == pytest.approx(0, abs=1e-6)
    states = ca_statistics.fit([helix(60) + rng.normal(size=(60, 3)) * 0.005 for _ in range(10)] + unit[:20])
    path = tmp_path / "table.json"
    ca_statistics.save(states, path, "by hand")
    again = ca_statistics.load(path)
    np.testing.assert_allclose(again.triples, states.triples, atol=1e-4)
    assert json.loads(path.read_text())["provenance"] == "by hand"


def test_load__gives_probabilities_and_a_helix_as_the_most_frequent_state():
    states = ca_statistics.load()
    assert states.triples.shape == (STATES,) * 3
    np.testing.assert_allclose(states.triples.sum(-1), 1)
    assert states.pairs.sum() == pytest.approx(1)
    most = states.pairs.sum(1).argmax()
    assert np.degrees(states.angle[most]) == pytest.approx(91, abs=4)
    assert np.degrees(states.dihedral[most]) == pytest.approx(50, abs=5)  # positive: right-handed
    assert "PDB" in ca_statistics.provenance()
    assert "CC0" in ca_statistics.provenance()


@pytest.mark.slow
@needs_data
def test_main__gives_the_table_that_is_packaged(tmp_path, monkeypatch):
    out = tmp_path / "table.json"
    given = [str(DATA), "--index", str(DATA / "index.csv"), "--provenance", "again", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["backbone_states", *given])
    ca_statistics.main()
    first, second = ca_statistics.load(out), ca_statistics.load()
    np.testing.assert_allclose(first.triples, second.triples, atol=1e-4)
    np.testing.assert_allclose(first.dihedral, second.dihedral, atol=1e-4)
    assert first.exponent == pytest.approx(second.exponent, abs=1e-4)
