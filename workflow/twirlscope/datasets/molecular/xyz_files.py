"""Frames of extended-XYZ files, and of other files that ASE reads; broken frames give a reason instead."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...runtime.input_files import kind_of, read_decompressed, read_text

COUNT_LINE = re.compile(r"\s*\d+\s*")
PROPERTIES = re.compile(r"(?:^|\s)Properties=\"?([^\s\"]+)")
SPECIAL = re.compile(r"(?<!\S)(stress|virial)=")
ASIDE = "as_in_file_"

AtomsOrReason = Any  # an ase.Atoms, or a str: the reason why there is none


def read_frames(path: Path) -> Iterator[AtomsOrReason]:
    """Atoms of each frame of a file, or the reason why the frame cannot be read.

    Raises:
        UserError: ASE does not know the format of the file, or the file cannot be read.
    """
    if kind_of(path) in (".xyz", ".extxyz"):
        yield from map(_parse, split_frames(read_text(path)))
        return
    with tempfile.TemporaryDirectory() as folder:
        yield from _read_with_ase(path, Path(folder))


def _read_with_ase(path: Path, folder: Path) -> Iterator[AtomsOrReason]:
    """Atoms of each frame of a file of another format, by ASE, which needs a file with a name, and reads signs in it.

    Args:
        folder: an empty one, for the file decompressed or under a name without special signs.
    """
    import ase.io
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    content = read_decompressed(path)
    plain = folder / re.sub(r"[^A-Za-z0-9_.-]", "_", re.sub(r"(?i)\.gz$", "", path.name))
    plain.write_bytes(content)
    try:
        kind = ioformats[filetype(str(plain), read=False)].name  # by its name: the content of any text looks like XYZ
    except (UnknownFileTypeError, KeyError) as error:
        got = f"{plain.name!r}, which it does not know"
        raise UserError(path, "a file that ASE reads, such as .xyz", got) from error
    try:
        yield from ase.io.iread(str(plain), index=":", format=kind)
    except Exception as error:  # readers raise errors of many kinds on a damaged file
        yield f"ASE cannot read the rest of the file: {_one_line(error)}"


def split_frames(text: str) -> Iterator[list[str] | str]:
    """Lines of each frame of an XYZ file; for a frame with a wrong number of lines, the reason to reject it.

    A frame begins at a line with one integer and nothing else. So a broken frame does not affect the next one.
    """
    lines = text.rstrip().split("\n")
    heads, i = [], 0
    while i < len(lines):
        if COUNT_LINE.fullmatch(lines[i]):
            heads.append(i)
            i += 1  # the comment may be an integer too
        i += 1
    if any(line.strip() for line in lines[: heads[0] if heads else None]):
        yield "the file does not begin with a number of atoms"
    for head, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        count, body = int(lines[head]), [line for line in lines[head + 2 : end] if line.strip()]
        widths = [len(line.split()) for line in body]
        if len(body) < count or (len(body) > count and (not count or widths[count] == widths[0])):
            yield f"the number of atoms is {'below' if len(body) > count else 'above'} the number of lines"
        elif len(set(widths[:count])) > 1:
            yield "lines of the frame differ in their number of columns"
        else:
            yield [*lines[head : head + 2], *body[:count]]
            if len(body) > count and not _is_qm9_trailer(body[count:]):
                yield "lines without a number of atoms above them"


def _is_qm9_trailer(lines: list[str]) -> bool:
    """True for frequencies, SMILES and InChI below the atoms, as in the files of QM9."""
    return len(lines) == 3 and "InChI=" in lines[2]


def _columns_named(comment: str) -> int | None:
    """Number of columns that `Properties` in a comment line names; None without it."""
    found = PROPERTIES.search(comment)
    return sum(int(n) for n in found[1].split(":")[2::3]) if found else None


def _parse(chunk: list[str] | str) -> AtomsOrReason:
    """Atoms from the lines of a frame, or the reason why ASE cannot read them."""
    from ase.io.extxyz import read_xyz

    if isinstance(chunk, str):
        return chunk
    if int(chunk[0]) == 0:
        return "no atoms"
    head, comment, *body = chunk
    columns, named = len(body[0].split()), _columns_named(comment)
    if named is not None and columns != named:
        return f"{columns} columns, but Properties names {named}"
    aside = SPECIAL.sub(rf"{ASIDE}\1=", comment)  # ASE reads 9 numbers alone, and drops their asymmetry
    try:
        text = "\n".join([head, aside, *(line.replace("*^", "e") for line in body)])  # 1.2*^-6, as in QM9
        return _with_special(next(read_xyz(io.StringIO(text + "\n"), 0)))
    except Exception as error:  # ASE raises errors of many kinds
        return f"ASE cannot read the frame: {_one_line(error)}"


def _with_special(atoms: Any) -> Any:
    """The atoms with stress and virial as the file has them, under their own names."""
    for name in [n for n in atoms.info if n.startswith(ASIDE)]:
        atoms.info[name.removeprefix(ASIDE)] = atoms.info.pop(name)
    return atoms


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
