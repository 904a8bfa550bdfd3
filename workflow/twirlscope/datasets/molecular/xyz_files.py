"""Frames of extended-XYZ files: read in chunks, counted, and turned into atoms."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...runtime.compressed_files import read_decompressed

COUNT = re.compile(r"\s*\d+\s*")

Found = Any  # an ase.Atoms, or a str that says why there is none


def atoms_of(path: Path) -> Iterator[Found]:
    """What ASE makes of each frame of a file, or why it makes nothing of it. Raises UserError."""
    import ase.io
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    name = path.name.removesuffix(".gz")
    if name.endswith((".xyz", ".extxyz")):
        yield from map(_parsed, chunks(read_decompressed(path).decode("utf-8", "replace")))
        return
    raw = read_decompressed(path)  # ASE itself reads a .gz in quadratic time
    try:
        kind = filetype(name, read=False)
        stream = io.BytesIO(raw) if ioformats[kind].isbinary else io.StringIO(raw.decode("utf-8", "replace"))
    except (UnknownFileTypeError, KeyError) as error:
        raise UserError(path, "a file that ASE reads, such as .xyz", f"{name!r}, which it does not know") from error
    try:
        yield from ase.io.iread(stream if ioformats[kind].acceptsfd else path, index=":", format=kind)
    except Exception as error:  # whatever the reader of the format raises on a damaged file
        yield f"ASE cannot read on: {_line(error)}"


def chunks(text: str) -> Iterator[list[str] | str]:
    """The lines of each frame of an XYZ file; for a frame whose lines are not as many as it says, why it is broken.

    A frame begins at a line that holds one integer and nothing else, so a broken frame does not take the next with it.
    """
    lines = [line.rstrip("\r") for line in text.rstrip().split("\n")]
    heads, i = [], 0
    while i < len(lines):
        if COUNT.fullmatch(lines[i]):
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
            if len(body) > count:
                yield "lines without a number of atoms above them"


def _parsed(chunk: list[str] | str) -> Found:
    """What ASE makes of the lines of a frame."""
    from ase.io.extxyz import read_xyz

    if isinstance(chunk, str):
        return chunk
    if int(chunk[0]) == 0:
        return "no atoms"
    try:
        return next(read_xyz(io.StringIO("\n".join(chunk) + "\n"), 0))
    except Exception as error:  # ASE raises whatever its parsing runs into
        return f"ASE cannot read it: {_line(error)}"


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
