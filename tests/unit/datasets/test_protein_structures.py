import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from good_files import CIF

from twirlscope import plugins
from twirlscope.datasets.protein import ca_statistics
from twirlscope.errors import UserError
from twirlscope.stages import prepare
from twirlscope.storage import store

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "no data")) / "proteins"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set TWIRLSCOPE_DATA to their folder")
NAMES = ["ALA", "CYS", "ASP", "GLU", "PHE", "GLY", "HIS", "ILE", "LYS"]


def walk(residues, seed=0):
    """A chain of CA atoms [Å] 3.8 apart that winds around an axis, so that a long one fits into the columns."""
    rng = np.random.default_rng(seed)
    phase = 0.5 * np.arange(residues)
    step = np.stack([np.cos(phase), np.sin(phase), np.full(residues, 0.4)], 1) + 0.1 * rng.normal(size=(residues, 3))
    return np.cumsum(3.8 * step / np.linalg.norm(step, axis=1, keepdims=True), 0)


def atom(serial, residue, number, x, chain="A", name="CA", altloc=" ", occupancy=1.0, record="ATOM", end="C"):
    where = "".join(f"{v:8.3f}" for v in x)
    return (
        f"{record:<6}{serial:>5} {name:^4}{altloc}{residue:>3} {chain}{number:>4}    {where}"
        f"{occupancy:6.2f}{20.0:6.2f}          {end:>2}"
    )


def lines(positions, chain="A", residue="ALA", **more):
    return [atom(i + 1, residue, i + 1, x, chain, **more) for i, x in enumerate(positions)]


def pdb(*parts):
    return "\n".join([line for part in parts for line in part] + ["END", ""])


def read(path, text=None, **settings):
    if text is not None:
        path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    given = {"name": "protein_structures", "files": [str(path)], "shortest": 5, "longest": 30, **settings}
    return plugins.make_dataset(given).read(0)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "one.pdb"


def test_read__gives_centred_positions_in_nanometres_with_sequence_and_name(file):
    x = np.round(walk(12), 3)
    samples = read(file, pdb(lines(x))).samples
    np.testing.assert_allclose(samples["ca_positions"], (x - x.mean(0)) / 10, atol=1e-5)
    assert samples["sequence"].values.tolist() == ["A" * 12]
    assert samples["chain"].values.tolist() == ["one.pdb:A"]
    assert not samples["chain_break"].values.any()


def test_read__gives_the_same_for_gzip_and_for_old_files_with_text_in_the_last_columns(tmp_path):
    text = pdb(lines(walk(12)))
    old = "\n".join(line[:66].ljust(72) + "1ABC 123" if line.startswith("ATOM") else line for line in text.split("\n"))
    first = read(tmp_path / "a.pdb", text).samples
    for name, content in (("a.pdb.gz", gzip.compress(text.encode())), ("old.ent", old)):
        again = read(tmp_path / name, content).samples
        np.testing.assert_array_equal(again["ca_positions"], first["ca_positions"])


def test_read__marks_a_chain_break_and_rejects_more_of_them_than_asked_for(file):
    x = walk(12)
    x[5:] += [9.0, 0, 0]
    found = read(file, pdb(lines(x)), most_breaks=1).samples
    assert np.flatnonzero(found["chain_break"].values).tolist() == [4]
    assert [r.reason for r in read(file, most_breaks=0).rejects] == ["more than 0 chain breaks"]


def test_read__takes_the_first_model_the_most_occupied_place_and_the_parent_of_a_modified_residue(file):
    x = walk(12)
    first = lines(x, residue="MSE", record="HETATM")
    first[3] = atom(4, "MSE", 4, x[3] + 0.5, altloc="A", occupancy=0.3, record="HETATM")
    first.insert(4, atom(5, "MSE", 4, x[3], altloc="B", occupancy=0.7, record="HETATM"))
    other = lines(x + 0.3, residue="MSE", record="HETATM")
    seqres = ["SEQRES   1 A   12  " + "MSE " * 12]
    text = pdb(seqres, ["MODEL        1"], first, ["ENDMDL", "MODEL        2"], other, ["ENDMDL"])
    samples = read(file, text).samples
    np.testing.assert_allclose(samples["ca_positions"], (x - x.mean(0)) / 10, atol=1e-4)
    assert samples["sequence"].values.tolist() == ["M" * 12]


