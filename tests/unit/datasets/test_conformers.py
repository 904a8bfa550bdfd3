"""Conformers and geometries: what is read is what the file says, what does not fit is rejected and counted."""

import copy
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign
from snakemake.utils import update_config

from twirlscope import plugins
from twirlscope.datasets.molecular import duplicates
from twirlscope.datasets.molecular.smiles import SMILES_LIST, embed_conformers, parse_smiles, read_smiles_list
from twirlscope.errors import UserError, UserErrors
from twirlscope.stages import prepare
from twirlscope.storage import store

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "no data")) / "molecules"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set TWIRLSCOPE_DATA to their folder")

LIST = "CO methanol\nCC=O\nC1CC broken\nNC=O formamide\nOC methanol again\nCCCCCC too long\nC[Si]\n"


CONFIGS = Path(__file__).parents[3] / "config"


def packaged():
    """Settings of all datasets of the project's configs that take the packaged list, each once."""
    base = yaml.safe_load((CONFIGS / "config.yaml").read_text())
    found = {}
    for path in sorted(CONFIGS.glob("*.yaml")):
        config = copy.deepcopy(base)
        update_config(config, yaml.safe_load(path.read_text()))
        for settings in filter(None, config["datasets"].values()):
            if settings["name"] == "conformers" and not settings.get("files"):
                found[json.dumps(settings | {"conformers": 1}, sort_keys=True)] = path.name
    return [pytest.param(json.loads(text), id=name) for text, name in found.items()]


@pytest.mark.parametrize("settings", packaged())
def test_packaged_list__has_enough_molecules_for_every_config(settings, tmp_path):
    with store.open_store(stored(tmp_path, plugins.make_dataset(settings))) as data:
        assert len(np.unique(data["split"].values)) > 1


def dataset(*files, **settings):
    chosen = {"conformers": 3, "test_fraction": 0.3, "max_rejected": 0.9, "min_rmsd": 0.0, **settings}
    return plugins.make_dataset({"name": "conformers", "files": [str(f) for f in files], **chosen})


