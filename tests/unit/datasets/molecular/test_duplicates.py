"""Twins across splits: found whatever hides them, by comparison with all pairs as a second road, in linear time."""

import time

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.sparse.csgraph import connected_components

from twirlscope import plugins
from twirlscope.datasets.molecular.duplicates import TOLERANCE, twins
from twirlscope.datasets.protein import backbones
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.stages import prepare
from twirlscope.storage import store

NUMBERS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


def dataset(geometries, split, numbers=None):
    numbers = [NUMBERS] * len(geometries) if numbers is None else numbers
    flags = {"flag_values": [0, 1, 2], "flag_meanings": "train test other"}
    return xr.Dataset(
        {
            "atoms": ("sample", np.array([len(g) for g in geometries], np.int32)),
            "numbers": ("atom", np.concatenate(numbers).astype(np.int16)),
            "positions": (("atom", "xyz"), np.concatenate(geometries).astype(np.float32)),
            "split": ("sample", np.array(split, np.int8), flags),
        }
    )


def duplicates(data):
    """Samples of each held-out split that are in the train split too."""
    twin, split = twins(data), data["split"].values
    leaked = np.isin(twin, twin[split == 0])
    return {name: np.flatnonzero(leaked & (split == k)) for k, name in enumerate(("test", "other"), 1)}


def cloud(seed):
    return np.random.default_rng(seed).normal(size=(9, 3)) * 1.5


def hidden(x, seed, shake=0.0):
    """The geometry turned, perhaps reflected, shifted, its atoms renumbered within elements, and shaken a little."""
    rng = np.random.default_rng(seed)
    turn = so3.matrix(so3.haar(1, generator=torch.Generator().manual_seed(seed)))[0].numpy() * rng.choice([-1, 1])
    order = np.concatenate([rng.permutation(np.flatnonzero(z == NUMBERS)) for z in (6, 8, 1)])
    move = rng.normal(size=x.shape)
    return (x[order] @ turn.T + rng.normal(size=3) * 20) + shake * move / np.sqrt((move**2).sum(1).mean())


@pytest.mark.parametrize("shake", [0.0, 0.5 * TOLERANCE])
def test_duplicates__are_found_turned_reflected_shifted_and_renumbered(shake):
    train = [cloud(n) for n in range(300)]
    test = [hidden(train[n], n, shake) for n in (3, 70, 299)] + [cloud(1000)]
    other = [hidden(train[5], 9, shake), cloud(1001), cloud(1002)]
    found = duplicates(dataset([*train, *test, *other], [0] * 300 + [1] * 4 + [2] * 3))
    assert found["test"].tolist() == [300, 301, 302]
    assert found["other"].tolist() == [304]


def test_duplicates__are_no_other_elements_and_no_geometry_a_tenth_of_an_angstrom_away():
    train = [cloud(n) for n in range(50)]
    close = [x + 0.1 * np.random.default_rng(n).normal(size=x.shape) for n, x in enumerate(train)]
    assert not len(duplicates(dataset(train + close, [0] * 50 + [1] * 50))["test"])
    sulphur = [np.where(NUMBERS == 8, 16, NUMBERS)] * 50
    assert not len(duplicates(dataset(train + train, [0] * 50 + [1] * 50, [NUMBERS] * 50 + sulphur))["test"])


def test_duplicates__are_those_of_a_comparison_of_all_pairs():
    """A trajectory at rest: many near twins, on both sides of the tolerance."""
    rng = np.random.default_rng(4)
    step = 10 ** rng.uniform(-5, -1, 400)
    made = [cloud(0) + s * rng.normal(size=(9, 3)) for s in step]
    found = twins(dataset(made, [0] * 400))
    x = np.stack(made).astype(np.float32).astype(np.float64)
    i, j = np.triu_indices(9, 1)
    kind = np.minimum(NUMBERS[i], NUMBERS[j]) * 100 + np.maximum(NUMBERS[i], NUMBERS[j])
    length = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
    rows = np.concatenate([np.sort(length[:, kind == k], axis=1) for k in np.unique(kind)], 1)
    off = np.sqrt(((rows[:, None] - rows[None]) ** 2).mean(-1))
    must, may = (connected_components(off <= limit * TOLERANCE)[1] for limit in (0.3, 2))
    assert 10 < may.max() <= found.max() <= must.max() < 390
    assert is_finer(must, found)
    assert is_finer(found, may)


def is_finer(a, b):
    """True if samples of one group of `a` are in one group of `b`."""
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist()))


@pytest.mark.slow
def test_twins__of_many_copies_take_time_in_proportion_to_them():
    """Copies are compared with one of them, not with each other."""
    taken = {}
    for count in (250, 2000):
        data = dataset([hidden(cloud(0), n) for n in range(count)], [0] * count)
        start = time.process_time()
        assert not twins(data).any()
        taken[count] = time.process_time() - start
    assert taken[2000] < 20 * taken[250] + 0.5


