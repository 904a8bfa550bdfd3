"""The file for other tools."""

import json

import pytest
import synthetic

from twirlscope.report import export
from twirlscope.report.trainings import Training


def trained(seed=0):
    return Training("small", seed, synthetic.train(), synthetic.twirl(seed=seed), synthetic.hessian())


def test_exported__has_value_unit_samples_rotations_and_floor():
    one = trained()
    records = json.loads(export.exported([one]))["records"]
    assert len(records) == 5 * one.twirl.sizes["term"]
    found = next(r for r in records if r["quantity"] == "percent_equiv" and r["term"] == "forces")
    last = one.twirl.sel(term="forces").isel(step=-1)
    assert found["value"] == float(last["percent_equiv"])
    assert found["low"] <= found["value"] <= found["high"]
    assert found["floor"] == pytest.approx(100 * float(last["loss_equiv_floor"]) / float(last["loss_total"]))
    assert found["n"] == one.twirl.attrs["samples"]
    assert found["rotations"] == one.twirl.attrs["rotations"]
    assert found["unit"] == "percent"