def stored(folder, made):
    paths = [folder / f"{made.settings.parts}_{p}.zarr.zip" for p in range(made.settings.parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(made, part, path)
    prepare.prepare(made, paths, folder / "out.zarr.zip")
    return folder / "out.zarr.zip"


@pytest.fixture
def smiles(tmp_path):
    path = tmp_path / "list.smi"
    path.write_text(LIST, encoding="utf-8")
    return path


def written(path, *smiles, change=lambda mol: mol):
    """An SDF file of molecules with hydrogens and positions."""
    blocks = []
    for text in smiles:
        mol = Chem.AddHs(Chem.MolFromSmiles(text))
        AllChem.EmbedMolecule(mol, randomSeed=1)
        blocks.append(Chem.MolToMolBlock(change(mol)) + "\n$$$$\n")
    path.write_bytes("".join(blocks).encode())
    return path


def test_read__gives_conformers_and_counts_what_cannot_be_used(smiles):
    found = dataset(smiles).read(0)
    assert Counter(found.samples["sample_molecule"].values.tolist()) == {"CO": 3, "CC=O": 3, "NC=O": 3}
    reasons = Counter((r.source, r.reason) for r in found.rejects)
    assert reasons == {
        ("list.smi", "RDKit cannot read the SMILES"): 1,
        ("list.smi", "duplicate of an earlier molecule of the list"): 1,
        ("list.smi", "an element that is not among `elements`"): 1,
        ("CCCCCC", "does not fit into the box of 8 Å in every orientation"): 3,
    }


def test_read__centres_molecules_and_keeps_bond_lengths(smiles):
    samples = dataset(smiles).read(0).samples
    ends = np.cumsum(samples["atoms"].values)
    first = samples["positions"].values[: ends[0]]
    np.testing.assert_allclose(first.mean(0), 0, atol=1e-6)
    assert samples["numbers"].values[:2].tolist() == [6, 8]
    assert 1.38 < np.linalg.norm(first[0] - first[1]) < 1.45  # C-O of methanol: 1.42 Å


@pytest.mark.parametrize("parts", [2, 3])
def test_prepare__gives_the_same_bytes_whatever_the_number_of_parts(smiles, tmp_path, parts):
    once = stored(tmp_path, dataset(smiles)).read_bytes()
    assert stored(tmp_path, dataset(smiles, parts=parts)).read_bytes() == once


def test_prepare__depends_on_the_seed_and_on_no_neighbour(smiles, tmp_path):
    first = store.load(stored(tmp_path, dataset(smiles)))
    alone = tmp_path / "alone.smi"
    alone.write_text("NC=O\nCO\n", encoding="utf-8")
    second = dataset(alone).read(0).samples
    of = first["molecule_name"].values[first["molecule"].values] == "CO"
    atoms = np.repeat(of, first["atoms"].values)
    np.testing.assert_array_equal(second["positions"].values[-18:], first["positions"].values[atoms])
    other = dataset(alone, seed=1).read(0).samples
    assert not np.allclose(other["positions"], second["positions"], atol=1e-3)


def test_prepare__holds_out_whole_molecules_if_asked(smiles, tmp_path):
    data = store.load(stored(tmp_path, dataset(smiles, split_by="molecule")))
    both = set(data["molecule"].values[data["split"].values == 1]) & set(
        data["molecule"].values[data["split"].values == 0]
    )
    assert not both
    assert data["split"].values.sum() == 3
    assert data["element"].values.tolist() == [1, 6, 7, 8]
    assert data.attrs["rejected"] == 6


def test_read__takes_a_geometry_as_it_is_and_names_it_by_its_smiles(tmp_path):
    path = written(tmp_path / "two.sdf", "CCO", "c1ccccc1")
    found = dataset(path, box=20.0)
    samples = found.read(0).samples
    supplier = Chem.SDMolSupplier(str(path), removeHs=False)
    assert samples["sample_molecule"].values.tolist() == ["CCO", "c1ccccc1"]
    expected = np.concatenate(
        [m.GetConformer().GetPositions() - m.GetConformer().GetPositions().mean(0) for m in supplier]
    )
    np.testing.assert_allclose(samples["positions"], expected, atol=1e-5)
    zipped = tmp_path / "two.sdf.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(dataset(zipped, box=20.0).read(0).samples["positions"], samples["positions"])


def test_read__rejects_broken_and_flat_records_and_keeps_their_neighbours(tmp_path):
    path = written(tmp_path / "bad.sdf", "CO", "CO", "CO", "CO", "N")
    records = path.read_text().split("$$$$\n")
    records[1] = records[1].replace(" O ", " Qq")
    flat = Chem.AddHs(Chem.MolFromSmiles("CO"))
    AllChem.Compute2DCoords(flat)
    records[2] = Chem.MolToMolBlock(flat) + "\n"
    bare = Chem.MolFromSmiles("CO")
    AllChem.EmbedMolecule(bare, randomSeed=1)
    records[3] = Chem.MolToMolBlock(bare) + "\n"
    path.write_text("$$$$\n".join(records))
    found = dataset(path).read(0)
    assert found.samples["sample_molecule"].values.tolist() == ["CO", "N"]
    assert {r.index: r.reason for r in found.rejects} == {
        1: "RDKit cannot read the record",
        2: "no 3D positions",
        3: "4 hydrogens without positions",
    }


def test_read__rejects_what_leaves_the_box_by_its_atoms_radius_and_shift(tmp_path):
    path = tmp_path / "pair.xyz"
    path.write_text("2\n\nH 0 0 0\nH 5.4 0 0\n2\n\nH 0 0 0\nH 5.6 0 0\n")
    found = dataset(path, box=8.0, margin=1.25).read(0)
    assert found.samples.sizes["sample"] == 1  # 2.7 + 1.25 < 4 < 2.8 + 1.25
    assert [(r.source, r.index) for r in found.rejects] == [("pair.xyz", 1)]


def test_read__names_what_is_wrong_with_the_files(tmp_path, smiles):
    with pytest.raises(UserError, match="each file once"):
        dataset(smiles, smiles).read(0)
    with pytest.raises(UserError, match=r"\.mol or \.xyz"):
        dataset(tmp_path / "a.pdb").read(0)
    with pytest.raises(UserError, match="that can be read"):
        dataset(tmp_path / "missing.sdf").read(0)
    (tmp_path / "half.sdf.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(UserError, match=r"half\.sdf\.gz.*that can be read"):
        dataset(tmp_path / "half.sdf.gz").read(0)
    with pytest.raises((UserError, UserErrors), match=r"symbols of chemical elements.*'Cc'"):
        dataset(smiles, elements=["C", "Cc"])


@pytest.mark.slow
@needs_data
def test_read__of_real_files_rejects_what_is_too_large_and_keeps_the_rest():
    crystal = [DATA / f"pubLigs{kind}GoodDensity.sdf.gz" for kind in ("Charged", "Neutral")]
    found = dataset(*crystal, box=16.0, margin=0.75).read(0)
    assert found.samples.sizes["sample"] + len(found.rejects) == 1030
    reasons = Counter(r.reason.split(" of ")[0] for r in found.rejects)
    assert reasons["an element that is not among `elements`"] > 0
    assert sum("hydrogen" in r.reason for r in found.rejects) >= 259, "of 382 charged ligands, one or two are missing"
    assert 0.5 < found.samples.sizes["sample"] / 1030 < 0.6
    small = dataset(DATA / "qm7.xyz.gz", box=10.0, margin=0.0).read(0)
    assert small.samples.sizes["sample"] > 0.99 * 7101
    assert small.samples.sizes["sample"] + len(small.rejects) == 7101


def test_read__keeps_one_conformer_of_a_rigid_molecule_and_repeats_none(tmp_path):
    """Methane, benzene and methanol have one conformer each; butane has anti and gauche, of which one is a mirror."""
    path = tmp_path / "rigid.smi"
    path.write_text("C\nc1ccccc1\nCO\nCCCC\n")
    samples = dataset(path, conformers=20, min_rmsd=0.02, box=14.0).read(0).samples
    found = Counter(samples["sample_molecule"].values.tolist())
    assert found == {"C": 1, "c1ccccc1": 1, "CO": 1, "CCCC": 2}


@pytest.mark.parametrize("smiles_", ["OCCO", "CCC=O", "FCCF", "CC(O)C=O", "SCCCl"])
def test_different__conformers_are_those_of_the_best_alignment_over_all_symmetries(smiles_):
    """RDKit's RMSD over all symmetric orders of the atoms, of the conformer and of its mirror image."""
    molecule = parse_smiles(smiles_)
    x = embed_conformers(molecule, 15, np.random.default_rng(1))
    kept = duplicates.different(molecule.numbers, x, 0.02).tolist()
    mirror = Chem.Mol(molecule.mol)
    for k, positions in enumerate(x):
        mirror.GetConformer(k).SetPositions(positions * [-1, 1, 1])
    rmsd = [
        [
            min(rdMolAlign.GetBestRMS(Chem.Mol(of), Chem.Mol(molecule.mol), i, j) for of in (molecule.mol, mirror))
            for j in range(i)
        ]
        for i in range(15)
    ]
    expected = []
    for i in range(15):
        if all(rmsd[i][j] > 0.1 for j in expected):
            expected.append(i)
    assert kept == expected
    assert 1 < len(kept) < 15


def test_prepare__keeps_twins_together_in_a_split_by_frame(tmp_path):
    """Conformers of rigid molecules are alike up to a rotation; they used to be on both sides."""
    path = tmp_path / "rigid.smi"
    path.write_text("C\nCO\nO\nCCCCCC\n")
    made = dataset(path, conformers=6, box=14.0, test_fraction=0.3, split_by="frame")
    data = store.load(stored(tmp_path, made))
    assert json.loads(data.attrs["duplicates"]) == {}
    for name in ("C", "CO", "O"):
        of = data["molecule_name"].values[data["molecule"].values] == name
        assert of.sum() == 6
        assert len(set(data["split"].values[of].tolist())) == 1


def test_prepare__calls_two_spellings_in_two_files_one_molecule(tmp_path):
    """With and without atom maps, and drawn from another end; and as a geometry of a file without a name."""
    (tmp_path / "a.smi").write_text("CCCO\nCC#N\nCCC=O\nC=CC\n")
    (tmp_path / "b.smi").write_text("[OH:1][CH2:3]CC\nN#CC\n")
    parsed = parse_smiles("CCCO")
    x = embed_conformers(parsed, 1, np.random.default_rng(0))[0]
    rows = "".join(f"{'?HxxxxCxO'[z]} {a} {b} {c}\n" for z, (a, b, c) in zip(parsed.numbers, x.tolist(), strict=True))
    (tmp_path / "c.xyz").write_text(f"{len(x)}\n\n{rows}")
    files = [tmp_path / name for name in ("a.smi", "b.smi", "c.xyz")]
    data = store.load(stored(tmp_path, dataset(*files, conformers=5, box=12.0, min_rmsd=0.02)))
    assert data["molecule_name"].values.tolist() == ["CCCO", "CC#N", "CCC=O", "C=CC"]
    assert data["molecule"].values[-1] == 0
    train, test = (set(data["molecule"].values[data["split"].values == k].tolist()) for k in (0, 1))
    assert not train & test


def test_read__of_the_packaged_list_has_enough_different_small_molecules():
    listed = [smiles for _, smiles in read_smiles_list(SMILES_LIST)]
    parsed = [parse_smiles(smiles) for smiles in listed]
    assert len(listed) == len({m.smiles for m in parsed}) == 480
    assert {z for m in parsed for z in m.numbers.tolist()} == {1, 6, 7, 8, 9, 16, 17, 35}
    assert max(len(m.numbers) for m in parsed) <= 21
    few = plugins.make_dataset({"name": "conformers", "conformers": 1, "parts": 12}).read(0)
    assert len(few.rejects) < 0.1 * few.samples.sizes["sample"]
