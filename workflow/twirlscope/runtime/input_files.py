"""Content of input files: plain or compressed with gzip, text in any of the encodings and line ends that occur."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from pathlib import Path

from .._typing import Sequence
from ..errors import UserError

GZIP = b"\x1f\x8b"
MARKS = {  # byte order marks; that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class DamagedFileError(UserError):
    """A compressed file that is truncated or damaged."""


def read_decompressed(path: Path, expected: str = "a file that can be read") -> bytes:
    """Content of a file, decompressed in memory if it is gzip, whatever its name.

    Args:
        path: the file.
        expected: description of a right file, for the error text.

    Raises:
        DamagedFileError: the file is truncated or damaged, or is called `.gz` and is none; a UserError.
        UserError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(path, expected, error) from error
    if path.suffix.lower() != ".gz" and not content.startswith(GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(path, expected, error) from error


def read_text(path: Path, expected: str = "a file that can be read", errors: str = "replace") -> str:
    """Text of a file, plain or gzip, without byte order mark, with `\\n` at the end of each line.

    Args:
        errors: as for `bytes.decode`: `replace` damaged characters, or `strict`.

    Raises:
        UserError: as `read_decompressed`; with `strict`, also for bytes that are no text.
    """
    content = read_decompressed(path, expected)
    mark = next((m for m in MARKS if content.startswith(m)), b"")
    try:
        text = content[len(mark) :].decode(MARKS.get(mark, "utf-8"), errors)
    except UnicodeDecodeError as error:
        raise UserError(path, expected, error) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
