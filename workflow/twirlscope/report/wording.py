"""Numbers, names and recurring remarks as text."""

from __future__ import annotations

import re
import zlib

import numpy as np

from .._typing import Mapping, Sequence
from .trainings import PRIMARY, Training

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def not_learned(trainings: Sequence[Training]) -> str:
    """`not yet learned (below 10 %)`, with the limit of the learned fraction that the stores hold."""
    limits = sorted({float(t.twirl.attrs["trivial_below"]) for t in trainings if "trivial_below" in t.twirl.attrs})
    return "not yet learned" + (f" (below {listed([f'{100 * limit:g}' for limit in limits])} %)" if limits else "")


def term_words(term: str) -> str:
    """A term of the loss in a sentence."""
    return {"weighted": "all terms, weighted", PRIMARY: "main term of each task"}.get(term, term)


def listed(names: Sequence[str]) -> str:
    """The names as `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def plural(count: int, word: str) -> str:
    """`1 pass`, `3 seeds`: a count with its noun."""
    ending = "" if count == 1 else "es" if word.endswith("s") else "s"
    return f"{count} {word}{ending}"


def say(value: float) -> str:
    """A number in a sentence, with three significant digits."""
    if not np.isfinite(value):
        return "unknown"
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 999.5 else _long(value)


def _long(value: float) -> str:
    """A number too large or too small for three digits: all digits before the point, or a power of ten."""
    if 999.5 <= abs(value) < 1e5:
        return f"{value:.0f}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(SUPERSCRIPT)}"  # noqa: RUF001


def interval_words(value: float, low: float, high: float, unit: str = "") -> str:
    """A number with its interval, such as `1.2 % (95 % interval 1.1 to 1.3 %)`."""
    end = f" {unit}" if unit else ""
    return f"{say(value)}{end} (95 % interval {say(low)} to {say(high)}{end})"


def extremes(values: Mapping[str, float], unit: str = "") -> str:
    """The smallest and the largest number with their names: `from 0.3 % (a, seed 0) to 2 % (b, seed 0)`."""
    known = {name: value for name, value in values.items() if np.isfinite(value)}
    if not known:
        return "unknown"
    low, high = min(known, key=known.get), max(known, key=known.get)
    ends = [f"{say(known[name])}{unit} ({name})" for name in (low, high)]
    return ends[0] if low == high else f"from {ends[0]} to {ends[1]}"


def slug(name: str) -> str:
    """A name for files and groups: letters, digits, `_-.`; a name with others gets a number of its own."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    return safe if safe == name else f"{safe}_{zlib.crc32(name.encode()):08x}"
