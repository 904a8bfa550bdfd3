import gzip
import os
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from good_files import outcar

from twirlscope import plugins
from twirlscope.datasets.molecular import xyz_files
from twirlscope.datasets.molecular.xyz_files import read_frames
from twirlscope.errors import UserError, UserErrors
from twirlscope.sources import split_index
from twirlscope.stages import prepare
from twirlscope.storage import store

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "no data")) / "forcefield"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set TWIRLSCOPE_DATA to their folder")

HEAD = 'Properties=species:S:1:pos:R:3:forces:R:3 energy=-5.5 name="water" pbc="F F F"'
ROWS = ["O 0 0 0 0.1 0 0", "H 0.96 0 0 0 0.2 0", "H -0.2 0.9 0 0 0 0.3"]
GOOD = "\n".join(["3", HEAD, *ROWS]) + "\n"


def read(path, *texts, **settings):
    path.write_text("".join(texts), encoding="utf-8")
    return plugins.make_dataset({"name": "extxyz", "files": [str(path)], **settings}).read(0)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "frames.xyz"


def test_read__gives_what_the_file_says(file):
    samples = read(file, GOOD, labels="by hand").samples
    assert samples["numbers"].values.tolist() == [8, 1, 1]
    np.testing.assert_allclose(samples["positions"], [[0, 0, 0], [0.96, 0, 0], [-0.2, 0.9, 0]], rtol=1e-6)
    np.testing.assert_allclose(samples["forces"], np.diag([0.1, 0.2, 0.3]), rtol=1e-6)
    assert samples["energy"].values.tolist() == [-5.5]
    assert samples["sample_molecule"].values.tolist() == ["water"]
    assert samples.attrs == {"labels": "by hand", "source": str(file), "benchmark": ""}


BROKEN = {
    "above the number of lines": GOOD.replace("3", "4", 1),
    "below the number of lines": GOOD.replace("3", "2", 1),
    "no energy 'energy'": GOOD.replace("energy=-5.5", ""),
    "no forces 'forces'": GOOD.replace(":forces:R:3", ":push:R:3"),
    "7 columns, but Properties names 4": GOOD.replace(":forces:R:3", ""),
    "energy is not finite": GOOD.replace("-5.5", "nan"),
    "force is not finite": GOOD.replace("0.1 0 0", "nan 0 0"),
    "ASE cannot read the frame": GOOD.replace("0.96", "0,96"),
    "number of columns": GOOD.replace("0.96", "0 .96"),
    "periodic along an axis whose lattice vector is missing": GOOD.replace("F F F", "F F T"),
    "two atoms are closer": GOOD.replace("0.96", "0.06"),
    "no atoms": "0\n" + HEAD + "\n",
    "lines without a number of atoms above them": GOOD.replace("3", "3x", 1),
    "ASE cannot read the frame: KeyError": GOOD.replace("O 0", "Qq 0"),
}


@pytest.mark.parametrize(("reason", "text"), BROKEN.items(), ids=BROKEN)
def test_read__rejects_a_broken_frame_and_keeps_its_neighbours(file, reason, text):
    found = read(file, GOOD, text, GOOD)
    assert found.samples.sizes["sample"] == 2
    (reject,) = found.rejects
    assert (reject.source, reject.index) == (str(file), 1)
    assert reason in reject.reason


def test_read__finds_frames_after_a_false_start_with_blank_lines_and_crlf(file):
    found = read(file, "title\n", GOOD.replace("\n", "\r\n"), "\n\n", GOOD)
    assert found.samples.sizes["sample"] == 2
    assert [(r.index, r.reason) for r in found.rejects] == [(0, "the file does not begin with a number of atoms")]


def test_read__takes_a_comment_that_is_an_integer_for_a_comment(file):
    assert len(list(xyz_files.split_frames(["1", "7", "H 0 0 0", "1", "8", "H 0 0 0"]))) == 2
    assert read(file, "1\n7\nH 0 0 0\n").rejects[0].reason == "no energy 'energy'"


