"""Content of input files: plain or compressed with gzip, text in any of the encodings and line ends that occur.

Text is read line by line, so that the memory does not depend on the length of a file.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import Any

from .._typing import Callable, Iterator, Sequence
from ..errors import UserError

GZIP = b"\x1f\x8b"
BUFFER = 1 << 18  # bytes read at a time
MARKS = {  # byte order marks; that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class DamagedFileError(UserError):
    """A compressed file that is truncated or damaged."""


class Content(io.RawIOBase):
    """Stream of the bytes of a file from `start` up to `stop`, decompressed if it is gzip, whatever its name.

    Args:
        path: the file.
        expected: description of a right file, for the error text.
        start, stop: offsets in the decompressed content; `stop` None for its end.

    Raises:
        DamagedFileError: the file is truncated or damaged, or is called `.gz` and is none; a UserError.
        UserError: the file cannot be read.
    """

    def __init__(self, path: Path, expected: str = "a file that can be read", start: int = 0, stop: int | None = None):
        self._path, self._expected, self._left = path, expected, None if stop is None else stop - start
        try:
            self._plain = path.open("rb")
        except OSError as error:
            raise UserError(path, expected, error) from error
        packed = path.suffix.lower() == ".gz" or self._guarded(self._plain.peek, 2)[:2] == GZIP
        self._stream = gzip.GzipFile(fileobj=self._plain) if packed else self._plain
        self._guarded(self._stream.seek, start)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the buffer, and return the number of bytes read; 0 at the end."""
        size = len(buffer) if self._left is None else min(len(buffer), self._left)
        content = self._guarded(self._stream.read, size)
        buffer[: len(content)] = content
        if self._left is not None:
            self._left -= len(content)
        return len(content)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._plain.close()
        super().close()

    def _guarded(self, call: Callable, argument: int) -> Any:
        """Result of a call that reads, with errors that name the file."""
        try:
            return call(argument)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedFileError(self._path, self._expected, error) from error
        except OSError as error:
            raise UserError(self._path, self._expected, error) from error


def read_decompressed(path: Path, expected: str = "a file that can be read") -> bytes:
    """Content of a file, decompressed in memory if it is gzip.

    Raises:
        UserError: as `Content`.
    """
    with Content(path, expected) as content:
        return content.read()


def read_lines(
    path: Path,
    expected: str = "a file that can be read",
    errors: str = "replace",
    start: int = 0,
    stop: int | None = None,
) -> Iterator[str]:
    """Lines of a text file, plain or gzip, without byte order mark and line ends, one at a time.

    Args:
        path: the file.
        expected: description of a right file, for the error text.
        errors: as for `bytes.decode`: `replace` damaged characters, or `strict`.
        start, stop: offsets between which lines are read, in a UTF-8 text without byte order mark; by default all.

    Raises:
        UserError: as `Content`; with `strict`, also for bytes that are no text.
    """
    with Content(path, expected, start, stop) as content, io.BufferedReader(content, BUFFER) as file:
        mark = byte_order_mark(file.peek(4)) if not start else b""
        file.read(len(mark))
        try:
            for line in io.TextIOWrapper(file, MARKS.get(mark, "utf-8"), errors, newline=None):
                yield line.removesuffix("\n")
        except UnicodeDecodeError as error:
            raise UserError(path, expected, error) from error


def read_text(path: Path, expected: str = "a file that can be read", errors: str = "replace") -> str:
    """Text of a file as a whole, with `\\n` at the end of each line; arguments and errors are those of `read_lines`."""
    return "".join(line + "\n" for line in read_lines(path, expected, errors))


def byte_order_mark(content: bytes) -> bytes:
    """The byte order mark that a content begins with; empty without one."""
    return next((m for m in MARKS if content.startswith(m)), b"")


def kind_of(path: Path) -> str:
    """Suffix of a file in lower case, without `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def require_distinct(files: Sequence[Path]) -> None:
    """Refuse a file that is given twice: under another spelling, by a link, or as a copy.

    Raises:
        UserError: which file, and which it is the same as.
    """
    known: dict[Path, Path] = {}
    alike: dict[int, dict[Path, bytes]] = {}  # by size, the content of those that are not alone with theirs
    for path in files:
        if not path.is_file():
            continue  # reading it says so
        place, others = path.resolve(), alike.setdefault(path.stat().st_size, {})
        twin = known.get(place) or next((p for p in [*others] if _digest(p, others) == _digest(path, others)), None)
        if twin is not None:
            raise UserError("files", "each file once", path if path == twin else f"{path}, which is the same as {twin}")
        known[place] = path
        others.setdefault(path, b"")


def _digest(path: Path, known: dict[Path, bytes]) -> bytes:
    """SHA-256 of a file, looked up where it is known."""
    if not known.get(path):
        with path.open("rb") as file:
            known[path] = hashlib.file_digest(file, "sha256").digest()
    return known[path]
