"""Errors of external potentials in the units of the data, beside their floors, and in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ...._typing import Sequence
from ...numbers import ENDS, Column, Numbers, numbers
from ...trainings import Training
from ...wording import interval_words, say

FLOORS = {"noise": "noise", "rounding": "rounding", "spacing": "energy spacing"}
LARGER = 1e4  # ratio of squared errors from which a potential counts as symmetric under rotations alone
COLUMNS = (
    Column("step", "step", "1"),
    *(Column(f"so3{e}", f"error under rotations{w}") for e, w in zip(ENDS, ("", ", from", ", to"), strict=True)),
    *(Column(f"o3{e}", f"with reflections{w}") for e, w in zip(ENDS, ("", ", from", ", to"), strict=True)),
    *(Column(f"floor_{n}", f"floor: {words}") for n, words in FLOORS.items()),
    Column("unit", "unit"),
    Column("percent", "equivariance error", "%"),
    Column("of", "percent of"),
    Column("remark", "remark"),
)


# numbers


def terms_of(training: Training) -> list[str]:
    """Terms with a unit."""
    return [str(t) for t in training.twirl["term"].values if t != "weighted"]


def row(training: Training, term: str, step: int) -> dict[str, Any]:
    """Errors of one term at the step of this place: root mean squares of a component in thousandths of its unit."""
    data, attrs = training.of_term(term).isel(step=step), training.twirl.attrs
    scale = 1e3 * float(attrs[f"scale_{term}"])

    def rms(name: str) -> float:
        return scale * math.sqrt(max(float(data[name]), 0.0)) if name in data else math.nan

    labelled = term in str(attrs.get("labelled", "")).split()
    percent = float(data["percent_equiv" if labelled else "percent_of_signal"])
    found = {"run": training.run, "step": int(data["step"]), "term": term}
    found |= {f"so3{e}": rms(f"loss_equiv{e}") for e in ENDS} | {f"o3{e}": rms(f"o3_loss_equiv{e}") for e in ENDS}
    found |= {f"floor_{n}": rms(f"floor_{n}") for n in FLOORS}
    found |= {"unit": f"m{attrs[f'unit_{term}']}", "percent": percent}
    return found | {"of": "the loss" if labelled else "the predicted signal", "remark": remark(training, term, step)}


def remark(training: Training, term: str, step: int) -> str:
    """Symmetry of one term in words."""
    data = training.of_term(term).isel(step=step)
    floor, whole = bool(data["at_floor"]), bool(data["o3_at_floor"]) if "o3_at_floor" in data else None
    if whole is None:
        return "at its floor" if floor else ""
    if floor and whole:
        return "at its floor, with reflections too"
    if not whole and (floor or float(data["o3_loss_equiv"]) > LARGER * max(float(data["loss_equiv"]), 0.0)):
        return "equivariant to rotations, not to reflections"
    return "at its floor" if floor else ""


def error_numbers(trainings: Sequence[Training]) -> Numbers:
    """One row per run, step and term."""
    rows = [row(t, term, k) for t in trainings for term in terms_of(t) for k in range(t.twirl.sizes["step"])]
    return numbers(pd.DataFrame(rows), COLUMNS)


# sentences


def sentence(training: Training) -> str:
    """Error of the forces of a run at its last step, with interval and floors."""
    found = row(training, "forces", -1)
    unit, when = found["unit"], f" at step {found['step']}" if training.twirl.sizes["step"] > 1 else ""
    text = f"Run {training.run}: the forces change by {_error(found, 'so3', unit)} under rotations{when}"
    if not math.isnan(found["o3"]):
        text += f", and by {_error(found, 'o3', unit)} under rotations and reflections"
    floors = ", ".join(f"{words} {say(found[f'floor_{n}'])}" for n, words in FLOORS.items() if n != "spacing")
    text += f"; floors: {floors} {unit}."
    if training.twirl.attrs.get("noise_subtracted"):
        text += " The variance of the noise has been subtracted."
    if found["remark"]:
        text += f" The potential is {found['remark']}" + (
            ": no error of its own is seen." if found["remark"].startswith("at") else "."
        )
    if np.isfinite(found["percent"]):
        text += f" That is {say(found['percent'])} % of {found['of']}."
    return text + _failed(training)


def _error(found: dict[str, Any], name: str, unit: str) -> str:
    return interval_words(*(found[f"{name}{e}"] for e in ENDS), unit)


def _failed(training: Training) -> str:
    count = training.twirl.sizes.get("failed", 0)
    return f" {count} samples are left out, because the calculator failed on them." if count else ""


def summary(trainings: Sequence[Training], before: str) -> str:
    """The text before, and all external potentials in one sentence."""
    if not trainings:
        return before
    floor = [t for t in trainings if bool(t.last("forces")["at_floor"])]
    one = len(trainings) == 1
    text = f"{before} {len(trainings)} potential{'' if one else 's'} that {'was' if one else 'were'} not trained here: "
    return text.lstrip() + f"the forces of {len(floor) or 'none'} are at the floor of the measurement under rotations."
