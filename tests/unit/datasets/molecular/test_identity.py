"""Molecules by content: keys against graphs of RDKit, frames of hot dynamics, and links by name and by graph."""

import gzip
import itertools
import os
from pathlib import Path

import networkx
import numpy as np
import pytest
import xarray as xr
from rdkit import Chem
from rdkit.Chem import AllChem

from twirlscope import plugins
from twirlscope.datasets.molecular import frames, identity
from twirlscope.datasets.molecular.smiles import SMILES_LIST, parse_smiles, read_smiles_list
from twirlscope.settings.prepare import DatasetSettings

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "nowhere")) / "forcefield"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="TWIRLSCOPE_DATA names no folder with real data")
ISOMERS = ["CCCCO", "CCC(C)O", "CC(C)CO", "CC(C)(C)O", "CCOCC", "CCCOC", "CC(C)OC"]  # all of C4H10O
OTHERS = ["CC#N", "C[N+]#[C-]", "c1ccccc1", "C1CC1", "C=CC", "CSC", "CS(C)=O", "FC(F)F", "BrC(Br)Br", "OCC(F)(F)Cl"]


def geometry(smiles, seed=1):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=seed)
    AllChem.MMFFOptimizeMolecule(mol)
    return np.array([a.GetAtomicNum() for a in mol.GetAtoms()]), mol.GetConformer().GetPositions()


def dataset(geometries, names=None, cells=None):
    data = xr.Dataset(
        {
            "atoms": ("sample", np.array([len(z) for z, _ in geometries], np.int32)),
            "numbers": ("atom", np.concatenate([z for z, _ in geometries]).astype(np.int16)),
            "positions": (("atom", "xyz"), np.concatenate([x for _, x in geometries]).astype(np.float32)),
            "sample_molecule": ("sample", np.array(names or [""] * len(geometries), object)),
        }
    )
    return data if cells is None else data.assign(cell=(("sample", "lattice", "xyz"), np.array(cells, np.float32)))


def molecules(geometries, names=None, cells=None):
    data = dataset(geometries, names, cells)
    return identity.molecules(data, frames._composition(data))


