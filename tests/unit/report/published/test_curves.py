"""Packaged table of published curves, against the points it was made from and the table in their description."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import published_table
from twirlscope.estimators.course import course
from twirlscope.report.published import curves
from twirlscope.report.published.curves import REFERENCES, published_curves, reference_curves

FOLDER = Path(os.environ.get("TWIRLSCOPE_DATA", "")) / "published"
with_points = pytest.mark.skipif(
    not (FOLDER / "curves.csv").exists(), reason="needs published/curves.csv in TWIRLSCOPE_DATA"
)


@with_points
def test_table__is_the_one_that_the_script_makes():
    assert curves.TABLE.read_text() == published_table.table(pd.read_csv(FOLDER / "curves.csv"))


@with_points
def test_curves__hold_every_point_once():
    points = pd.read_csv(FOLDER / "curves.csv")
    assert sum(len(c.step) for c in published_curves()) == len(points)
    assert sum(float(c.value.sum()) for c in published_curves()) == pytest.approx(points["value"].sum())


def number(text):
    """`1.89k`, `446k`, `1.1M` as a number; `never` and `end` as infinity."""
    if text.strip() in ("never", "end"):
        return np.inf
    digits, unit = re.fullmatch(r"([\d.e-]+)([kM]?)", text.strip()).groups()
    return float(digits) * {"": 1, "k": 1e3, "M": 1e6}[unit]


def described():
    """Task, model, variant, replicate and time of a row, and its end, dip, highest value, and times, as described."""
    rows = re.findall(
        r"^\| (FF|FM|VD) (\S+) (\S+) #(\d)(?: t=(\S+))? \|(.*)\|$", (FOLDER / "README.md").read_text(), re.M
    )
    for task, model, variant, replicate, time, cells in rows:
        yield (task, model, variant, int(replicate), float(time) if time else None), cells.split("|")[6:]


@with_points
def test_course__of_every_published_training_is_the_described_one():
    """Dip, highest value and times were found on the full curves; the table has a few dozen points of each."""
    short = {"FF": "force_field", "FM": "flow_matching", "VD": "voxel_denoising"}
    every = {(c.task, *c.training, c.time): c for c in published_curves(quantity="percent_equiv")}
    rows = list(described())
    assert len(rows) == 52
    for (task, model, variant, replicate, time), (end, dip, highest, first, last) in rows:
        (found,) = [
            c for (t, m, v, n, at), c in every.items()
            if (t, v, n, at) == (short[task], variant, replicate, time) and m.endswith(f"_{model}")
        ]  # fmt: skip
        one = course(found.step, found.value, 2.0)
        assert one.end == pytest.approx(number(end.split("@")[0]), rel=0.01), found.label
        assert one.highest == pytest.approx(number(highest.split("@")[0]), rel=0.01), found.label
        rough = variant == "pdb_0.001" or model == "400M"  # the full curve is noisier than its points
        if not rough and (model, variant, time) != ("60M", "pdb_0.01", 0.2):
            assert one.dip == pytest.approx(number(dip.split("@")[0]), rel=0.02), found.label
        for value, text in ((one.first, first), (one.last, last)):
            limit = number(text)
            assert np.isinf(value) == np.isinf(limit), found.label
            assert np.isinf(value) or value == pytest.approx(limit, rel=0.2), found.label


def test_page__is_calculated_from_the_packaged_table():
    assert published_table.PAGE.read_text() == published_table.page()


def test_reference__is_one_curve_per_task_or_one_per_time():
    sizes = {task: len(reference_curves(task, "percent_equiv")) for task in REFERENCES}
    assert sizes == {"force_field": 1, "flow_matching": 8, "voxel_denoising": 1}
    assert reference_curves("another", "percent_equiv") == ()
    assert len({c.label for c in published_curves(quantity="percent_equiv")}) == 60


def test_label__says_task_model_and_set_up():
    (force,) = reference_curves("force_field", "percent_equiv")
    assert force.label == "EScAIP 6M, Adam 1e-5, not augmented"
    assert (
        reference_curves("flow_matching", "percent_equiv")[3].label
        == "Proteina 60M, 100 % of the PDB chains, t = 0.6, #2"
    )
    assert "augmented" in {c.label.split(", ")[-1] for c in published_curves("force_field", "percent_equiv")}
