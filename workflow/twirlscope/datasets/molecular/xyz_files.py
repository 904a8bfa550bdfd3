"""Frames of extended-XYZ files, and of other files that ASE reads; broken frames give a reason instead."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...runtime.compressed_files import read_decompressed

COUNT_LINE = re.compile(r"\s*\d+\s*")

AtomsOrReason = Any  # an ase.Atoms, or a str: the reason why there is none


def read_frames(path: Path) -> Iterator[AtomsOrReason]:
    """Atoms of each frame of a file, or the reason why the frame cannot be read.

    Raises:
        UserError: ASE does not know the format of the file, or the file cannot be read.
    """
    import ase.io
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    name = path.name.removesuffix(".gz")
    if name.endswith((".xyz", ".extxyz")):
        yield from map(_parse, split_frames(read_decompressed(path).decode("utf-8", "replace")))
        return
    raw = read_decompressed(path)  # ASE itself reads a .gz in quadratic time
    try:
        kind = filetype(name, read=False)
        stream = io.BytesIO(raw) if ioformats[kind].isbinary else io.StringIO(raw.decode("utf-8", "replace"))
    except (UnknownFileTypeError, KeyError) as error:
        raise UserError(path, "a file that ASE reads, such as .xyz", f"{name!r}, which it does not know") from error
    try:
        yield from ase.io.iread(stream if ioformats[kind].acceptsfd else path, index=":", format=kind)
    except Exception as error:  # readers raise errors of many kinds on a damaged file
        yield f"ASE cannot read the rest of the file: {_one_line(error)}"


def split_frames(text: str) -> Iterator[list[str] | str]:
    """Lines of each frame of an XYZ file; for a frame with a wrong number of lines, the reason to reject it.

    A frame begins at a line with one integer and nothing else. So a broken frame does not affect the next one.
    """
    lines = [line.rstrip("\r") for line in text.rstrip().split("\n")]
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
            if len(body) > count:
                yield "lines without a number of atoms above them"


def _parse(chunk: list[str] | str) -> AtomsOrReason:
    """Atoms from the lines of a frame, or the reason why ASE cannot read them."""
    from ase.io.extxyz import read_xyz

    if isinstance(chunk, str):
        return chunk
    if int(chunk[0]) == 0:
        return "no atoms"
    try:
        return next(read_xyz(io.StringIO("\n".join(chunk) + "\n"), 0))
    except Exception as error:  # ASE raises errors of many kinds
        return f"ASE cannot read the frame: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
