import math

import numpy as np
import pytest
import xarray as xr

from twirlscope.datasets.molecular import frames, scales
from twirlscope.errors import UserError
from twirlscope.geometry import cells
from twirlscope.settings.prepare import DatasetSettings
from twirlscope.sources import split_index
from twirlscope.storage import registry, store


class Made(frames.Frames):
    """Frames that a test made."""

    Settings = DatasetSettings

    def read(self, part):
        raise NotImplementedError


def frame(order, numbers, energy=0.0, molecule="m", **more):
    rng = np.random.default_rng(order)
    positions = np.arange(len(numbers))[:, None] * 1.1 + rng.uniform(0, 0.1, (len(numbers), 3))
    forces = rng.normal(size=positions.shape)
    return frames.Frame(
        order,
        np.array(numbers),
        **({"positions": positions, "forces": forces} | more),
        energy=float(energy),
        molecule=molecule,
    )


def finished(made, **settings):
    return Made(DatasetSettings(**{"split_by": "frame"} | settings)).finish(frames.to_dataset(made))


def changed(numbers=(8, 1, 1), **more):
    return frame(0, list(numbers), **more)


ALL = {"periodic": (True, True, True)}
X = np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (changed(positions=np.where(np.eye(3), np.nan, X)), "not finite"),
        (changed(forces=np.where(np.eye(3), np.inf, X)), "not finite"),
        (changed(energy=math.nan), "not finite"),
        (changed(forces=X[:2]), "shape"),
        (changed(positions=X[:2]), "shape"),
        (changed(numbers=(), positions=X[:0], forces=X[:0]), "no atoms"),
        (changed(numbers=(8, 0, 1)), "not a chemical element"),
        (changed(**ALL), "the cell is missing"),
        (changed(cell=np.eye(3)[:2], **ALL), "not three finite lattice vectors"),
        (changed(cell=np.full((3, 3), np.inf), **ALL), "not three finite lattice vectors"),
        (changed(cell=np.diag([5.0, 5, 0]), **ALL), "lattice vector is missing"),
        (changed(cell=np.array([[5.0, 0, 0], [0, 5, 0], [3, 4, 0]]), **ALL), "singular"),
        (changed(positions=X, cell=np.diag([1.2, 5, 5]), **ALL), "closer"),  # over a face: 0.2 Å
        (changed(stress=np.full((3, 3), np.nan)), "stress"),
        (changed(stress=np.eye(3) * 1e3), "stress"),
        (changed(forces=X * 2e4), "above"),
        (changed(positions=X * 0.29), "closer"),
    ],
)
def test_reject_reason__names_what_is_wrong(bad, reason):
    assert reason in frames.reject_reason(bad)


def test_reject_reason__passes_a_sound_frame_and_no_single_atom():
    assert frames.reject_reason(changed()) is None
    alone = {"numbers": (1,), "positions": X[:1], "forces": X[:1]}
    assert "a single atom" in frames.reject_reason(changed(**alone))
    assert frames.reject_reason(changed(**alone, cell=np.eye(3) * 3, **ALL)) is None, (
        "the cell of a crystal may have one"
    )


@pytest.mark.parametrize("cell", [np.diag([5.0, 5, -5]), np.array([[6.0, 0, 0], [3, 4, 0], [0, 9, 4]])])
def test_reject_reason__passes_periodic_frames_left_handed_and_skewed_ones_too(cell):
    assert frames.reject_reason(changed(positions=X, cell=cell, **ALL)) is None


def test_reject_reason__passes_a_slab_whose_third_vector_is_missing():
    slab = {"cell": np.diag([5.0, 5, 0]), "periodic": (True, True, False)}
    assert frames.reject_reason(changed(positions=X, **slab)) is None


def test_reject_reason__finds_every_overlap_that_all_pairs_find():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        x = rng.uniform(0, 4, (30, 3))
        close = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(30, 1)].min() < cells.SMALLEST_DISTANCE
        assert close == (frames.reject_reason(frame(0, [6] * 30, positions=x)) is not None)
        found += close
    assert 20 < found < 180