@pytest.mark.parametrize(
    ("setting", "wrong", "text", "near"),
    [
        ("energy_key", "energie", GOOD, "'energy'"),
        ("forces_key", "force", GOOD.replace("forces", "dft_forces"), "dft_forces"),
        ("molecule_key", "nam", GOOD, "'name'"),
    ],
)
def test_read__names_the_nearest_key_when_no_frame_has_the_one_asked_for(file, setting, wrong, text, near):
    with pytest.raises(UserError, match=f"frame 0: expected {setting}.*{wrong}.*{near}") as caught:
        read(file, text, text, **{setting: wrong})
    assert str(file) in str(caught.value)


def test_read__takes_keys_that_ase_does_not_know(file):
    text = GOOD.replace("forces", "dft_forces").replace("energy", "dft_energy").replace("name", "system")
    samples = read(file, text, energy_key="dft_energy", forces_key="dft_forces", molecule_key="system").samples
    assert (float(samples["energy"][0]), samples["sample_molecule"].item()) == (-5.5, "water")
    assert float(samples["forces"][2, 2]) == pytest.approx(0.3)


def test_read__gives_a_molecule_no_name_when_its_frame_has_none(file):
    assert read(file, GOOD.replace('name="water"', "")).samples["sample_molecule"].item() == ""


@pytest.mark.parametrize(
    ("settings", "energy", "length", "force"),
    [
        ({"energy_unit": "hartree", "length_unit": "bohr"}, 27.211386, 0.52917721, 51.4220675),
        ({"energy_unit": "kcal/mol"}, 0.0433641, 1, 0.0433641),
        ({"energy_unit": "kJ/mol", "length_unit": "nm"}, 0.0103642696, 10, 0.00103642696),
        ({"energy_unit": "hartree", "force_unit": "meV/angstrom"}, 27.211386, 1, 0.001),
    ],
)
def test_read__turns_units_into_ev_and_angstrom(file, settings, energy, length, force):
    plain, turned = read(file, GOOD).samples, read(file, GOOD, **settings).samples
    for name, factor in {"energy": energy, "positions": length, "forces": force}.items():
        np.testing.assert_allclose(turned[name], plain[name] * factor, rtol=2e-6)


def test_settings__name_the_units_they_know():
    with pytest.raises(UserErrors, match="did you mean 'hartree'"):
        plugins.make_dataset({"name": "extxyz", "files": ["a.xyz"], "energy_unit": "Hartree"})
    with pytest.raises(UserErrors, match="files"):
        plugins.make_dataset({"name": "extxyz", "files": []})


@pytest.mark.parametrize("name", ["frames.traj", "frames.traj.gz", "frames.db"])
def test_read__takes_other_formats_of_ase(tmp_path, name):
    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator

    frames = [ase.Atoms("OH", [[0, 0, 0], [0, 0, 1 + 0.01 * i]]) for i in range(3)]
    for i, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * i, forces=[[0, 0, i], [0, 0, -i]])
    plain = tmp_path / name.removesuffix(".gz")
    ase.io.write(plain, frames)
    (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()) if name.endswith(".gz") else plain.read_bytes())
    found = plugins.make_dataset({"name": "extxyz", "files": [str(tmp_path / name)]}).read(0)
    assert found.rejects == []
    assert found.samples["energy"].values.tolist() == [0, -1, -2]
    assert found.samples["forces"].values[4::2, 2].tolist() == [2]


