"""Fonts in PDF files: the outlines of the glyphs of a figure alone.

The text of a PDF is laid out, so that its fonts need no tables for that. To cut these tables down to the glyphs of a
figure takes about as long as to draw it.
"""

from __future__ import annotations

from contextlib import contextmanager

from fontTools.subset import Options

from ..._typing import Iterator

LAYOUT = ("GDEF", "GPOS", "GSUB")  # tables of a font
DROPPED = "_drop_tables_default"  # matplotlib has no setting for them; without this one they are embedded as before


@contextmanager
def outlines_alone() -> Iterator[None]:
    """A context in which matplotlib embeds fonts without the tables for the layout of text."""
    usual = getattr(Options, DROPPED, [])
    setattr(Options, DROPPED, [*usual, *LAYOUT])
    try:
        yield
    finally:
        setattr(Options, DROPPED, usual)