def test_finish__references_are_those_the_energies_were_made_from():
    true = {1: -13.5, 6: -1030.0, 8: -2040.0}
    compositions = [[1, 1], [8, 1, 1], [6, 1, 1, 1, 1], [6, 8], [6, 8, 8], [6, 1, 1, 8]] * 4
    data = finished([frame(i, c, sum(true[z] for z in c)) for i, c in enumerate(compositions)])
    assert data["element"].values.tolist() == [1, 6, 8]
    np.testing.assert_allclose(data["reference_energy"], list(true.values()), rtol=1e-10)
    assert float(data["energy_scale"]) == 1.0  # nothing is left to scale


def test_finish__references_are_the_smallest_where_one_composition_leaves_them_open():
    data = finished([frame(i, [8, 1, 1], -7.0 + (-1) ** i * 0.3) for i in range(20)], test_fraction=0.5)
    train = data["split"].values == 0
    mean = data["energy"].values[train].mean()
    np.testing.assert_allclose(
        data["reference_energy"], [2 * mean / 5, mean / 5]
    )  # the line 2 h + o = mean, nearest to 0
    assert float(data["energy_scale"]) == pytest.approx(data["energy"].values[train].std() / 3)


def test_finish__scales_make_the_loss_of_predicting_nothing_one():
    rng = np.random.default_rng(0)
    made = [frame(i, [8] + [1] * (1 + i % 5), rng.normal() - 10 * (i % 5)) for i in range(50)]
    data = finished(made)
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
    reference = dict(zip(data["element"].values.tolist(), data["reference_energy"].values, strict=True))
    rest, forces = [], []
    for i in split_index(data, "train"):
        atoms = slice(first[i], first[i + 1])
        numbers = data["numbers"].values[atoms].tolist()
        rest.append((float(data["energy"][i]) - sum(reference[z] for z in numbers)) / len(numbers))
        forces.append(data["forces"].values[atoms].astype(float))
    assert np.mean(np.square(rest)) / float(data["energy_scale"]) ** 2 == pytest.approx(1)
    assert np.mean(np.concatenate(forces) ** 2) / float(data["force_scale"]) ** 2 == pytest.approx(1)


@pytest.mark.parametrize(
    ("count", "fraction", "test"), [(50, 0.1, 5), (50, 0.25, 12), (2, 0.01, 1), (2, 0.99, 1), (7, 0.9, 6)]
)
def test_finish__holds_out_an_exact_share_of_frames(count, fraction, test):
    data = finished([frame(i, [8, 1, 1], i) for i in range(count)], test_fraction=fraction)
    assert len(split_index(data, "test")) == test
    assert len(split_index(data, "train")) == count - test


def test_finish__holds_out_whole_molecules():
    made = [frame(i, [6] * (1 + i % 10) + [1], i, "") for i in range(60)]
    data = finished(made, split_by="molecule", test_fraction=0.3)
    test = set(data["molecule"].values[split_index(data, "test")])
    assert len(test) == 3
    assert not test & set(data["molecule"].values[split_index(data, "train")])


def test_finish__draws_another_split_from_another_seed_and_the_same_from_the_same():
    made = [frame(i, [6, 1], i) for i in range(60)]
    one, again, other = (finished(made, seed=s)["split"].values.tolist() for s in (0, 0, 1))
    assert one == again != other


def test_finish__keeps_every_element_in_the_train_split():
    made = [frame(i, [6] * (i + 1) + [1], i, f"m{i}") for i in range(9)] + [frame(9, [17, 1], 0, "HCl")]
    for seed in range(20):
        data = finished(made, seed=seed, split_by="molecule", test_fraction=0.8)
        assert data["split"].values[9] == 0
        assert data["split"].values.sum() == 8


