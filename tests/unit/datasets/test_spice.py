"""SPICE files of the real layout, made here: units, references, splits, and memory that does not grow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twirlscope import plugins
from twirlscope.datasets.molecular.frames import BOHR, HARTREE
from twirlscope.errors import UserError
from twirlscope.sources import split_index
from twirlscope.stages import prepare
from twirlscope.storage import store

h5py = pytest.importorskip("h5py")
PACKAGE = Path(prepare.__file__).parents[2]
SITE = 2.2  # bohr
ATOM = {1: -0.5, 6: -37.8, 8: -75.0}  # hartree


def write(path, molecules, conformations=5, seed=0, atoms=6, site=SITE):
    """A file of the layout of SPICE: springs to sites on a line, on top of the energies of atoms, in hartree, bohr."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for m in range(molecules):
            numbers = rng.choice(list(ATOM), atoms)
            away = rng.uniform(0, 0.2, (conformations, atoms, 3))
            group = file.create_group(f"{m:06d}")
            text = h5py.string_dtype()
            group.create_dataset("smiles", data=[f"[C:1][O:2].[{m // 2}:3]"], dtype=text)
            group.create_dataset(
                "subset", data=["SPICE Dipeptides Single Points" if m % 2 else "SPICE Ion Pairs"], dtype=text
            )
            group["atomic_numbers"] = numbers.astype(np.int16)
            group["conformations"] = (site * np.arange(atoms)[:, None] + away).astype(np.float32)
            group["conformations"].attrs["units"] = "bohr"
            group["dft_total_energy"] = sum(ATOM[z] for z in numbers) + 0.01 * (away**2).sum((1, 2))
            group["dft_total_gradient"] = (0.02 * away).astype(np.float32)
            group["dft_total_energy"].attrs["unit"] = "hartree"
            group["dft_total_gradient"].attrs["units"] = "hartree/bohr"
    return path


def made(path, **settings):
    return plugins.make_dataset({"name": "spice", "file": str(path), **settings})


