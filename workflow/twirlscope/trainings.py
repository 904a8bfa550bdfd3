"""One training and what was measured on it: what figures and report are made from, and how numbers are said."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .hints import Array, Bool, Sequence
from .variables import VARIABLES

WITHIN = 2.0  # of what rounding and turning make
EDGE = "Triangles at the lower edge: equivariance errors that are what rounding makes"
LEFT_OUT = "Not drawn, since their equivariance error is what rounding makes"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Training:
    """One training and what was measured on it; `train`, `hessian` and `gradient` may be missing."""

    run: str
    seed: int
    train: xr.Dataset | None
    twirl: xr.Dataset
    hessian: xr.Dataset | None = None
    dataset: str = ""
    gradient: xr.Dataset | None = None

    @property
    def label(self) -> str:
        """`run, seed 0`, as it is called everywhere."""
        return f"{self.run}, seed {self.seed}"


def claimed(training: Training) -> bool | None:
    """Whether the model claims to be equivariant; None where the store does not say."""
    found = None if training.train is None else training.train.attrs.get("equivariant")
    return None if found is None else bool(found)


def terms_of(trainings: Sequence[Training]) -> list[str]:
    """All terms, the weighted sum first."""
    names = dict.fromkeys(str(t) for training in trainings for t in training.twirl["term"].values)
    return sorted(names, key=lambda name: name != "weighted")


def by_run(trainings: Sequence[Any]) -> dict[str, list[Any]]:
    """The seeds of each run, in the order given: of trainings, or of their files."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        groups.setdefault(training.run, []).append(training)
    return groups


def with_term(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose task has that term."""
    return [t for t in trainings if term in t.twirl["term"].values]


def at_floor(training: Training, term: str) -> Bool[Array, " step"]:
    """At which checkpoints the equivariance error is what rounding and turning make: none that the network has."""
    data = training.twirl.sel(term=term)
    if "loss_equiv_floor" not in data:
        return np.zeros(data.sizes["step"], bool)
    return data["loss_equiv"].values < WITHIN * data["loss_equiv_floor"].values


def off_floor(trainings: Sequence[Training], term: str) -> list[Training]:
    """The trainings whose equivariance error is more than rounding and turning at some checkpoint."""
    return [t for t in trainings if not at_floor(t, term).all()]


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
