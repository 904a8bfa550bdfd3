"""The declaration of a stored array: name, dimensions, dtype, unit, meaning, source."""

from __future__ import annotations

from dataclasses import dataclass

MATH = "Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303"


@dataclass(frozen=True)
class Variable:
    """A declared array: dimensions in order, numpy dtype, unit (UDUNITS), meaning in one line, source."""

    dims: tuple[str, ...]
    dtype: str
    unit: str
    meaning: str
    source: str = ""


def declared(dims: str, dtype: str, unit: str, meaning: str, source: str = "") -> Variable:
    """The declaration of an array, with its dimensions as words in one string."""
    return Variable(tuple(dims.split()), dtype, unit, meaning, source)
