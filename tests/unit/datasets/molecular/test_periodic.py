"""Periodic frames from a file to the terms of a task, made on the spot with ASE's Lennard-Jones crystals."""

import ase.build
import ase.io
import numpy as np
import pytest
import torch
import toys
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import voigt_6_to_full_3x3_stress

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.geometry import stress
from twirlscope.stages import prepare
from twirlscope.storage import store

SIGMA = 2.3
CALCULATOR = LennardJones(sigma=SIGMA, epsilon=0.4, rc=6.0)


def copper(count=12, seed=0):
    """Rattled and strained cells of four copper atoms, with energy, forces and stress."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += 0.1 * rng.normal(size=(4, 3))
        made.append(labelled(atoms))
    return made


def labelled(atoms):
    """A copy with the results of the calculator."""
    found = atoms.copy()
    names = ("energy", "forces", "stress") if atoms.pbc.all() else ("energy", "forces")
    found.calc = SinglePointCalculator(atoms, **{n: CALCULATOR.get_property(n, found) for n in names})
    return found


def part(path, made, **settings):
    """Part that the dataset reads from these frames."""
    ase.io.write(path, made, format="extxyz")
    return plugins.make_dataset({"name": "extxyz", "files": [str(path)], **settings}).read(0)


def prepared(folder, *files, **settings):
    """The store of frames in files, one part each."""
    paths = [folder / f"{i}.xyz" for i in range(len(files))]
    for path, made in zip(paths, files, strict=True):
        ase.io.write(path, made, format="extxyz")
    section = {"name": "extxyz", "files": [str(p) for p in paths], "parts": len(files), "split_by": "frame", **settings}
    dataset = plugins.make_dataset(section)
    parts = [folder / f"part{i}.zarr.zip" for i in range(len(files))]
    for i, path in enumerate(parts):
        prepare.prepare_part(dataset, i, path)
    prepare.prepare(dataset, parts, folder / "data.zarr.zip")
    return store.load(folder / "data.zarr.zip")


def test_read__gives_cells_stresses_and_atoms_back_in_their_cell(tmp_path):
    made = copper(3)
    made[1].positions[2] += 2 * made[1].cell[0] - made[1].cell[2]
    found = part(tmp_path / "a.xyz", made)
    assert found.rejects == []
    for n, atoms in enumerate(made):
        np.testing.assert_allclose(found.samples["cell"][n], atoms.cell.array, atol=1e-6)
        np.testing.assert_allclose(
            found.samples["stress"][n], voigt_6_to_full_3x3_stress(atoms.calc.results["stress"]), atol=1e-6
        )
    place = found.samples["positions"].values[4:8] @ np.linalg.inv(made[1].cell.array)
    assert place.min() > -1e-6
    assert place.max() < 1 + 1e-6


@pytest.mark.parametrize("key", ["virial", "my_virial"])
def test_read__takes_a_virial_for_minus_volume_times_stress(tmp_path, key):
    made, plain = copper(3), part(tmp_path / "a.xyz", copper(3)).samples["stress"]
    for atoms in made:
        atoms.info[key] = -atoms.get_volume() * voigt_6_to_full_3x3_stress(atoms.calc.results.pop("stress"))
    found = part(tmp_path / "b.xyz", made, virial_key=key).samples["stress"]
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_read__takes_a_stress_of_another_name_and_unit(tmp_path):
    made, plain = copper(3), part(tmp_path / "a.xyz", copper(3)).samples["stress"]
    for atoms in made:
        atoms.info["dft_stress"] = 160.2176634 * atoms.calc.results.pop("stress")
    found = part(tmp_path / "b.xyz", made, stress_key="dft_stress", stress_unit="GPa").samples["stress"]
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_read__rejects_a_stress_that_is_no_symmetric_matrix(tmp_path):
    made = copper(2)
    for atoms, wrong in zip(made, (np.arange(9.0), np.arange(4.0)), strict=True):
        del atoms.calc.results["stress"]
        atoms.info["my_stress"] = wrong
    reasons = [r.reason for r in part(tmp_path / "a.xyz", made, stress_key="my_stress").rejects]
    assert ["symmetric matrix" in reason for reason in reasons] == [True, True]


def test_read__knows_no_stress_of_a_slab(tmp_path):
    slab = copper(1)[0]
    slab.pbc = (True, True, False)
    found = part(tmp_path / "a.xyz", [slab]).samples
    assert not found["cell"][0, 2].any()
    assert found["cell"][0, :2].any()
    assert found["stress"].isnull().all()


def test_finish__keeps_cells_only_where_a_frame_is_periodic_and_stress_only_where_one_is_trained_on(tmp_path):
    crystals, molecules, bare = copper(), copper(seed=1), copper(seed=2)
    for atoms in molecules:
        atoms.pbc = False
    for atoms in bare:
        del atoms.calc.results["stress"]
    for name, files, present in [
        ("molecules", (molecules,), set()),
        ("bare", (bare,), {"cell"}),
        ("mixed", (crystals, molecules), {"cell", "stress", "stress_scale"}),
    ]:
        (tmp_path / name).mkdir()
        data = prepared(tmp_path / name, *files)
        assert {"cell", "stress", "stress_scale"} & set(data) == present
    train = data["stress"].values[(data["split"].values == 0) & data["stress"].notnull().all(("xyz", "xyz_other"))]
    each = stress.components(torch.from_numpy(train).double()) / float(data["stress_scale"])
    assert each.square().mean().item() == pytest.approx(1)
    assert data["cell"].values[12:].any() == 0


def test_task__has_cells_and_stresses_with_a_weight_where_they_are_known(tmp_path):
    crystals, bare = copper(), copper(seed=2)
    for atoms in bare:
        del atoms.calc.results["stress"]
    data = prepared(tmp_path, crystals, bare)
    task = plugins.make_task({"name": "force_field", "stress_weight": 0.5, "stress_loss": "l2"}, data)
    batch = task.batch(np.array([1, 13]))
    (term,) = [t for t in task.terms if t.name == "stress"]
    assert (term.irreps, term.weight, term.loss) == ("0e+2e", 0.5, "l2")
    assert batch.weights["stress"].tolist() == [1, 0]
    assert not batch.targets["stress"][1].any()
    matrix = stress.matrix(batch.targets["stress"][0]) * term.scale
    np.testing.assert_allclose(matrix, voigt_6_to_full_3x3_stress(crystals[1].calc.results["stress"]), atol=1e-6)
    np.testing.assert_allclose(batch.inputs["cell"][0], crystals[1].cell.array, atol=1e-6)
    assert task.irreps_in == {"positions": "1o", "cell": "1o"}


def test_task__of_molecules_has_no_cell():
    task = toys.force_field()
    assert set(task.batch(np.arange(2)).inputs) == {"numbers", "positions"}
    assert set(task.constants) == {"elements", "force_scale", "energy_scale"}


def test_task__refuses_a_weight_of_stresses_that_nobody_knows():
    with pytest.raises(UserError, match="stress_weight"):
        plugins.make_task({"name": "force_field", "stress_weight": 1.0}, toys.frames())


def test_rotate__turns_cell_and_positions_together():
    """The places of the atoms in the cell stay."""
    task = plugins.make_task({"name": "force_field"}, toys.crystals())
    batch = task.batch(np.arange(5)).to("cpu", torch.float64)
    R = torch.linalg.qr(torch.randn(5, 3, 3, dtype=torch.float64)).Q
    places = [b.inputs["positions"] @ torch.linalg.inv(b.inputs["cell"]) for b in (batch, task.rotate(batch, R))]
    torch.testing.assert_close(*places, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("settings", "word"), [({}, "cell"), ({"stress_weight": 1.0}, "stress")])
def test_make_model__refuses_one_that_would_ignore_the_cell(tmp_path, settings, word):
    (tmp_path / "blind.py").write_text("from toys import Well\n\nclass Blind(Well):\n    pass\n")
    task = plugins.make_task({"name": "force_field", **settings}, toys.crystals())
    with pytest.raises(UserError, match=f"{word}.*ignore"):
        plugins.make_model({"name": f"{tmp_path}/blind.py:Blind"}, task.constants)


def test_make_model__refuses_a_direct_stress_of_features_without_tensors():
    task = plugins.make_task({"name": "force_field", "stress_weight": 1.0}, toys.crystals())
    with pytest.raises(UserError, match="l_max"):
        plugins.make_model({"name": "tensor_product", "l_max": 1}, task.constants)
