"""Frames of extended-XYZ files, and of other files that ASE reads; broken frames give a reason instead."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError, needs
from ...runtime.input_files import kind_of, read_decompressed, read_lines
from .xyz_records import Record, of_atoms, of_lines, one_line

COUNT_LINE = re.compile(r"\s*\d{1,9}\s*", re.ASCII)
RECORD = {  # what each record of a format has once; ASE leaves out a step that is cut, or a row that is not listed
    "vasp-out": re.compile(rb"Iteration +\d+\( +1\)"),
    "json": re.compile(rb'^\{?"\d+": \{', re.MULTILINE),
}


@dataclass(frozen=True)
class Window:
    """Part of an XYZ file.

    start, stop: offsets of its bytes, decompressed; `stop` None for the end of the file.
    first: number of its first record among those of the file.
    """

    start: int = 0
    stop: int | None = None
    first: int = 0


WHOLE = Window()


def read_frames(path: Path, window: Window = WHOLE) -> Iterator[tuple[int, Record | str]]:
    """Number of each record of a file, and its atoms, or the reason why it cannot be read; one record at a time.

    Raises:
        UserError: ASE does not know the format of the file, or the file cannot be read.
    """
    if is_xyz(path):
        lines = read_lines(path, start=window.start, stop=window.stop)
        records = (one if isinstance(one, str) else of_lines(one) for one in split_frames(lines))
        yield from enumerate(records, window.first)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield from enumerate(_read_with_ase(path, Path(folder)))


def is_xyz(path: Path) -> bool:
    """True for (extended) XYZ files by their name; the others are read by ASE."""
    return kind_of(path) in (".xyz", ".extxyz")


def _read_with_ase(path: Path, folder: Path) -> Iterator[Record | str]:
    """Atoms of each frame of a file of another format, by ASE, which needs a file with a name, and reads signs in it.

    Args:
        folder: an empty one, for the file decompressed or under a name without special signs.
    """
    with needs("chemistry"):
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
    found, expected = 0, len(RECORD[kind].findall(content)) if kind in RECORD else 1
    try:
        for atoms in ase.io.iread(str(plain), index=":", format=kind):
            yield of_atoms(atoms)
            found += 1
    except Exception as error:  # readers raise errors of many kinds on a damaged file
        yield f"ASE cannot read the rest of the file: {one_line(error)}"
        found += 1
    yield from ["ASE does not read this record" if kind in RECORD else "ASE finds no frame"] * (expected - found)
    if not max(found, expected):
        yield "ASE finds no frame"


def split_frames(lines: Iterable[str]) -> Iterator[list[str] | str]:
    """Lines of each frame of an XYZ file; for a frame with a wrong number of lines, the reason to reject it.

    A frame begins at a line with one integer and nothing else. So a broken frame does not affect the next one.
    """
    frame: list[str] = []
    false_start = False
    for line in lines:
        if (
            line.strip().isdigit() and COUNT_LINE.fullmatch(line) and len(frame) != 1
        ):  # the comment may be an integer too
            if frame:
                yield from records_of_frame(frame)
            elif false_start:
                yield "the file does not begin with a number of atoms"
            frame = [line]
        elif frame:
            frame.append(line)
        else:
            false_start = false_start or bool(line.strip())
    if frame:
        yield from records_of_frame(frame)
    else:
        yield "no line with a number of atoms" if false_start else "the file is empty"


def records_of_frame(lines: list[str]) -> Iterator[list[str] | str]:
    """Lines of one frame, or the reason to reject it; then a reason for lines below it that belong to no frame.

    Args:
        lines: from the line with the number of atoms up to the next such line.
    """
    count, body = int(lines[0]), [line for line in lines[2:] if line.strip()]
    widths = [len(line.split()) for line in body]
    if len(body) < count or (len(body) > count and (not count or widths[count] == widths[0])):
        yield f"the number of atoms is {'below' if len(body) > count else 'above'} the number of lines"
    elif len(set(widths[:count])) > 1:
        yield "lines of the frame differ in their number of columns"
    else:
        yield [lines[0], "".join(lines[1:2]), *body[:count]]
        if len(body) > count and not _is_qm9_trailer(body[count:]):
            yield "lines without a number of atoms above them"


def _is_qm9_trailer(lines: list[str]) -> bool:
    """True for frequencies, SMILES and InChI below the atoms, as in the files of QM9."""
    return len(lines) == 3 and "InChI=" in lines[2]
