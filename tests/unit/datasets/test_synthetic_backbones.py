import numpy as np
import pytest
import torch

from twirlscope import plugins
from twirlscope.datasets import synthetic_backbones
from twirlscope.datasets.protein import ca_statistics
from twirlscope.stages import prepare
from twirlscope.storage import store


@pytest.fixture(scope="module")
def traces():
    torch.set_num_threads(1)
    found = make(chains=24, batch=24, anneal_steps=300).read(0)
    assert not found.rejects
    return split(found.samples)


def make(**settings):
    return plugins.make_dataset({"name": "synthetic_backbones", "parts": 1, **settings})


def split(samples):
    ends = np.cumsum(samples["atoms"].values)[:-1]
    return np.split(samples["ca_positions"].values.astype(np.float64), ends)


def test_read__gives_chains_of_the_lengths_asked_for_with_bonds_of_a_peptide(traces):
    assert {len(x) for x in traces} <= set(range(48, 97))
    assert len({len(x) for x in traces}) > 10
    for x in traces:
        np.testing.assert_allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), 0.38, atol=1e-4)
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)


def test_read__gives_right_handed_helices(traces):
    dihedral = np.concatenate([ca_statistics.angles(x)[1] for x in traces])
    right, left = ((np.abs(sign * dihedral - 0.87) < 0.35).mean() for sign in (1, -1))
    assert 0.25 < right < 0.5  # real chains: 0.38
    assert left < 0.1 * right


def test_read__gives_chains_as_compact_as_globular_proteins_without_overlaps(traces):
    states = ca_statistics.load()
    ratio = [ca_statistics.radius_of_gyration(x) / (states.radius * len(x) ** states.exponent) for x in traces]
    assert 0.9 < np.median(ratio) < 1.15
    for x in traces:
        distance = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 3)]
        assert distance.min() > 0.33
    contacts = [
        (np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 4)] < 0.8).sum() / len(x) for x in traces
    ]
    assert 1.4 < np.mean(contacts) < 2.8  # globular real chains of these lengths: 2.0


def test_read__prefers_no_direction(traces):
    ends = np.array([(x[-1] - x[0]) / np.linalg.norm(x[-1] - x[0]) for x in traces])
    assert np.linalg.norm(ends.mean(0)) < 3.5 / np.sqrt(len(ends))
    assert len({tuple(np.round((x[1] - x[0]) / 0.38, 3)) for x in traces}) == len(traces)


def test_prepare__gives_the_same_bytes_whatever_the_number_of_parts_and_says_synthetic(tmp_path):
    outs = []
    for parts in (1, 3):
        dataset = make(chains=10, batch=3, anneal_steps=3, max_rejected=1.0, parts=parts, test_fraction=0.3)
        paths = [tmp_path / f"{parts}.{p}.zarr.zip" for p in range(parts)]
        for part, path in enumerate(paths):
            prepare.prepare_part(dataset, part, path)
        outs.append(tmp_path / f"{parts}.zarr.zip")
        prepare.prepare(dataset, paths, outs[-1])
    assert outs[0].read_bytes() == outs[1].read_bytes()
    data = store.load(outs[0])
    assert "synthetic" in data.attrs["labels"]
    assert "PDB" in data.attrs["source"]
    assert all(name.startswith("synthetic") for name in data["chain"].values)


def test_read__depends_on_the_seed():
    first, other = (split(make(chains=3, batch=3, anneal_steps=100, seed=s).read(0).samples) for s in (0, 1))
    assert [len(x) for x in first] != [len(x) for x in other]


def test_sample_states__follows_the_table():
    states = ca_statistics.load()
    row = synthetic_backbones.sample_states(states, 3000, 60, np.random.default_rng(0))
    seen = np.bincount(row[:, 20:].ravel(), minlength=ca_statistics.STATES) / row[:, 20:].size
    np.testing.assert_allclose(seen, states.pairs.sum(1), atol=0.01)  # the stationary distribution
    most = row[:, 10] == 0
    again = np.bincount(row[most & (row[:, 11] == 0), 12], minlength=ca_statistics.STATES)
    np.testing.assert_allclose(again / again.sum(), states.triples[0, 0], atol=0.06)