def test_finish__refuses_what_cannot_be_split():
    with pytest.raises(UserError, match="at least two different molecules, got 1; set split_by: frame, or name files"):
        finished([frame(i, [6, 1]) for i in range(9)], split_by="molecule")
    with pytest.raises(UserError, match="without losing an element"):
        finished([frame(0, [6, 1]), frame(1, [8, 1])])


def test_finish__keeps_a_split_that_is_given_and_names_elements_it_does_not_train():
    given = [frame(i, [6, 1], i, split=int(i >= 6)) for i in range(8)]
    assert finished(given)["split"].values.tolist() == [0] * 6 + [1] * 2
    with pytest.raises(UserError, match=r"\[9\] in other splits only"):
        finished([*given, frame(8, [9, 1], split=1)])
    with pytest.raises(UserError, match="in every split, got 6 in train, 0 in test"):
        finished(given[:6])


def test_finish__refuses_forces_that_are_all_zero():
    with pytest.raises(UserError, match="not zero"):
        finished([frame(i, [1, 1], i, forces=np.zeros((2, 3))) for i in range(4)])


def test_finish__puts_frames_in_order_with_their_atoms():
    made = [frame(i, [6 + i // 5] + [1] * (i % 4), i, f"m{i // 5}") for i in range(20)]
    straight, mixed = finished(made), finished([made[i] for i in np.random.default_rng(1).permutation(20)])
    xr.testing.assert_identical(straight, mixed)
    assert straight["molecule_name"].values.tolist() == ["m0", "m1", "m2", "m3"]
    assert straight["molecule"].values.tolist() == [i // 5 for i in range(20)]


def test_finish__gives_what_the_registry_declares(tmp_path):
    data = finished([frame(i, [6, 1], i, temperature=300.0) for i in range(9)])
    registry.save(data, tmp_path / "data.zarr.zip")
    back = store.load(tmp_path / "data.zarr.zip")
    assert back["split"].attrs["flag_meanings"] == "train test"
    assert list(back["split"].attrs["flag_values"]) == [0, 1]
    assert back["forces"].attrs["units"] == "eV angstrom-1"
    np.testing.assert_array_equal(split_index(back, "test"), split_index(data, "test"))


def test_to_dataset__of_no_frames_is_none():
    assert frames.to_dataset([]) is None
    assert frames.in_blocks(iter([])) is None


def test_in_blocks__is_the_dataset_of_all_frames(monkeypatch):
    monkeypatch.setattr(frames, "FRAMES_IN_BLOCK", 3)
    made = [frame(i, [6] + [1] * (i % 4), i, f"m{i % 3}") for i in range(10)]
    xr.testing.assert_identical(frames.in_blocks(iter(made)), frames.to_dataset(made))
    assert frames.in_blocks(iter(made))["positions"].dtype == np.float32


@pytest.mark.parametrize(("factor", "named", "refused"), [(1, False, False), (6, True, False), (100, True, True)])
def test_finish__names_a_frame_that_makes_much_of_a_scale_and_refuses_one_that_makes_it(capsys, factor, named, refused):
    rng = np.random.default_rng(3)
    forces = [rng.normal(size=(3, 3)) for _ in range(200)]
    forces[70] = factor * forces[70]
    made = [frame(i, [8, 1, 1], 0.01 * i, str(i % 9), forces=f) for i, f in enumerate(forces)]
    data = frames.to_dataset(made)
    split = DatasetSettings(test_fraction=0.005, split_by="frame")
    if refused:
        with pytest.raises(UserError, match=r"forces: expected at most 50 %.*sample 70 carries 9\d"):
            scales.scaled(*frames.assign_splits(data, split))
    else:
        scales.scaled(*frames.assign_splits(data, split))
    share = (forces[70] ** 2).sum() / sum((f**2).sum() for f in forces)
    assert (share > scales.NAMED_SHARE) == named
    assert ("sample 70 carries" in capsys.readouterr().out) == (named and not refused)