def hidden(numbers, positions, seed):
    """The atoms in another order, turned, shifted and shaken by 0.05 Å."""
    rng = np.random.default_rng(seed)
    order, turn = rng.permutation(len(numbers)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return numbers[order], (positions[order] + 0.05 * rng.normal(size=positions.shape)) @ turn + rng.normal(size=3) * 9


def test_molecules__are_the_graphs_whatever_the_order_of_atoms_and_the_orientation():
    drawn = [geometry(s) for s in ISOMERS + OTHERS]
    index, names = molecules([hidden(*drawn[k], n) for n, k in enumerate(list(range(len(drawn))) * 8)])
    assert index.tolist() == list(range(len(drawn))) * 8
    assert names == ["C4H10O"] * 7 + ["C2H3N"] * 2 + [
        "C6H6",
        "C3H6",
        "C3H6",
        "C2H6S",
        "C2H6OS",
        "CHF3",
        "CHBr3",
        "C2H3ClF2O",
    ]


def test_graph_keys__are_equal_exactly_where_graphs_of_rdkit_are_isomorphic():
    """The packaged list and two spellings of each molecule, against a search for isomorphisms."""
    graphs, drawn = [], []
    for _, smiles in read_smiles_list(SMILES_LIST)[:30]:
        mol = Chem.MolFromSmiles(smiles)
        for spelling in (smiles, Chem.MolToSmiles(mol, rootedAtAtom=mol.GetNumAtoms() - 1, canonical=False)):
            full, graph = Chem.AddHs(Chem.MolFromSmiles(spelling)), networkx.Graph()
            graph.add_nodes_from((a.GetIdx(), {"z": a.GetAtomicNum()}) for a in full.GetAtoms())
            graph.add_edges_from((b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in full.GetBonds())
            graphs.append(graph)
            drawn.append(geometry(spelling, seed=len(drawn) + 1))
    keys = identity.graph_keys(data := dataset(drawn), frames._composition(data))
    for i, j in itertools.combinations(range(len(graphs)), 2):
        same = networkx.is_isomorphic(graphs[i], graphs[j], node_match=lambda a, b: a["z"] == b["z"])
        assert (keys[i] == keys[j]).tolist() == [same] * len(identity.FACTORS)


def test_molecules__of_hot_dynamics_without_names_are_the_molecules():
    """300, 500 and 1000 K: single thresholds would make several molecules of one."""
    made = plugins.make_dataset({"name": "xtb_molecules", "frames_per_molecule": 24, "equilibration": 100.0})
    geometries, expected = [], []
    for smiles in ("CC(=O)CC(C)=O", "OCC(O)CO", "CSSC", "CS(C)=O", "C1COCCN1", "OCC(F)(F)F", "N[C@@H](CS)C(=O)O"):
        molecule = parse_smiles(smiles)
        positions, _ = made._geometries(molecule, molecule.rng(0))
        geometries += [(molecule.numbers, x) for x in positions]
        expected += [smiles] * len(positions)
    index, _ = molecules(geometries)
    assert len(set(index.tolist())) == len(set(expected)) == len(set(zip(index.tolist(), expected, strict=True)))


def test_molecules__are_linked_by_names_and_by_graphs_through_others():
    water, methane, ammonia, ethane = (geometry(s) for s in ("O", "C", "N", "CC"))
    given = [(water, "a"), (methane, "a"), (methane, ""), (ammonia, ""), (ammonia, "b"), (ethane, "c"), (ethane, "d")]
    index, names = molecules(*map(list, zip(*given, strict=True)))
    assert index.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert names == ["a", "b", "c"]


def test_molecules__of_periodic_frames_are_their_compositions_in_lowest_terms():
    salt, double = np.array([11, 17]), np.array([11, 17, 11, 17])
    rng = np.random.default_rng(0)
    crystal = [(z, rng.uniform(0, 5, (len(z), 3))) for z in (salt, double, np.array([11, 11, 17]), salt)]
    cell = 5 * np.eye(3)
    index, names = molecules(crystal, ["", "", "", "cluster"], [cell, cell, cell, 0 * cell])
    assert index.tolist() == [0, 0, 1, 2]
    assert names == ["ClNa", "ClNa2", "cluster"]
    assert molecules(crystal, ["a", "b", "b", "c"], [cell] * 4)[0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("atoms", [5, 400])
def test_molecules__of_any_size_are_told_apart(atoms):
    """A straight chain of carbon, and the same with one atom moved to a side branch."""
    chain = np.arange(atoms)[:, None] * np.array([1.5, 0, 0])
    branched = np.vstack([chain[:-1], [[1.5, 1.5, 0]]])
    index, _ = molecules([(np.full(atoms, 6), x) for x in (chain, branched, chain[::-1])])
    assert index.tolist() == [0, 1, 0]


@pytest.mark.parametrize("names", ["same", "per frame", "none"])
def test_finish__holds_out_whole_molecules_whatever_the_frames_are_called(names):
    """Names per frame used to put frames of one molecule on both sides."""
    drawn = [geometry(s) for s in ISOMERS]
    made = [hidden(*drawn[n % 7], n) for n in range(70)]
    given = {"same": ISOMERS * 10, "per frame": [f"frame {n}" for n in range(70)], "none": [""] * 70}
    data = dataset(made, given[names]).assign_coords(sample=np.arange(70))
    found, _ = frames.assign_splits(data, DatasetSettings(test_fraction=0.3))
    assert found["molecule"].values.tolist() == list(range(7)) * 10
    train, test = (set(found["molecule"].values[found["split"].values == k].tolist()) for k in (0, 1))
    assert not train & test
    assert len(test) == 2
    assert found["cluster"].values.tolist() == list(range(7)) * 10


def thinned(path, out):
    """A file of every fifth frame, of which a molecule has fifty or more."""
    lines, kept, start = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True), [], 0
    for number in itertools.count():
        if start >= len(lines):
            break
        stop = start + 2 + int(lines[start])
        kept += lines[start:stop] if number % 5 == 0 else []
        start = stop
    out.write_text("".join(kept), encoding="utf-8")
    return str(out)


@pytest.mark.slow
@needs_data
def test_molecules__of_real_frames_without_names_are_those_that_the_names_tell(tmp_path):
    """Ions and ten elements; protons move between the oxygens of two phosphates. A hot run has one molecule."""
    for files, given, found in (
        (["spice_des_gfn2xtb/spice_des_monomers_gfn2xtb.xyz.gz"], 378, range(378, 383)),
        ([f"3bpa/{n}.xyz.gz" for n in ("train_mixedT", "proxy_test_1200K")], 1, [1]),
    ):
        paths = [thinned(DATA / f, tmp_path / Path(f).name.removesuffix(".gz")) for f in files]
        read = plugins.make_dataset({"name": "extxyz", "files": paths}).read(0).samples
        names = read["sample_molecule"].values.astype(str).tolist() if given > 1 else [""] * read.sizes["sample"]
        bare = read.assign(sample_molecule=("sample", np.array([""] * len(names), object)))
        index, _ = identity.molecules(bare.drop_vars("cell"), frames._composition(bare))
        assert len(set(names)) == given
        assert index.max() + 1 in found
        assert len(set(zip(index.tolist(), names, strict=True))) == index.max() + 1, "no two names are one molecule"