def test_read__keeps_calcium_and_water_out_of_a_chain(file):
    extra = [atom(90, "CA", 90, [0, 0, 0], record="HETATM", name="CA  ", end="CA")]
    extra += [atom(91, "HOH", 91, [1, 1, 1], record="HETATM", name="O", end="O")]
    assert read(file, pdb(lines(walk(12)), extra)).samples["atoms"].values.tolist() == [12]


def test_read__joins_the_parts_of_a_chain_that_ter_records_split_and_keeps_two_chains_apart(file):
    x = walk(24)
    split = pdb(lines(x[:12]), ["TER"], [atom(50 + i, "ALA", 13 + i, p) for i, p in enumerate(x[12:])], ["TER"])
    assert read(file, split).samples["atoms"].values.tolist() == [24]
    two = read(file, pdb(lines(x[:12]), ["TER"], lines(x[12:], "B"), ["TER"]))
    assert two.samples["atoms"].values.tolist() == [12, 12]
    assert two.samples["sample"].values.tolist() == [0, 1]


def test_read__joins_a_chain_of_mmcif_that_another_chain_interrupts(tmp_path):
    x, rows = walk(24), []
    for chain, numbers in (("A", range(12)), ("B", range(9)), ("A", range(12, 24))):
        rows += [
            f"ATOM {len(rows)} C CA . ALA {chain} {n + 1} {' '.join(map(str, x[n]))} 1 {chain} {n + 1}" for n in numbers
        ]
    samples = read(tmp_path / "x.cif", CIF + "\n".join(rows) + "\n").samples
    assert samples["chain"].values.tolist() == ["x.cif:A", "x.cif:B"]
    np.testing.assert_allclose(samples["ca_positions"][:24], (x - x.mean(0)) / 10, atol=1e-5)


def dna(residues=12):
    return [atom(i + 1, "DA", i + 1, x, name="P", end="P") for i, x in enumerate(walk(residues))]


def hairpin():
    """A chain that runs back along itself, half an angstrom aside."""
    return np.array([[3.8 * i, 0, 0] for i in range(6)] + [[3.8 * (4 - i), 0.5, 0] for i in range(5)])


