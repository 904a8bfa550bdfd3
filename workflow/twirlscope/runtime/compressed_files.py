"""Content of input files, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ..errors import UserError


class DamagedFileError(UserError):
    """A `.gz` file that is truncated or damaged."""


def read_decompressed(path: Path, expected: str = "a file that can be read") -> bytes:
    """Content of a file, decompressed in memory if its name ends in `.gz`.

    Args:
        path: the file.
        expected: description of a right file, for the error text.

    Raises:
        DamagedFileError: the file is truncated or damaged; a UserError.
        UserError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(path, expected, error) from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(path, expected, error) from error
