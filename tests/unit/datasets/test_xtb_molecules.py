import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from twirlscope import plugins
from twirlscope.datasets import xtb_molecules as xtb
from twirlscope.datasets.molecular.smiles import (
    SMILES_LIST,
    Unusable,
    embed_conformers,
    parse_smiles,
    read_smiles_list,
)
from twirlscope.errors import UserError, UserErrors
from twirlscope.stages import prepare
from twirlscope.storage import store

SMALL = {"frames_per_molecule": 6, "conformers": 1, "interval": 20.0, "equilibration": 20.0}
LIST = "# a list\nCO methanol\nCC=O\n\nC1CC broken\nNC=O formamide\nOC methanol again\nCC.O two\nB\n[NH4+]\nC1#CC1\n"


def dataset(folder, text=LIST, **settings):
    path = folder / "list.smi"
    path.write_text(text, encoding="utf-8")
    return plugins.make_dataset({"name": "xtb_molecules", "file": str(path), **SMALL, **settings})


def stored(folder, made):
    paths = [folder / f"{made.settings.parts}_{p}.zarr.zip" for p in range(made.settings.parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(made, part, path)
    prepare.prepare(made, paths, folder / "out.zarr.zip")
    return folder / "out.zarr.zip"


def shaken(smiles, count=1, seed=0):
    molecule, rng = parse_smiles(smiles), np.random.default_rng(seed)
    x = embed_conformers(molecule, count, rng)
    return molecule, x + 0.05 * rng.normal(size=x.shape)


def slope(energy, x, step):
    """Central differences of a function of `[atom, 3]`."""
    unit = np.eye(x.size).reshape(-1, *x.shape) * step
    return np.array([energy(x + u) - energy(x - u) for u in unit]).reshape(x.shape) / (2 * step)


@pytest.mark.parametrize("smiles", ["CS(N)=O", "CC(=O)[O-]", "[CH2]O"])
def test_labeller__forces_are_minus_the_slope_of_the_energy(smiles):
    molecule, (x,) = shaken(smiles)
    label = xtb.labeller(molecule, 1e-3)
    energy, forces = label(x)
    np.testing.assert_allclose(forces, -slope(lambda y: label(y)[0], x, 1e-3), atol=5e-4)
    assert np.abs(forces).max() > 0.5
    assert energy < -100


def test_labeller__agrees_with_the_calculator_that_tblite_brings_for_ase():
    import ase
    from tblite.ase import TBLite

    molecule, (x,) = shaken("CS(C)=O")
    atoms = ase.Atoms(molecule.numbers, x, calculator=TBLite(method="GFN2-xTB", verbosity=0))
    energy, forces = xtb.labeller(molecule, 1.0)(x)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-4)


def test_labeller__says_why_and_prints_nothing_when_the_scf_does_not_converge(capfd):
    molecule, (x,) = shaken("CCO")
    label = xtb.labeller(molecule, 1.0)
    with pytest.raises(Unusable, match="not converged"):
        label(x * 4)
    with pytest.raises(Unusable, match="closer"):
        label(x * 0.2)
    assert label(x)[0] < -100  # the failure before leaves no trace
    assert capfd.readouterr() == ("", "")


def test_mmff_forces__forces_are_minus_the_slope_at_every_geometry_asked_for():
    from rdkit.Chem import rdForceFieldHelpers

    molecule, geometries = shaken("CCOC=O", 3)
    force = xtb.mmff_forces(molecule)
    force(geometries[:1])  # RDKit would keep the distances of this one
    parameters = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule.mol)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule.mol, parameters)
    for x, f in zip(geometries, force(geometries), strict=True):
        energy = slope(lambda y: field.CalcEnergy(y.ravel().tolist()) * 0.0433641, x, 1e-4)
        np.testing.assert_allclose(f, -energy, atol=1e-4)


class Fixed(np.random.Generator):
    """Random numbers that are given, one array a draw."""

    def __init__(self, *draws):
        super().__init__(np.random.PCG64(0))
        self.draws = list(draws)

    def normal(self, size):
        return np.broadcast_to(self.draws.pop(0), size)