def prepared(dataset, folder):
    paths = [Path(folder) / f"part{p}.zarr.zip" for p in range(dataset.settings.parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(dataset, part, path)
    prepare.prepare(dataset, paths, Path(folder) / "out.zarr.zip")
    return Path(folder) / "out.zarr.zip"


def test_read__is_in_electronvolts_and_angstroms(tmp_path):
    samples = made(write(tmp_path / "a.hdf5", 3), parts=1).read(0).samples
    with h5py.File(tmp_path / "a.hdf5") as file:
        x, energy = file["000001/conformations"][2], file["000001/dft_total_energy"][2]
        gradient = file["000001/dft_total_gradient"][2]
    atoms = slice((5 + 2) * 6, (5 + 3) * 6)
    np.testing.assert_allclose(samples["positions"].values[atoms], x * 0.529177210903, rtol=1e-6)
    np.testing.assert_allclose(samples["energy"].values[7], energy * 27.211386245988, rtol=1e-12)
    np.testing.assert_allclose(
        samples["forces"].values[atoms], -gradient * 51.4220675, rtol=1e-6
    )  # atomic unit of force


def test_read__has_forces_that_are_minus_the_slope_of_the_energy(tmp_path):
    """Springs: E = 0.01 r^2 hartree/bohr^2, in eV and Å."""
    samples = made(write(tmp_path / "a.hdf5", 1), parts=1).read(0).samples
    away = samples["positions"].values - np.tile(SITE * BOHR * np.arange(6), 5)[:, None]
    np.testing.assert_allclose(samples["forces"].values, -0.02 * HARTREE / BOHR**2 * away, rtol=1e-4, atol=1e-4)


def test_read__gives_the_same_store_in_any_number_of_parts(tmp_path):
    path, stores = write(tmp_path / "a.hdf5", 30), []
    for parts in (1, 7):
        (tmp_path / str(parts)).mkdir()
        stores.append(prepared(made(path, parts=parts), tmp_path / str(parts)))
    assert stores[0].read_bytes() == stores[1].read_bytes()


def test_finish__splits_by_molecule_whatever_its_atoms_are_called(tmp_path):
    chains = write(tmp_path / "a.hdf5", 30, atoms=12, site=1.25)  # so that neighbours on the line are bonded
    data = store.load(prepared(made(chains, parts=2), tmp_path))
    train, test = (set(data["molecule"].values[split_index(data, s)].tolist()) for s in ("train", "test"))
    assert not train & test
    assert len(train | test) == 15  # two groups share a SMILES
    assert data["molecule_name"].values[0] == "[C][O].[0]"


def test_finish__references_take_out_the_energies_of_the_atoms(tmp_path):
    data = store.load(prepared(made(write(tmp_path / "a.hdf5", 30), parts=2), tmp_path))
    reference = dict(zip(data["element"].values.tolist(), data["reference_energy"].values, strict=True))
    for z, energy in ATOM.items():
        assert reference[z] == pytest.approx(energy * HARTREE, abs=0.02 * HARTREE * 6)
    assert float(data["energy_scale"]) < 0.1 * HARTREE


def test_read__takes_the_subsets_that_are_asked_for(tmp_path):
    path = write(tmp_path / "a.hdf5", 4)
    assert made(path, parts=1, subsets=["SPICE Dipeptides"]).read(0).samples.sizes["sample"] == 10
    assert made(path, parts=1, subsets=["nothing"]).read(0).samples is None


def test_read__rejects_what_it_cannot_use_and_keeps_the_rest(tmp_path):
    path = write(tmp_path / "a.hdf5", 4)
    with h5py.File(path, "a") as file:
        del file["000001/dft_total_gradient"]
        file["000002/dft_total_energy"][3] = np.nan
    found = made(path, parts=1).read(0)
    assert found.samples.sizes["sample"] == 14
    assert [(r.source, r.index, r.reason) for r in found.rejects] == [
        (f"{path}:000001", 0, "no dataset 'dft_total_gradient'"),
        (f"{path}:000002", 3, "the energy is not finite"),
    ]


def test_read__refuses_other_units_and_files_that_are_none(tmp_path):
    path = write(tmp_path / "a.hdf5", 1)
    with h5py.File(path, "a") as file:
        file["000000/conformations"].attrs["units"] = "angstrom"
    with pytest.raises(UserError, match="conformations: expected values in bohr, got 'angstrom'"):
        made(path).read(0)
    (tmp_path / "b.hdf5").write_text("no")
    with pytest.raises(UserError, match="HDF5 file that can be read"):
        made(tmp_path / "b.hdf5").read(0)


PEAK = """
import resource, sys
from pathlib import Path
from twirlscope import plugins
from twirlscope.stages import prepare
for scale in sys.argv[2:]:
    folder = Path(sys.argv[1]) / scale
    section = {"name": "spice", "file": str(folder / "a.hdf5"), "parts": 2 * int(scale)}
    dataset = plugins.make_dataset(section)
    paths = [folder / f"part{p}.zarr.zip" for p in range(dataset.settings.parts)]
    if paths[0].exists():
        prepare.prepare(dataset, paths, folder / "out.zarr.zip")
    else:
        for part, path in enumerate(paths):
            prepare.prepare_part(dataset, part, path)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peaks(folder, *scales):
    """Peak memory [MB] of a process of its own that makes the parts of one file after the other, or gathers them."""
    command = [sys.executable, "-c", PEAK, str(folder), *map(str, scales)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE)
    assert done.returncode == 0, done.stderr
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak")]


@pytest.mark.slow
def test_prepare__takes_memory_that_does_not_grow_with_the_atoms(tmp_path):
    """16 times as many frames in 16 times as many parts: their arrays take 5 and 83 MB."""
    for scale in (1, 16):
        (tmp_path / str(scale)).mkdir()
        write(tmp_path / str(scale) / "a.hdf5", 20 * scale, conformations=100, atoms=100)
    parts, many_parts = peaks(tmp_path, 1, 16)
    gather, many_gather = peaks(tmp_path, 1, 16)
    assert (tmp_path / "16" / "out.zarr.zip").stat().st_size > 50e6
    assert many_parts < parts + 20
    assert many_gather < gather + 60


def test_read__refuses_values_whose_unit_is_nowhere_and_says_what_to_write(tmp_path):
    path = write(tmp_path / "a.hdf5", 2)
    with h5py.File(path, "a") as file:
        del file["000001/conformations"].attrs["units"]
    expected = r"000001/conformations: expected the attribute `units`, which should be 'bohr', got none; write it"
    with pytest.raises(UserError, match=expected):
        made(path, parts=1).read(0)


def test_read__knows_a_unit_by_either_name(tmp_path):
    path = write(tmp_path / "a.hdf5", 1)
    with h5py.File(path, "a") as file:
        del file["000000/conformations"].attrs["units"]
        file["000000/conformations"].attrs["unit"] = b"angstrom"
    with pytest.raises(UserError, match="values in bohr, got 'angstrom'"):
        made(path, parts=1).read(0)


def test_read__takes_energies_in_a_column_an_empty_smiles_and_a_dataset_beside_the_groups(tmp_path):
    plain, odd = write(tmp_path / "a.hdf5", 2), write(tmp_path / "b.hdf5", 2)
    with h5py.File(odd, "a") as file:
        energy = file["000000/dft_total_energy"][()]
        del file["000000/dft_total_energy"], file["000001/smiles"]
        file["000000/dft_total_energy"] = energy[:, None]
        file["000000/dft_total_energy"].attrs["units"] = "hartree"
        file["000001/smiles"] = np.array([], "S1")
        file["about"] = 3.0
    first, second = (made(p, parts=1).read(0) for p in (plain, odd))
    assert not second.rejects
    np.testing.assert_array_equal(first.samples["energy"], second.samples["energy"])
    assert set(second.samples["sample_molecule"].values.tolist()) == {"[C][O].[0]", "000001"}


def test_read__rejects_atomic_numbers_in_two_dimensions(tmp_path):
    path = write(tmp_path / "a.hdf5", 1)
    with h5py.File(path, "a") as file:
        numbers = file["000000/atomic_numbers"][()]
        del file["000000/atomic_numbers"]
        file["000000/atomic_numbers"] = numbers[:, None]
    (reject,) = made(path, parts=1).read(0).rejects
    assert "atomic_numbers of shape (6, 1)" in reject.reason


def test_read__rejects_an_array_that_is_longer_than_its_file_before_it_takes_memory(tmp_path):
    path = write(tmp_path / "a.hdf5", 3)
    with h5py.File(path, "a") as file:
        del file["000001/dft_total_gradient"]
        huge = file["000001"].create_dataset("dft_total_gradient", (5, 6, 10**11), np.float64)  # never written
        huge.attrs["units"] = "hartree/bohr"
    found = made(path, parts=1).read(0)
    assert found.samples.sizes["sample"] == 10
    assert [r.reason for r in found.rejects] == [
        "HDF5 cannot read the molecule: /000001/dft_total_gradient is longer than the file"
    ]
