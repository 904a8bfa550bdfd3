"""Random damage of good files: every record is a sample or a reject, or the file is refused with one clear error."""

import functools
import io
import json
import os
import re
import tempfile
from pathlib import Path

import ase
import ase.io
import gemmi
import h5py
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from good_files import GOOD, ROWS, chain, cif, frame, outcar, pdb, read, record
from good_files import spice as write_spice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twirlscope import plugins

EXAMPLES = int(os.environ.get("TWIRLSCOPE_DAMAGES", "0"))  # per reader; 0 for as many as a test may take
JUNK = [
    b"\0",
    b"\xff\xfe",
    b"\n",
    b"\r",
    b"7",
    b"7\n",
    b"\n7\n",
    b"nan",
    b" ",
    b"$$$$\n",
    b"END\n",
    b"TER\n",
    b"'",
    b'"',
    b"=",
]
JUNK += [b"{", b"loop_\n", b"<html>", "²".encode(), "\u0663\n".encode(), b"\x1f\x8b", b"-", b"99999999999999999999"]


@st.composite
def damaged(draw, content: bytes, steps: int = 3) -> bytes:
    """The content after a few random edits of its lines or bytes."""
    for _ in range(draw(st.integers(1, steps))):
        lines = content.split(b"\n")
        line = st.integers(0, len(lines) - 1)
        kind = draw(st.sampled_from(["delete", "double", "swap", "cut", "hole", "insert", "flip", "ends", "mark"]))
        if kind in ("delete", "double", "swap"):
            a, b = draw(line), draw(line)
            if kind == "delete":
                del lines[a]
            elif kind == "double":
                lines.insert(b, lines[a])
            else:
                lines[a], lines[b] = lines[b], lines[a]
            content = b"\n".join(lines)
            continue
        a = draw(st.integers(0, len(content)))
        if kind == "cut":
            content = content[:a]
        elif kind == "hole":
            content = content[:a] + content[a + draw(st.integers(1, 200)) :]
        elif kind == "insert":
            content = content[:a] + draw(st.sampled_from(JUNK)) + content[a:]
        elif kind == "flip":
            content = content[:a] + bytes([draw(st.integers(0, 255))]) + content[a + 1 :]
        elif kind == "ends":
            content = content.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r", b"\n\n", b" \n"])))
        else:
            content = draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\n\n", b"# \n"])) + content
    return content


def examples(count):
    return settings(
        max_examples=EXAMPLES or count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def outcome(kind, name, content, **more):
    """(records that are a sample or a reject, reasons, error) of a file of this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        samples, reasons, error = read(kind, path, **more)
    assert "\n" not in error
    assert error or samples + len(reasons) >= 1, "a file that is neither read nor refused"
    assert all(reasons), "a reason without a word"
    return samples + len(reasons), reasons, error


def text_of(content):
    """Lines of a text; None if it is in another encoding than UTF-8."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    return re.sub("\r\n|\r", "\n", text).split("\n")


def whole_frames(lines):
    """Number of frames of a sound XYZ file, counted from count to count; None if the counts do not lead to its end."""
    found = 0
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    while lines:
        if not re.fullmatch("[0-9]+", lines[0].strip()) or len(lines) < int(lines[0]) + 2:
            return None
        body, lines = lines[2 : int(lines[0]) + 2], lines[int(lines[0]) + 2 :]
        if any(len(line.split()) < 4 for line in body):
            return None
        found += 1
    return found or None


FRAMES = (GOOD + frame(rows=ROWS[:2], energy="energy=1") + frame(rows=[*ROWS, "H 3 3 3 0 0 1"]) + GOOD).encode()


@pytest.mark.slow
@examples(300)
@given(damaged(FRAMES))
def test_extxyz__loses_no_frame_of_a_damaged_file(content):
    records, _, error = outcome("extxyz", "a.xyz", content)
    lines = text_of(content)
    if error or lines is None:
        assert "_key to be a name" in error or lines is None
        return
    counts = [bool(re.fullmatch("[ \t\f\v]*[0-9]{1,9}[ \t\f\v]*", line)) for line in lines]
    heads = sum(c and not any(counts[max(0, i - 1) : i]) for i, c in enumerate(counts))
    assert records >= heads
    assert whole_frames(lines) in (None, records)


@pytest.mark.slow
@examples(100)
@given(damaged(FRAMES * 3), st.integers(2, 9))
def test_extxyz__reads_the_same_of_a_damaged_file_in_any_number_of_parts(content, parts):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("a.xyz", "b.xyz")]
        paths[0].write_bytes(content)
        paths[1].write_bytes(FRAMES)
        found = {}
        for count in (1, parts):
            section = {"name": "extxyz", "files": [str(p) for p in paths], "parts": count}
            try:
                given_parts = [plugins.make_dataset(section).read(p) for p in range(count)]
            except ValueError as error:
                found[count] = str(error)
                continue
            samples = [p.samples for p in given_parts if p.samples is not None]
            columns = [
                np.concatenate([s[name].values for s in samples]).tolist()
                for name in ("sample", "energy", "numbers", "positions", "forces", "sample_molecule")
            ]
            found[count] = repr((columns, [r for p in given_parts for r in p.rejects]))
    assert found[1] == found[parts]


