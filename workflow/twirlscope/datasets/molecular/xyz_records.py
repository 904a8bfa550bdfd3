"""Atoms of one frame of an extended XYZ file, from its lines.

Frames of the usual form are read here, in a tenth of the time that ASE takes. All others, and all that are wrong, are
read by ASE, which also words the errors.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..._typing import Array, Float, Int, Sequence
from ...errors import needs

PROPERTIES = re.compile(r"(?:^|\s)Properties=\"?([^\s\"]+)")
SPECIAL = re.compile(r"(?<!\S)(stress|virial)=")
ASIDE = "as_in_file_"
PAIR = re.compile(r"\s*([A-Za-z_]\w*)=(?:\"([^\"\\]+)\"|([^\s\"'{}\[\]\\=,]+))(?=\s|$)")  # key="value" or key=value
WORD = re.compile(r"[^\s,]+")
INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
BOOLEAN = {"T": True, "F": False, "true": True, "false": False, "True": True, "False": False}
BOOLEAN |= {"TRUE": True, "FALSE": False}
JSON = "_JSON "
SCALARS = {"energy", "free_energy", "magmom"}  # a calculator of ASE keeps these as they are
PLAIN = "species:S:1:pos:R:3"  # columns of a file that does not name them
NAMES = {"pos": "positions", "charge": "charges"}  # names of ASE for columns of files
LEFT_TO_ASE = {"Z", "z", "positions", "numbers", "symbols", "move_mask", "uid"}  # with a meaning of their own


@dataclass(frozen=True)
class Record:
    """Atoms of one frame, in the units of the file.

    numbers, positions: of the atoms.
    cell: lattice vectors by row; 0 without a cell.
    periodic: True for each periodic lattice vector.
    values: of the frame, by name.
    arrays: with a row per atom, by name.
    """

    numbers: Int[Array, " atom"]
    positions: Float[Array, "atom 3"]
    cell: Float[Array, "3 3"]
    periodic: tuple[bool, ...]
    values: dict[str, Any]
    arrays: dict[str, Any]


def of_atoms(atoms: Any) -> Record:
    """The record of an `ase.Atoms`, with the results of its calculator among values and arrays."""
    results = atoms.calc.results if atoms.calc else {}
    periodic = tuple(atoms.pbc.tolist())
    return Record(
        atoms.numbers, atoms.positions, atoms.cell.array, periodic, atoms.info | results, atoms.arrays | results
    )


def of_lines(lines: Sequence[str]) -> Record | str:
    """The record of the lines of one frame, or the reason why it cannot be read.

    Args:
        lines: number of atoms, comment, and a line for each atom, all with as many words.
    """
    if int(lines[0]) == 0:
        return "no atoms"
    comment, body = lines[1], [line.replace("*^", "e") for line in lines[2:]]  # 1.2*^-6, as in QM9
    if reason := _wrong_columns(comment, len(body[0].split())):
        return reason
    return _regular(comment, body) or _by_ase(lines[0], comment, body)


def formula(numbers: Int[Array, " atom"]) -> str:
    """Formula in Hill's order; empty where a number is not that of an element."""
    with needs("chemistry"):
        from ase.symbols import Symbols, chemical_symbols

    known = ((numbers >= 0) & (numbers < len(chemical_symbols))).all()
    return Symbols(numbers).get_chemical_formula() if known else ""


def _wrong_columns(comment: str, columns: int) -> str | None:
    """The reason why a frame with so many columns is not what `Properties` in its comment says, or None."""
    found = PROPERTIES.search(comment)
    counts = found[1].split(":")[2::3] if found else []
    if not all(n.isdecimal() for n in counts) or (found and len(found[1].split(":")) % 3):
        return f"Properties are no triples of name, type and number of columns: {found[1][:100]!r}"
    named = sum(map(int, counts))
    return f"{columns} columns, but Properties names {named}" if found and columns != named else None


def _by_ase(head: str, comment: str, body: Sequence[str]) -> Record | str:
    """The record of a frame, as ASE reads it."""
    with needs("chemistry"):
        from ase.io.extxyz import read_xyz

    aside = SPECIAL.sub(rf"{ASIDE}\1=", comment)  # ASE reads 9 numbers alone, and drops their asymmetry
    try:
        record = of_atoms(next(read_xyz(io.StringIO("\n".join([head, aside, *body]) + "\n"), 0)))
    except Exception as error:  # ASE raises errors of many kinds
        return f"ASE cannot read the frame: {one_line(error)}"
    for name in [n for n in record.values if n.startswith(ASIDE)]:
        record.values[name.removeprefix(ASIDE)] = record.values.pop(name)
    return record