def test_twins__of_geometries_that_differ_in_a_torsion_only_are_told_apart():
    """Hydrogen peroxide: all distances from the centre are the same, whatever the torsion."""
    angle = np.linspace(0.5, 2.6, 60)
    rows = np.stack([np.full(60, 0.95), 0.9 * np.cos(angle), 0.9 * np.sin(angle)], 1)
    made = [np.array([[-0.7, 0, 0], [0.7, 0, 0], [-0.95, 0.9, 0], row]) for row in rows]
    assert len(set(twins(dataset(made, [0] * 60, [np.array([8, 8, 1, 1])] * 60)).tolist())) == 60


def test_duplicates__take_time_in_proportion_to_the_samples():
    rng = np.random.default_rng(0)
    taken = {}
    for count in (2000, 16000):
        made = [cloud(0) + 0.1 * rng.normal(size=(9, 3)) for _ in range(count)]
        data = dataset(made, rng.permutation([0] * (count * 9 // 10) + [1] * (count - count * 9 // 10)))
        start = time.process_time()
        assert not len(duplicates(data)["test"])
        taken[count] = time.process_time() - start
    assert taken[16000] < 20 * taken[2000] + 0.5, "eight times the samples; all pairs would take sixty-four times"


def xyz(path, *geometries, head="energy=-5.5"):
    """A file of labelled frames of nine atoms."""
    text = ""
    for n, x in enumerate(geometries):
        rows = (f"{'?HxxxxCxO'[z]} {a} {b} {c} 0.1 0 {n}\n" for z, (a, b, c) in zip(NUMBERS, x.tolist(), strict=True))
        text += f"9\nProperties=species:S:1:pos:R:3:forces:R:3 {head.format(n)}\n" + "".join(rows)
    path.write_text(text)
    return str(path)


def prepared(folder, **section):
    made = plugins.make_dataset({"name": "extxyz", **section})
    prepare.prepare_part(made, 0, folder / "part.zarr.zip")
    prepare.prepare(made, [folder / "part.zarr.zip"], folder / "data.zarr.zip")
    return store.load(folder / "data.zarr.zip")


def test_prepare__refuses_a_few_frames_of_a_test_file_that_are_in_the_file_for_training_or_counts_them(tmp_path):
    """As in the proxy test sets of 3BPA: cut from a file that shares frames with the one for training."""
    train = [spread(n) for n in range(40)]
    test = [hidden(train[n], n) for n in (4, 11, 30)] + [spread(n) for n in range(100, 117)]
    files = {
        "files": [xyz(tmp_path / "train.xyz", *train)],
        "test_files": {"test": [xyz(tmp_path / "test.xyz", *test)]},
    }
    with pytest.raises(
        UserError, match=r"got 3 of 20 samples of 'test' that are \(the first is sample 40\); remove them"
    ):
        prepared(tmp_path, **files)
    data = prepared(tmp_path, **files, allow_duplicates=True)
    assert data.attrs["duplicates"] == '{"test": 3}'


def test_prepare__keeps_twins_on_one_side_of_a_random_split(tmp_path):
    """Every frame twice, in another file, turned and under another name."""
    once = [spread(n) for n in range(30)]
    files = [
        xyz(tmp_path / "a.xyz", *once, head='energy=-5.5 name="a{}"'),
        xyz(tmp_path / "b.xyz", *(hidden(x, n) for n, x in enumerate(once)), head='energy=-5.5 name="b{}"'),
    ]
    data = prepared(tmp_path, files=files, split_by="frame", test_fraction=0.2)
    split = data["split"].values
    assert split[:30].tolist() == split[30:].tolist()
    assert split.sum() == 12
    assert data.attrs["duplicates"] == "{}"
    assert data["cluster"].values[:30].tolist() == data["cluster"].values[30:].tolist()


def test_prepare__keeps_copies_of_chains_without_known_residues_together():
    """All residues unknown: no k-mer says that the chains are alike."""
    traces = [np.cumsum(0.38 * unit(n), 0) for n in range(20)]
    turned = [x @ so3.matrix(so3.haar(1, generator=torch.Generator().manual_seed(9)))[0].numpy() for x in traces]
    chains = [backbones.Chain(n, f"c{n}", x, "X" * 50) for n, x in enumerate([*traces, *turned])]
    for split_by in ("chain", "cluster"):
        settings = backbones.BackboneSettings(split_by=split_by, test_fraction=0.3)
        data = Chains(settings).finish(backbones.to_dataset(chains))
        assert data["split"].values[:20].tolist() == data["split"].values[20:].tolist()
        assert data["split"].values.sum() == 12
        assert data["cluster"].values.tolist() == [*range(20), *range(20)]
        assert data.attrs["duplicates"] == "{}"


class Chains(backbones.Backbones):
    """Chains that a test made."""

    Settings = backbones.BackboneSettings

    def read(self, part):
        raise NotImplementedError


def spread(seed):
    """A geometry without atoms on top of each other."""
    rng = np.random.default_rng(seed)
    return np.arange(9)[:, None] * 1.1 + rng.uniform(0, 0.4, (9, 3))


def unit(seed):
    steps = np.random.default_rng(seed).normal(size=(50, 3))
    return steps / np.linalg.norm(steps, axis=1, keepdims=True)