@examples(150)
@given(damaged((record("CO") + record("N") + record("O") + record("CC")).encode()))
def test_sdf__loses_no_record_of_a_damaged_file(content):
    records, _, _ = outcome("conformers", "a.sdf", content)
    if (lines := text_of(content)) is not None:
        ends = [i for i, line in enumerate(lines) if line[:4] == "$$$$"]
        rest = any(line.strip() for line in lines[ends[-1] + 1 if ends else 0 :])
        assert records == max(1, len(ends) + rest)


@examples(60)
@given(damaged(b"C methane\nCO\n# a comment\nN\nO water\n[NH4+]\n"))
def test_smiles__loses_no_line_of_a_damaged_list(content):
    records, _, error = outcome("conformers", "a.smi", content, conformers=1)
    lines = text_of(content)
    if not error and lines is not None:
        assert records == sum(bool(line.split()) and line.split()[0][0] != "#" for line in lines)


DIMER = pdb(["HEADER    PROTEIN"], chain(12), ["TER"], chain(12, "B", 1, 60.0), ["TER"]).encode()
OF_THE_FILE = ("gemmi cannot read the file", "truncated", "no atoms")


@examples(300)
@given(damaged(DIMER))
def test_pdb__loses_no_chain_of_a_damaged_file(content):
    records, reasons, error = outcome("protein_structures", "a.pdb", content)
    assert not error
    lines = text_of(content)
    if lines is None or any(r.startswith(OF_THE_FILE) for r in reasons):
        return
    names = {line[20:22].strip() for line in lines if line[:6] == "ATOM  " and line[12:16].strip() == "CA"}
    assert records >= len(names), "each chain that an atom line names"


@examples(200)
@given(damaged(cif("A", "B").encode()))
def test_mmcif__loses_no_chain_of_a_damaged_file(content):
    records, reasons, error = outcome("protein_structures", "a.cif", content)
    assert not error
    if text_of(content) is None or any(r.startswith(OF_THE_FILE) for r in reasons):
        return
    blocks = gemmi.cif.read_string("\n".join(text_of(content)))
    chains = [{row.str(0) for row in b.find(["_atom_site.auth_asym_id", "_atom_site.Cartn_x"])} for b in blocks]
    assert records >= sum(map(len, chains))


def spice_bytes():
    with tempfile.TemporaryDirectory() as folder:
        return write_spice(Path(folder) / "a.hdf5").read_bytes()


@examples(100)
@given(damaged(spice_bytes()))
def test_spice__loses_no_molecule_of_a_damaged_file(content):
    records, _, error = outcome("spice", "a.hdf5", content)
    if not error:
        with h5py.File(io.BytesIO(content)) as file:
            assert records >= len(list(file))


@functools.cache
def of_ase(name, count=3):
    """Bytes of a file that ASE writes."""
    frames = []
    for i in range(count):
        frames.append(ase.Atoms("OH", [[0, 0, 0], [0, 0, 1 + 0.01 * i]]))
        frames[-1].calc = SinglePointCalculator(frames[-1], energy=-1.0 * i, forces=[[0, 0, i], [0, 0, -i]])
    with tempfile.TemporaryDirectory() as folder:
        ase.io.write(Path(folder) / name, frames)
        return (Path(folder) / name).read_bytes()


@pytest.mark.parametrize("name", ["a.traj", "a.json", "a.db"])
@examples(60)
@given(data=st.data())
def test_other_formats__are_read_refused_or_rejected(name, data):
    content = data.draw(damaged(of_ase(name)))
    records, reasons, error = outcome("extxyz", name, content)
    if name == "a.json" and not error and not any("rest of the file" in r for r in reasons):
        assert records >= sum(name.isdigit() for name in json.loads(content))


@examples(100)
@given(damaged(outcar(3).encode()))
def test_outcar__loses_no_step_of_a_damaged_file(content):
    records, reasons, error = outcome("extxyz", "OUTCAR", content)
    if not error and not any("rest of the file" in r for r in reasons):
        assert records >= len(re.findall(rb"Iteration +[0-9]+\( +1\)", content))
