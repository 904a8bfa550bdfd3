"""Numbers, names and units as text."""

from __future__ import annotations

import re
import zlib

import numpy as np

from .._typing import Sequence
from ..storage.registry import VARIABLES
from .trainings import Training, at_floor

EDGE = "Triangles at the lower edge: equivariance errors that are what rounding makes"
LEFT_OUT = "Not drawn, since their equivariance error is what rounding makes"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def floor_note(trainings: Sequence[Training], term: str, drawn: str) -> str:
    """How those that stay at the floor are drawn, or that they are not, for captions; empty where there are none."""
    names = [t.label for t in trainings if at_floor(t, term).all()]
    return f" {drawn}: {'; '.join(names)}." if names else ""


def column(name: str) -> str:
    """The heading of a column: the variable with its unit."""
    return f"{name} [{VARIABLES[name].unit}]"


def labels_note(trainings: Sequence[Training]) -> str:
    """What the targets are, for captions and the head of the page; empty where the stores do not say."""
    said = dict.fromkeys(str(t.twirl.attrs["labels"]) for t in trainings if t.twirl.attrs.get("labels"))
    return f" Labels: {'; '.join(said)}." if said else ""


def words(term: str) -> str:
    """A term in a sentence."""
    return "all terms, weighted" if term == "weighted" else term


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def say(value: float) -> str:
    """A number in a sentence, three digits."""
    if not np.isfinite(value):
        return "unknown"
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 999.5 else _long(value)


def _long(value: float) -> str:
    """A number too large or too small for three digits: all digits before the point, or a power of ten."""
    if 999.5 <= abs(value) < 1e5:
        return f"{value:.0f}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(SUPERSCRIPT)}"  # noqa: RUF001


def slug(name: str) -> str:
    """A name for files and groups: letters, digits, `_-.`; a name with others gets a number of its own."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    return safe if safe == name else f"{safe}_{zlib.crc32(name.encode()):08x}"