def one_line(error: Exception) -> str:
    """Kind and text of an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _regular(comment: str, body: Sequence[str]) -> Record | None:
    """The record of a frame of the usual form; None for another, or one with a mistake."""
    try:
        values = _values(comment)
        columns = None if values is None else _columns(values.pop("Properties", PLAIN))
        return None if columns is None else _record(values, columns, [line.split() for line in body])
    except (ValueError, KeyError, OverflowError):
        return None


def _record(values: dict[str, Any], columns: Sequence[tuple], words: Sequence[Sequence[str]]) -> Record | None:
    """The record of values and columns; None if lines have too few words.

    Raises:
        ValueError: a word is no number; also `KeyError` for an unknown element, or `OverflowError`.
    """
    if len(words[0]) < max(stop for _, _, _, stop in columns):
        return None
    arrays = {
        name: np.array([[convert(word) for word in row[start:stop]] for row in words])
        for name, convert, start, stop in columns
    }
    numbers = np.array([_atomic_numbers()[symbol.capitalize()] for symbol in arrays.pop("species")[:, 0].tolist()])
    periodic = tuple(values.pop("pbc", ["Lattice" in values] * 3))
    cell = np.asarray(values.pop("Lattice", np.zeros(9)), np.float64).reshape(3, 3)
    arrays = {name: array[:, 0] if array.shape[1] == 1 else array for name, array in arrays.items()}
    return Record(numbers, arrays.pop("positions"), cell, periodic, values, arrays)


def _values(comment: str) -> dict[str, Any] | None:
    """Values of a comment of pairs key=value, as ASE reads them; None for another comment."""
    comment, values, end = comment.strip(), {}, 0
    while end < len(comment):
        if not (pair := PAIR.match(comment, end)):
            return None
        key, value, end = pair[1], _value(pair[2] or pair[3]), pair.end()
        if value is None or key.lower() in LEFT_TO_ASE:
            return None
        if key in _of_frames():  # ASE converts them
            if isinstance(value, str | bool | list) or not (key in SCALARS or isinstance(value, np.ndarray)):
                return None
            value = value if key in SCALARS else value.astype(np.float64)
        values[key] = value
    lattice, pbc = values.get("Lattice", np.zeros(9)), values.get("pbc", [True] * 3)
    right = np.shape(lattice) == (9,) and isinstance(pbc, list) and len(pbc) == 3
    return values if right and isinstance(values.get("Properties", ""), str) else None


def _value(text: str) -> Any:
    """Number, numbers, truth values or text; None where ASE has to decide."""
    words = WORD.findall(text)
    if not words or any("_" in word and _is_float(word) for word in words):
        return None
    if text.startswith(JSON):
        return _json(text.removeprefix(JSON))
    if all(map(INTEGER.fullmatch, words)):
        return int(words[0]) if len(words) == 1 else np.array(words, np.int64)
    if all(map(_is_float, words)):
        return float(words[0]) if len(words) == 1 else np.array(words, np.float64)
    if all(word in BOOLEAN for word in words):
        return BOOLEAN[words[0]] if len(words) == 1 else [BOOLEAN[word] for word in words]
    return text


def _json(text: str) -> Any:
    """Numbers as an array, other content as it is; None if it is no JSON."""
    try:
        content = json.loads(text)
        array = np.array(content)
    except ValueError:
        return None
    return array if array.dtype.kind in "ifb" else content


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@lru_cache
def _columns(properties: str) -> list[tuple[str, Any, int, int]] | None:
    """Name, conversion and columns of each array of a frame; None where ASE has to decide."""
    fields = properties.split(":")
    names, kinds, counts = fields[::3], fields[1::3], [int(n) for n in fields[2::3]]
    ends = np.cumsum(counts).tolist()
    shapes = dict(zip(names, zip(kinds, counts, strict=True), strict=True))
    usual = len(shapes) == len(names) and not shapes.keys() & LEFT_TO_ASE and all(counts)
    if not usual or shapes.get("species") != ("S", 1) or shapes.get("pos") != ("R", 3):
        return None
    parts = [
        f"{name}{c}" if count > 1 else name for name, count in zip(names, counts, strict=True) for c in range(count)
    ]
    if len(set(parts)) < len(parts) or any(
        k not in ("R", "I") for n, k in zip(names, kinds, strict=True) if n != "species"
    ):
        return None
    convert = {"S": str, "R": float, "I": _int32}
    return [
        (NAMES.get(name, name), convert[kind], end - count, end)
        for name, kind, count, end in zip(names, kinds, counts, ends, strict=True)
    ]


def _int32(text: str) -> int:
    """A whole number of 32 bits."""
    if abs(number := int(text)) >= 1 << 31:
        raise OverflowError(text)
    return number


@lru_cache
def _atomic_numbers() -> dict[str, int]:
    with needs("chemistry"):
        from ase.data import atomic_numbers

    return atomic_numbers


@lru_cache
def _of_frames() -> set[str]:
    """Names of results of a calculator for a frame as a whole, which ASE converts to numbers."""
    with needs("chemistry"):
        from ase.io.extxyz import per_config_properties

    return set(per_config_properties) - {"stress"}  # which is kept as the file has it