def test_read__refuses_files_that_are_missing_damaged_unknown_or_named_twice(tmp_path, file):
    def of(*names):
        return plugins.make_dataset({"name": "extxyz", "files": [str(n) for n in names]})

    file.write_text(GOOD)
    damaged, unknown, cut = tmp_path / "a.xyz.gz", tmp_path / "a.unknown", tmp_path / "a.traj"
    damaged.write_bytes(gzip.compress(GOOD.encode())[:-9])
    unknown.write_text(GOOD)
    cut.write_bytes(b"- of Ulm")
    for path in (tmp_path / "none.xyz", damaged, unknown):
        with pytest.raises(UserError, match=str(path)):
            of(path).read(0)
    with pytest.raises(UserError, match="each file once"):
        of(file, file).read(0)
    assert "ASE cannot read the rest of the file" in of(cut).read(0).rejects[0].reason


def test_prepare__keeps_the_split_of_test_files_whatever_the_parts(tmp_path):
    names = [str(tmp_path / f"{n}.xyz") for n in "abc"]
    for i, name in enumerate(names):
        Path(name).write_text(GOOD * 2 + GOOD.replace("-5.5", f"-5.{i}"))
    bytes_ = []
    for parts in (1, 2):
        section = {"name": "extxyz", "files": names[:2], "test_files": {"test": names[2:]}, "parts": parts}
        section["allow_duplicates"] = True
        dataset = plugins.make_dataset(section)
        assert [str(f) for f in dataset.files()] == names
        stores = [tmp_path / f"{parts}_{p}.zarr.zip" for p in range(parts)]
        for p, path in enumerate(stores):
            prepare.prepare_part(dataset, p, path)
        prepare.prepare(dataset, stores, tmp_path / "out.zarr.zip")
        bytes_.append((tmp_path / "out.zarr.zip").read_bytes())
    data = store.load(tmp_path / "out.zarr.zip")
    assert data["split"].values.tolist() == [0] * 6 + [1] * 3
    assert data["energy"].values.tolist() == [-5.5, -5.5, -5.0, -5.5, -5.5, -5.1, -5.5, -5.5, -5.2]
    assert bytes_[0] == bytes_[1]


BARE = GOOD.replace(":forces:R:3", "").replace(" 0.1 0 0", "").replace(" 0 0.2 0", "").replace(" 0 0 0.3", "")


