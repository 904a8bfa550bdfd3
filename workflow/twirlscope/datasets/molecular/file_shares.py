"""Division of files among the parts of a dataset, so that one large file is read by several jobs.

The files, one after another, are a row of bytes on the disk, and each part has an equal stretch of it. A frame of an
XYZ file belongs to the part in whose stretch its count line begins; any other file belongs whole to the part in whose
stretch it begins. So parts hold consecutive records, and their sizes differ by one frame or one such file.

A part that begins or ends within a file reads all count lines of that file first, which is fast: from them it knows
its bytes and the number of its first record, so that the numbers do not depend on the parts.
"""

from __future__ import annotations

import io
import re
from array import array
from pathlib import Path

import numpy as np

from ..._typing import Array, Int, Sequence
from ...runtime.input_files import BUFFER, Content, byte_order_mark
from . import xyz_files
from .xyz_files import WHOLE, Window, is_xyz, records_of_frame

COUNT_LINE = re.compile(xyz_files.COUNT_LINE.pattern.encode())


def windows(files: Sequence[Path], parts: int, part: int) -> list[Window | None]:
    """Window of each file that belongs to a part; None for a file without any.

    Raises:
        UserError: a file that has to be divided cannot be read.
    """
    sizes = [1 + (path.stat().st_size if path.is_file() else 0) for path in files]  # an empty file has a place too
    total, begin, found = sum(sizes), 0, []
    low, high = total * part // parts, total * (part + 1) // parts
    for path, size in zip(files, sizes, strict=True):
        found.append(_window(path, size, low - begin, high - begin))
        begin += size
    return found


def _window(path: Path, size: int, low: int, high: int) -> Window | None:
    """Window of a file of some size that belongs to the stretch from `low` to `high`, counted from its first byte."""
    if low >= size or high <= 0:
        return None
    if low <= 0 and high >= size:
        return WHOLE
    heads = frame_heads(path) if is_xyz(path) else None
    if heads is None:
        return WHOLE if low <= 0 else None
    begin, length = heads[:-1, 0], heads[-1, 0]
    first, after = np.searchsorted(begin, [length * bound / size for bound in (low, high)]).tolist()
    if first == after:
        return None
    return Window(int(begin[first]), int(heads[after, 0]), int(heads[first, 1]))


def frame_heads(path: Path) -> Int[Array, "frame 2"] | None:
    """Offset of each frame of an XYZ file, decompressed, and number of its first record; last, those of its end.

    What lies above the first count line counts as part of the first frame. None for a file that cannot be divided:
    one without frames, in UTF-16 or UTF-32, with a byte order mark, or with a carriage return alone as line end.

    Raises:
        UserError: the file cannot be read.
    """
    heads, frame = array("q"), []  # a flat list of pairs, and the lines of the last frame
    offset = records = 0
    with io.BufferedReader(Content(path), BUFFER) as file:
        if byte_order_mark(file.peek(4)):
            return None
        for line in file:
            if b"\r" in line and b"\r" in line.removesuffix(b"\r\n"):
                return None
            if line.strip().isdigit() and COUNT_LINE.fullmatch(line) and len(frame) != 1:
                records += _records(frame)
                heads.extend((offset, records) if heads else (0, 0))
                frame = []
            if heads:
                frame.append(line)
            elif line.decode("utf-8", "replace").strip():
                records = 1  # what does not begin with a number of atoms
            offset += len(line)
    heads.extend((offset, records + _records(frame)))
    return np.array(heads, np.int64).reshape(-1, 2) if frame else None


def _records(frame: list[bytes]) -> int:
    """Number of records that the lines of a frame are."""
    if not frame or len(frame) <= int(frame[0]) + 2:
        return len(frame[:1])
    return sum(1 for _ in records_of_frame([line.decode("utf-8", "replace").rstrip("\r\n") for line in frame]))