@pytest.mark.parametrize("time_step", [0.5, 2.0, 4.0])
def test_langevin__has_the_exact_variance_of_a_harmonic_oscillator(time_step):
    """One step is linear, z -> A z + b noise; its stationary covariance solves S = A S A^T + b b^T."""
    mass, stiffness, kelvin = np.array([1.008]), 30.0, np.array([300.0])

    def step(x, v, noise):
        out = xtb.langevin(
            np.full((1, 1, 1), x),
            np.full((1, 1, 1), v),
            lambda y: -stiffness * y,
            mass,
            kelvin,
            time_step,
            10.0,
            1,
            Fixed(noise),
        )
        return np.array([o.item() for o in out])

    a, b = np.stack([step(1.0, 0.0, 0.0), step(0.0, 1.0, 0.0)], 1), step(0.0, 0.0, 1.0)
    covariance = solve_discrete_lyapunov(a, np.outer(b, b))
    kt, omega2 = 8.617333262e-5 * 300, stiffness / 1.008 * xtb.ACCELERATION
    assert covariance[0, 0] == pytest.approx(kt / stiffness, rel=1e-9)
    slow = 1 - omega2 * time_step**2 / 4  # the velocities pay for it
    assert covariance[1, 1] == pytest.approx(kt / 1.008 * xtb.ACCELERATION * slow, rel=1e-9)


def test_langevin__keeps_the_energy_without_friction():
    molecule, x = shaken("CO", 2)
    from rdkit.Chem import rdForceFieldHelpers

    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
        molecule.mol, rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule.mol)
    )

    def energy(x, v):
        kinetic = 0.5 * (molecule.masses[:, None] * v**2).sum((1, 2)) / xtb.ACCELERATION
        return kinetic + [field.CalcEnergy(y.ravel().tolist()) * xtb.KCAL_PER_MOL for y in x]

    rng, kelvin = np.random.default_rng(0), np.full(2, 300.0)
    v = xtb.thermal_velocities(molecule.masses, kelvin, rng, x.shape)
    before = energy(x, v)
    after = energy(*xtb.langevin(x, v, xtb.mmff_forces(molecule), molecule.masses, kelvin, 0.1, 0.0, 500, rng))
    np.testing.assert_allclose(after, before, atol=3e-3)
    assert before.min() > 0.3


def test_langevin__reaches_the_temperature_of_each_run():
    molecule, rng = parse_smiles("CO"), np.random.default_rng(0)
    kelvin = np.repeat([300.0, 1000.0], 12)
    x, force = embed_conformers(molecule, 24, rng), xtb.mmff_forces(molecule)
    v, found = np.zeros_like(x), []
    for _ in range(25):
        x, v = xtb.langevin(x, v, force, molecule.masses, kelvin, 0.4, 50.0, 150, rng)
        found.append((molecule.masses[:, None] * v**2).mean((1, 2)) / xtb.ACCELERATION / xtb.BOLTZMANN)
    mean = np.mean(found[3:], 0).reshape(2, 12).mean(1)
    error = np.sqrt(2 / (22 * 12 * 18))  # of a mean of squares of independent normal numbers
    np.testing.assert_allclose(mean / [300, 1000], 1, atol=4 * error + 0.02)  # 0.02: the velocities' step error


def test_prepare__gives_the_same_bytes_in_one_part_and_in_five(tmp_path):
    results = []
    for parts in (1, 5):
        (tmp_path / str(parts)).mkdir()
        made = dataset(tmp_path, parts=parts, max_rejected=0.7)
        results.append(stored(tmp_path / str(parts), made))
    assert results[0].read_bytes() == results[1].read_bytes()
    data = store.load(results[0])
    assert data["molecule_name"].values.tolist() == ["CO", "CC=O", "NC=O", "[NH4+]"]
    assert data["molecule"].values.tolist() == np.repeat(range(4), 6).tolist()
    assert data["temperature"].values.tolist() == [300, 500, 1000] * 8
    assert data.attrs["labels"].startswith("GFN2-xTB (semiempirical), tblite ")
    assert "Bannwarth" in data.attrs["citation"]
    centre = np.add.reduceat(data["positions"].values, np.cumsum([0, *data["atoms"].values[:-1]]))
    assert np.abs(centre).max() < 1e-4


def test_read__rejects_what_cannot_be_used_with_its_line(tmp_path):
    found = dataset(tmp_path, parts=1).read(0)
    assert [(r.source, r.index, r.reason) for r in found.rejects] == [
        ("list.smi", 5, "RDKit cannot read the SMILES"),
        ("list.smi", 7, "duplicate of an earlier molecule of the list"),
        ("list.smi", 8, "SMILES of more than one molecule"),
        ("list.smi", 9, "no MMFF94 parameters for an atom"),
        ("list.smi", 11, "ETKDGv3 finds no conformer"),
    ]