def test_prepare__draws_the_test_split_beside_held_out_files_and_takes_energies_alone_there(tmp_path):
    texts = {
        "train": "".join(GOOD.replace("0.96", f"0.{80 + i}") for i in range(20)),
        "hot": GOOD * 3,
        "scan": BARE * 2,
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.xyz").write_text(text)
    path = {name: str(tmp_path / f"{name}.xyz") for name in texts}
    section = {"name": "extxyz", "files": [path["train"]], "test_files": {"hot": [path["hot"]], "scan": [path["scan"]]}}
    section |= {"allow_duplicates": True, "split_by": "frame"}
    data = prepared(tmp_path, section)
    assert data["split"].attrs["flag_meanings"] == "train test hot scan"
    assert [len(split_index(data, name)) for name in ("train", "test", "hot", "scan")] == [18, 2, 3, 2]
    known = np.isfinite(data["forces"].values.reshape(25, 3, 3)).all((1, 2))
    assert (known == (data["split"].values != 3)).all()
    task = plugins.make_task({"name": "force_field"}, data)
    batch = task.batch(np.array([0, 24]))
    assert batch.weights["forces"].sum(1).tolist() == [pytest.approx(1), 0]
    assert batch.targets["forces"][1].tolist() == [[0, 0, 0]] * 3
    assert batch.targets["energy"].isfinite().all()


def test_read__refuses_energies_alone_in_what_is_trained_on(file):
    assert "no forces" in read(file, BARE).rejects[0].reason


def test_read__refuses_a_misnamed_key_in_a_held_out_file(tmp_path, file):
    file.write_text(GOOD)
    wrong = tmp_path / "wrong.xyz"
    wrong.write_text(GOOD.replace(":forces:", ":gradients:"))
    dataset = plugins.make_dataset({"name": "extxyz", "files": [str(file)], "test_files": {"hot": [str(wrong)]}})
    with pytest.raises(UserError, match="gradients"):
        dataset.read(0)


def prepared(folder, section):
    """The prepared data of a section."""
    dataset = plugins.make_dataset(section)
    prepare.prepare_part(dataset, 0, folder / "part.zarr.zip")
    prepare.prepare(dataset, [folder / "part.zarr.zip"], folder / "data.zarr.zip")
    return store.load(folder / "data.zarr.zip")


@pytest.mark.slow
@needs_data
def test_prepare__holds_out_the_four_test_sets_of_acetylacetone(tmp_path):
    sets = {"test_300K": "test_MD_300K", "test_600K": "test_MD_600K", "dihedral": "test_dihedral"}
    files = {name: [str(DATA / f"acac/{f}.xyz.gz")] for name, f in (sets | {"transfer": "test_H_transfer"}).items()}
    section = {"name": "extxyz", "files": [str(DATA / "acac/train_300K.xyz.gz")], "test_files": files}
    with pytest.raises(UserError, match="at least two different molecules, got 1; set split_by: frame"):
        prepared(tmp_path, section)
    data = prepared(tmp_path, section | {"split_by": "frame"})
    counts = {name: len(split_index(data, name)) for name in data["split"].attrs["flag_meanings"].split()}
    assert counts == {"train": 450, "test": 50, "test_300K": 650, "test_600K": 650, "dihedral": 45, "transfer": 15}


REAL = {"acac/train_300K": 500, "acac/train_600K": 500, "acac/test_MD_300K": 650, "acac/test_MD_600K": 650}
REAL |= {"3bpa/train_300K": 500, "3bpa/train_mixedT": 500, "3bpa/proxy_test_1200K": 166}
REAL |= {"spice_des_gfn2xtb/spice_test_aminoacid_ligand_gfn2xtb": 370}


@needs_data
@pytest.mark.parametrize(("name", "count"), REAL.items(), ids=REAL)
def test_read__takes_every_frame_of_real_files(name, count):
    found = plugins.make_dataset({"name": "extxyz", "files": [str(DATA / f"{name}.xyz.gz")]}).read(0)
    assert (found.samples.sizes["sample"], found.rejects) == (count, [])


@needs_data
@pytest.mark.parametrize(("name", "count"), [("test_dihedral", 45), ("test_H_transfer", 15), ("isolated_atoms", 3)])
def test_read__rejects_real_frames_that_have_energies_only(name, count):
    found = plugins.make_dataset({"name": "extxyz", "files": [str(DATA / "acac" / f"{name}.xyz.gz")]}).read(0)
    assert found.samples is None
    assert Counter(r.reason for r in found.rejects) == {"no forces 'forces'": count}


@pytest.mark.slow
@needs_data
def test_read__takes_18900_frames_of_378_molecules_in_seconds():
    name = "spice_des_gfn2xtb/spice_des_monomers_gfn2xtb.xyz.gz"
    found = plugins.make_dataset({"name": "extxyz", "files": [str(DATA / name)]}).read(0)
    assert (found.samples.sizes["sample"], found.rejects) == (18900, [])
    assert len(set(found.samples["sample_molecule"].values)) == 378
    assert float(np.sqrt((found.samples["forces"] ** 2).mean())) == pytest.approx(0.90, abs=0.02)


def test_read__takes_a_stress_of_six_numbers_and_refuses_one_that_is_not_symmetric(tmp_path):
    head = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=-5.5 pbc="T T T"'
    rows = "O 0 0 0 0.1 0 0\nH 0.96 0 0 0 0 0\nH -0.24 0.93 0 -0.1 0 0\n"
    for key in ("stress", "virial"):
        nine = f'{key}="1 2 3 2 4 5 3 5 6"'
        six = f'{key}="1 4 6 5 3 2"'  # xx yy zz yz xz xy
        skew = f'{key}="1 2 3 2.5 4 5 3 5 6"'
        path = tmp_path / f"{key}.xyz"
        path.write_text("".join(f"3\n{head} {given}\n{rows}" for given in (nine, six, skew)))
        found = plugins.make_dataset({"name": "extxyz", "files": [str(path)]}).read(0)
        np.testing.assert_array_equal(found.samples["stress"][0], found.samples["stress"][1])
        assert found.samples["stress"].notnull().all()
        assert [(r.index, "stress is no symmetric matrix" in r.reason) for r in found.rejects] == [(2, True)]


def test_read__takes_the_files_of_qm9_as_they_are(tmp_path):
    text = (
        "3\ngdb 3\t799.58\t437.9\n"
        "O\t-0.0343\t 0.9775\t 0.0076\t-0.589\n"
        "H\t 0.0647\t 2.1*^-6\t 0.0015\t 0.294\n"
        "H\t 0.8717\t 1.3007\t 0.0006\t 0.294\n"
        "1671.4222\t3803.6305\t3907.698\nO\tO\t\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
    )
    path = tmp_path / "dsgdb9nsd_000003.xyz"
    path.write_text(text)
    ((_, atoms),) = read_frames(path)
    np.testing.assert_allclose(atoms.positions[1], [0.0647, 2.1e-6, 0.0015])


@pytest.mark.parametrize("name", ["a.extxyz", "a.XYZ", "a.traj", "a.json", "a{1}@2 [x].traj", "a.traj.gz"])
def test_read__reads_what_ase_writes_in_every_promised_format(tmp_path, name):
    made = molecule("H2O")
    made.calc = SinglePointCalculator(made, energy=-5.5, forces=np.ones((3, 3)))
    plain, path = tmp_path / f"plain{Path(name.removesuffix('.gz')).suffix.lower()}", tmp_path / name
    ase.io.write(plain, [made, made])
    path.write_bytes(gzip.compress(plain.read_bytes()) if name.endswith(".gz") else plain.read_bytes())
    found = plugins.make_dataset({"name": "extxyz", "files": [str(path)]}).read(0)
    assert found.samples["energy"].values.tolist() == [-5.5, -5.5]
    assert not found.rejects


def test_read__reads_a_vasp_outcar_whose_reader_needs_a_file_with_a_name(tmp_path):
    (tmp_path / "OUTCAR").write_text(outcar(1))
    found = plugins.make_dataset({"name": "extxyz", "files": [str(tmp_path / "OUTCAR")]}).read(0)
    assert not found.rejects
    assert found.samples["energy"].values.tolist() == [-6.77]
    np.testing.assert_allclose(found.samples["forces"], [[0.1, 0, 0], [-0.1, 0, 0]])


def test_read__keeps_frames_without_labels_if_none_are_required(file):
    bare = GOOD.replace("energy=-5.5", "charge=-1 spin=2").replace(":forces:R:3", ":push:R:3")
    found = read(file, bare, GOOD.replace("-5.5", "nan"), GOOD, require_labels=False)
    assert [r.reason for r in found.rejects] == ["the energy is not finite"]
    assert np.isnan(found.samples["energy"].values).tolist() == [True, False]
    assert np.isnan(found.samples["forces"].values).all(1).tolist() == [True] * 3 + [False] * 3
    np.testing.assert_array_equal(found.samples["charge"], [-1, np.nan])
    np.testing.assert_array_equal(found.samples["spin"], [2, np.nan])


def test_prepare__of_frames_without_any_label_has_scales_of_one(tmp_path, file):
    bare = GOOD.replace("energy=-5.5", "").replace(":forces:R:3", ":push:R:3")
    file.write_text(bare + bare.replace("0.96", "0.98") + bare.replace("0.96", "1.1"))
    section = {"name": "extxyz", "files": [str(file)], "split_by": "frame", "require_labels": False}
    dataset = plugins.make_dataset(section)
    data = dataset.finish(dataset.read(0).samples)
    assert (float(data["force_scale"]), float(data["energy_scale"])) == (1.0, 1.0)
    assert not data["reference_energy"].values.any()
    assert "charge" not in data
