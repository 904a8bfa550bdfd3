"""Frames read here are what ASE reads: of hand-made frames of many forms, of random ones, and of real files."""

import os
from pathlib import Path

import numpy as np
import pytest
from good_files import GOOD, HEAD, ROWS, STRESSED, frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twirlscope.datasets.molecular import xyz_records
from twirlscope.datasets.molecular.xyz_files import split_frames
from twirlscope.datasets.molecular.xyz_records import Record
from twirlscope.runtime.input_files import read_lines

DATA = Path(os.environ.get("TWIRLSCOPE_DATA", "no data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set TWIRLSCOPE_DATA to their folder")


def by_ase(lines):
    return xyz_records._by_ase(lines[0], lines[1], [line.replace("*^", "e") for line in lines[2:]])


def numbers_of(values):
    """Values by name, each as a plain thing that can be compared; those that are arrays by atom left out."""
    return {
        k: np.asarray(v, float).ravel().tolist() if np.asarray(v).dtype.kind in "fi" else v for k, v in values.items()
    }


def assert_same(mine: Record, other: Record):
    np.testing.assert_array_equal(mine.numbers, other.numbers)
    np.testing.assert_array_equal(mine.positions, other.positions)
    np.testing.assert_array_equal(mine.cell, other.cell)
    assert mine.positions.dtype == other.positions.dtype == mine.cell.dtype == np.float64
    assert mine.periodic == tuple(other.periodic)
    per_atom = set(mine.arrays) - {"numbers"}
    assert per_atom == set(other.arrays) & (per_atom | {"species"}) - {"numbers", "positions"}
    for name in per_atom:
        np.testing.assert_array_equal(mine.arrays[name], other.arrays[name])
    theirs = {k: v for k, v in other.values.items() if k not in per_atom}
    assert numbers_of(mine.values).keys() == theirs.keys()
    np.testing.assert_equal(numbers_of(mine.values), numbers_of(theirs))
    for name, value in mine.values.items():
        assert isinstance(value, np.ndarray) == isinstance(other.values[name], np.ndarray)
        assert isinstance(value, str) or str(value) == str(other.values[name])


def compared(lines) -> bool:
    """True if a frame is read here, where it is compared with ASE."""
    mine = xyz_records._regular(lines[1], [line.replace("*^", "e") for line in lines[2:]])
    if mine is not None:
        assert_same(mine, by_ase(lines))
    return mine is not None


USUAL = {
    "good": GOOD,
    "no Properties": frame(head="energy=1 name=a", rows=[r.rsplit(" ", 3)[0] for r in ROWS]),
    "further columns": frame(head="energy=1", rows=ROWS),
    "a cell": frame(pbc=STRESSED),
    "a cell alone": frame(pbc='Lattice="9 1 2 0 9 3 0 0 9"'),
    "a cell with commas": frame(pbc='Lattice="9,1,2,0,9,3,0,0,9" pbc="T,F,T"'),
    "whole numbers": frame(energy="energy=-5 charge=1 spin=+2"),
    "numbers of all forms": frame(energy="energy=-5.5e-3 a=nan b=-inf c=1E5 d=.5 e=5."),
    "rows of numbers": frame(energy='energy=1 dipole="1 2 3" q="1 2.5 3" magmom=0.0'),
    "truth": frame(energy='energy=1 a=T b=F c="T F T" d=true e="T x"'),
    "text": frame(energy='energy=1 a=b-c d="two words" e=C1CC=1_2'.replace("=1_2", "")),
    "stress": frame(pbc=STRESSED + ' stress="1 2 3 4 5 6" virial="1 2 3 2 4 5 3 5 6"'),
    "small letters": frame(rows=["o" + ROWS[0][1:], *ROWS[1:]]),
    "whole numbers by atom": frame(
        head=HEAD.replace("species:S:1", "species:S:1:tag:I:1:charge:R:1"), rows=[r[0] + " 3 0.5" + r[1:] for r in ROWS]
    ),
    "json": frame(energy='energy=1 a="_JSON [1.5, 2]" b="_JSON [true, 1]"'),
    "key twice": frame(energy="energy=1 energy=2"),
}
UNUSUAL = {
    "word alone": frame(energy="energy=1 periodic"),
    "braces": frame(energy="energy=1 a={1 2}"),
    "single quotes": frame(energy="energy=1 a='1 2'"),
    "space around =": frame(energy="energy = 1"),
    "damaged json": frame(energy='energy=1 a="_JSON [1"'),
    "a number for a dipole": frame(energy="energy=1 dipole=3"),
    "escape": frame(energy='energy=1 a="b\\"c"'),
    "truth as energy": frame(energy="energy=T"),
    "number with underscore": frame(energy="energy=1_0"),
    "move_mask": frame(
        head=HEAD.replace("species:S:1", "species:S:1:move_mask:L:1"), rows=[r[0] + " T" + r[1:] for r in ROWS]
    ),
    "numbers for symbols": frame(
        head=HEAD.replace("species:S:1", "Z:I:1"), rows=["8" + ROWS[0][1:], *("1" + r[1:] for r in ROWS[1:])]
    ),
}


@pytest.mark.parametrize("text", USUAL.values(), ids=USUAL)
def test_regular__is_what_ase_reads(text):
    assert compared(text.split("\n")[:-1])


@pytest.mark.parametrize("text", UNUSUAL.values(), ids=UNUSUAL)
def test_regular__leaves_other_forms_to_ase(text):
    lines = text.split("\n")[:-1]
    assert not compared(lines)
    assert isinstance(xyz_records.of_lines(lines), Record | str)


PIECES = [
    "energy",
    "=",
    '"',
    "'",
    "{",
    "}",
    " ",
    "1",
    "-2.5e3",
    "T",
    "F",
    "\\",
    ",",
    "_",
    "pbc",
    "Lattice",
    "stress",
    "nan",
]
PIECES += ['pbc="T T F"', 'Lattice="1 0 0 0 1 0 0 0 1"', "forces:R:3", "uid", "a=b", "x-y", "1_0", "dipole=", "\t", "é"]


@settings(max_examples=200, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans())
def test_regular__is_what_ase_reads_of_random_comments(pieces, before):
    extra = "".join(pieces)
    compared(frame(head=f"{extra} {HEAD}" if before else f"{HEAD} {extra}").split("\n")[:-1])


REAL = ["forcefield/acac/train_300K", "forcefield/acac/test_dihedral", "forcefield/acac/isolated_atoms"]
REAL += ["forcefield/3bpa/train_300K", "forcefield/3bpa/iso_atoms", "forcefield/3bpa/proxy_test_1200K", "molecules/qm7"]
REAL += [f"forcefield/spice_des_gfn2xtb/spice_{n}_gfn2xtb" for n in ("test_aminoacid_ligand", "des_monomers")]
REAL += [f"forcefield/acac/{n}" for n in ("train_600K", "test_MD_300K", "test_MD_600K", "test_H_transfer")]
REAL += [f"forcefield/3bpa/{n}" for n in ("train_mixedT", "proxy_test_300K", "proxy_test_600K")]


@needs_data
@pytest.mark.parametrize("name", REAL)
def test_regular__is_what_ase_reads_of_real_files(name):
    """Each frame of small files, and every 41st, or 201st, of large ones."""
    frames = list(split_frames(read_lines(DATA / f"{name}.xyz.gz")))
    step = 1 + 40 * (len(frames) > 100) + 160 * (len(frames) > 5000)
    assert all(compared(lines) for lines in frames[::step])