def test_read__gives_a_molecule_the_same_frames_wherever_it_stands(tmp_path):
    first = dataset(tmp_path, "CO\nCC=O\n", parts=1).read(0).samples
    last = dataset(tmp_path, "C=C\nOC\n", parts=2).read(1).samples
    np.testing.assert_array_equal(first["positions"][:36], last["positions"])
    np.testing.assert_array_equal(first["forces"][:36], last["forces"])
    other = dataset(tmp_path, "CO\n", parts=1, seed=1).read(0).samples
    assert np.abs(first["positions"][:36].values - other["positions"].values).min() > 1e-6


def test_read__rejects_frames_of_a_dynamics_that_falls_apart(tmp_path):
    found = dataset(tmp_path, "CC=O\n", parts=1, time_step=4.0, interval=4000.0).read(0)
    kept = 0 if found.samples is None else found.samples.sizes["sample"]
    assert len(found.rejects) == 6 - kept > 0
    assert {r.source for r in found.rejects} == {"CC=O"}


def test_read__makes_as_many_frames_as_asked_for_even_if_trajectories_do_not_divide_them(tmp_path):
    for count in (1, 2, 7, 13):
        samples = dataset(tmp_path, "CO\n", parts=1, frames_per_molecule=count, conformers=2).read(0).samples
        assert samples.sizes["sample"] == count
        assert samples["temperature"].values.tolist() == ([300, 500, 1000] * 9)[:count]


def test_prepare__fails_when_too_many_molecules_are_lost_though_few_records_are(tmp_path):
    made = dataset(tmp_path, "CO\nCC=O\nxyz\nC1CC\n", parts=1, frames_per_molecule=30, max_rejected=0.3)
    with pytest.raises(
        UserError, match=r"30 % of the molecules unusable.*2 of 4: 2 x 'RDKit cannot read .*list.smi, 3"
    ):
        stored(tmp_path, made)


@pytest.mark.parametrize("content", [None, b"# nothing\n\n", b"\xff\xfe\x00\xd8"])
def test_read__refuses_a_list_that_is_missing_empty_or_not_text(tmp_path, content):
    path = tmp_path / "other.smi"
    if content is not None:
        path.write_bytes(content)
    made = plugins.make_dataset({"name": "xtb_molecules", "file": str(path)})
    assert made.files() == [path]
    with pytest.raises(UserError, match=r"other\.smi"):
        made.read(0)


def test_built_in_list__has_neutral_molecules_that_work():
    made = plugins.make_dataset({"name": "xtb_molecules"})
    assert made.files() == []
    molecules = [parse_smiles(smiles) for _, smiles in read_smiles_list(SMILES_LIST)]
    assert all(m.charge == m.unpaired == 0 for m in molecules)
    for molecule in molecules[::10]:
        embed_conformers(molecule, 1, np.random.default_rng(0))


def test_read_smiles_list__takes_some_evenly_spread_over_the_list(tmp_path):
    (tmp_path / "a.smi").write_text("# five\nC\nCC\nCCC\nCCCC\nCCCCC\n")
    assert read_smiles_list(tmp_path / "a.smi", 3) == [(2, "C"), (4, "CCC"), (6, "CCCCC")]
    assert len(read_smiles_list(tmp_path / "a.smi", 9)) == len(read_smiles_list(tmp_path / "a.smi")) == 5
    made = plugins.make_dataset({"name": "xtb_molecules", "file": str(tmp_path / "a.smi"), "molecules": 1})
    assert set(made.read(0).samples["sample_molecule"].values) == {"C"}


@pytest.mark.slow
def test_import__is_light_because_the_workflow_imports_every_dataset():
    code = "import sys, twirlscope.datasets.xtb_molecules, twirlscope.datasets.extxyz, twirlscope.stages.prepare\n"
    code += "print(sorted({'rdkit', 'tblite', 'ase'} & set(sys.modules)))"
    env = os.environ | {"PYTHONPATH": str(Path(xtb.__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert run.stdout.strip() == "[]"


def test_settings__refuse_a_temperature_that_is_none():
    with pytest.raises(UserErrors, match=r"temperatures\.1: expected greater than 0, got 0"):
        plugins.make_dataset({"name": "xtb_molecules", "temperatures": [300.0, 0.0]})


def test_read__works_on_one_thread_and_gives_the_others_back(tmp_path, monkeypatch):
    seen, mmff, before = [], xtb.mmff_forces, torch.get_num_threads()
    monkeypatch.setattr(xtb, "mmff_forces", lambda molecule: seen.append(torch.get_num_threads()) or mmff(molecule))
    torch.set_num_threads(2)
    try:
        dataset(tmp_path, "CO\n", parts=1).read(0)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