UNUSABLE = {
    "nucleic acid": ("x.pdb", pdb(dna())),
    "longer than 30 residues": ("x.pdb", pdb(lines(walk(2000)))),
    "shorter than 5 residues": ("x.pdb", pdb(lines(walk(4)))),
    "no CA atom": ("x.pdb", pdb(lines(walk(12), name="N", end="N"))),
    "truncated: the last line is incomplete": ("x.pdb", pdb(lines(walk(12)))[:-50]),
    "truncated: no record after the last atom": (
        "x.pdb",
        "\n".join(["HEADER    PROTEIN", *lines(walk(12))]),
    ),
    "damaged or truncated .gz file": ("x.pdb.gz", gzip.compress(pdb(lines(walk(12))).encode())[:-20]),
    "no atoms": ("x.pdb", "nothing of the kind\n"),
    "gemmi cannot read the file": ("x.cif", "data_x\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1 2.0\n3\n"),
    "two CA atoms are closer than 0.25 nm": ("x.pdb", pdb(lines(hairpin()))),
    "water only": ("x.pdb", pdb([atom(1, "HOH", 1, [1, 1, 1], record="HETATM", name="O", end="O")])),
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_read__rejects_what_cannot_be_used_with_its_reason_and_keeps_the_next_file(tmp_path, reason):
    name, content = UNUSABLE[reason]
    (tmp_path / "y.pdb").write_text(pdb(lines(walk(12))))
    read_one = read(tmp_path / name, content)
    assert [r.reason[: len(reason)] for r in read_one.rejects] == [reason]
    assert read_one.samples is None
    both = read(tmp_path)
    assert both.samples["chain"].values.tolist() == ["y.pdb:A"]
    assert len(both.rejects) == 1


def test_read__refuses_a_folder_without_structures_and_a_file_that_is_missing(tmp_path):
    with pytest.raises(UserError, match="structure files"):
        read(tmp_path)
    with pytest.raises(UserError, match="can be read"):
        read(tmp_path / "absent.pdb")


def prepared(tmp_path, parts, **settings):
    dataset = plugins.make_dataset({"name": "protein_structures", "parts": parts, **settings})
    paths = [tmp_path / f"{parts}.{p}.zarr.zip" for p in range(parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(dataset, part, path)
    out = tmp_path / f"{parts}.zarr.zip"
    prepare.prepare(dataset, paths, out)
    return out


def test_prepare__gives_the_same_bytes_whatever_the_number_of_parts(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(9):
        residue = NAMES[i]
        (folder / f"{i}.pdb").write_text(pdb(lines(walk(12, i), residue=residue), ["TER"], lines(walk(9, 20 + i), "B")))
    about = {"files": [str(folder)], "shortest": 5, "split_by": "chain"}
    one, three = (prepared(tmp_path, n, **about) for n in (1, 3))
    assert one.read_bytes() == three.read_bytes()
    data = store.load(one)
    assert data["chain"].values.tolist()[:3] == ["0.pdb:A", "0.pdb:B", "1.pdb:A"]
    assert data["split"].values.sum() == 1  # a tenth of 18


def test_finish__refuses_to_split_one_cluster(tmp_path):
    x = [pdb(lines(walk(12, i))) for i in range(3)]
    for i, text in enumerate(x):
        (tmp_path / f"{i}.pdb").write_text(text)
    with pytest.raises(UserError, match="small enough to hold out"):
        prepared(tmp_path, 1, files=[str(tmp_path)], shortest=5)


@pytest.mark.slow
@needs_data
def test_prepare__handles_real_chains_and_no_near_duplicate_crosses_the_split(tmp_path):
    folders = [str(DATA / name) for name in ("mmcif", "pdb", "original_files")]
    data = store.load(prepared(tmp_path, 2, files=folders))
    assert data.sizes["sample"] > 900
    assert ((data["atoms"] >= 50) & (data["atoms"] <= 256)).all()
    assert set(data["reject_reason"].values.tolist()) <= {"shorter than 50 residues", "more than 2 chain breaks"}
    with (DATA / "index.csv").open(newline="") as file:
        family = {Path(row["file"]).name: row["cluster40"] for row in csv.DictReader(file)}  # by alignment, at 40 %
    names, letters = ([str(v) for v in data[n].values] for n in ("chain", "sequence"))
    known = [family.get(name.split(":")[0]) for name in names]
    pairs = [(i, j) for i, a in enumerate(known) for j, b in enumerate(known[:i]) if a and a == b]
    apart = [(i, j) for i, j in pairs if data["cluster"].values[i] != data["cluster"].values[j]]
    crossing = [(i, j) for i, j in pairs if data["split"].values[i] != data["split"].values[j]]
    assert len(pairs) > 2000
    assert len(apart) < 0.01 * len(pairs)
    assert all(identity(letters[i], letters[j]) < 0.6 for i, j in apart + crossing)


def identity(a, b):
    """Share of identical residues, of the shorter sequence, by global alignment."""
    import gemmi

    return gemmi.align_string_sequences(list(a), list(b), [], gemmi.AlignmentScoring()).match_count / min(
        len(a), len(b)
    )


@needs_data
def test_read__of_real_files_keeps_alternative_places_models_and_modified_residues(tmp_path):
    folder = DATA / "original_files"
    expected = {"1nyh": 76, "2qti": 67, "2fd4": 105, "1jk4": 79, "1aki": 129, "1uoy": 64, "3hon": 55, "1ctf_a": 68}
    for name, count in expected.items():
        path = next(folder.glob(f"{name}.*"))
        samples = read(path, longest=256, most_breaks=5).samples
        assert count in samples["atoms"].values.tolist(), name
        x = samples["ca_positions"].values[: samples["atoms"].values[0]]
        angle, dihedral = ca_statistics.angles(x.astype(float))
        assert (angle > 1.2).mean() > 0.95
        assert ((dihedral > 0.5) & (dihedral < 1.3)).sum() > ((dihedral < -0.5) & (dihedral > -1.3)).sum()
    assert "M" in str(read(next(folder.glob("2qti.*")), longest=256).samples["sequence"].values[0])
    assert read(next(folder.glob("1l2y.*"))).samples["atoms"].values.tolist() == [20]


def from_pdb(file, *parts):
    """Lengths of the chains that are read, and the reasons of those that are not."""
    found = read(file, pdb(*parts))
    lengths = [] if found.samples is None else found.samples["atoms"].values.tolist()
    return lengths, [r.reason for r in found.rejects]


def test_read__tells_chains_without_names_apart_by_ter_and_numbers_that_start_again(file):
    one, other, far = walk(12), walk(14, 1) + 40, walk(16, 2) + 80
    assert from_pdb(file, lines(one, " "), ["TER"], lines(other, " "), ["TER"], lines(far, " ")) == ([12, 14, 16], [])
    assert from_pdb(file, lines(one, "A"), lines(other, "A")) == ([12, 14], []), "no TER, but the numbers start again"
    assert read(file).samples["chain"].values.tolist() == ["one.pdb:A", "one.pdb:A.2"]


def test_read__tells_the_chains_of_a_dimer_apart_by_their_segments(file):
    first = [line[:72].ljust(72) + "PROA C" for line in lines(walk(12), "A")]
    second = [line[:72].ljust(72) + "PROB C" for line in lines(walk(14, 1) + 30, "A")]
    assert from_pdb(file, first, second) == ([12, 14], [])


def test_read__counts_what_follows_the_end_of_the_first_structure(file):
    found = from_pdb(file, lines(walk(12)), ["END"], lines(walk(12) + 0.1), lines(walk(14) + 50, "B"), ["END"])
    assert found == ([12], ["after the END of the first structure of the file"] * 2)


def test_read__uses_every_polymer_of_a_chain_of_mmcif(tmp_path):
    x, rows = np.concatenate([walk(12), walk(14, 1) + 60]), []
    for n, p in enumerate(x):
        label = "A" if n < 12 else "C"
        number = n + 1 if n < 12 else n - 11
        rows.append(f"ATOM {n + 1} C CA . ALA {label} {number} {' '.join(map(str, p))} 1 A {n + 1}")
    found = read(tmp_path / "x.cif", CIF + "\n".join(rows) + "\n")
    assert found.samples["atoms"].values.tolist() == [12, 14]
    assert found.samples["chain"].values.tolist() == ["x.cif:A", "x.cif:A.2"]


@pytest.mark.parametrize("end", ["C", "", " "])
def test_read__takes_a_ca_on_the_left_of_its_columns_for_carbon(file, end):
    left = [line[:12] + "CA  " + line[16:76] + f"{end:>2}" for line in lines(walk(12))]
    assert from_pdb(file, left) == ([12], [])


@pytest.mark.parametrize("place", [0, 5, 11])
def test_read__takes_coordinates_of_9999_for_an_atom_that_is_missing(file, place):
    x = walk(12)
    x[place] = 9999.0
    found = read(file, pdb(lines(x))).samples
    assert found["atoms"].values.tolist() == [11]
    assert np.abs(found["ca_positions"]).max() < 3


@pytest.mark.slow
@needs_data
def test_read__of_real_files_has_as_many_chains_as_a_plain_reading_of_their_lines():
    """Another road: chain names of the CA lines of residues between the first MODEL and ENDMDL."""
    for path in sorted((DATA / "pdb").glob("*.pdb.gz")):
        text = gzip.decompress(path.read_bytes()).decode().split("ENDMDL")[0]
        names = {line[21] for line in text.splitlines() if line.startswith("ATOM") and line[12:16] == " CA "}
        found = read(path, shortest=4, longest=5000, most_breaks=999)
        chains = set() if found.samples is None else {str(n).split(":")[1] for n in found.samples["chain"].values}
        assert chains == {n.strip() for n in names}, path.name
        assert len(chains) + len(found.rejects) >= len(names)
