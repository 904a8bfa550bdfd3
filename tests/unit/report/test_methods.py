"""The words for a paper and the file for other tools say what the stores hold."""

import json

import pytest
import synthetic
import xarray as xr

from twirlscope.report import export, methods
from twirlscope.report.trainings import Training


def trained(seed=0):
    return Training("small", seed, synthetic.train(), synthetic.twirl(seed=seed), synthetic.hessian())


def test_paragraph__names_samples_updates_and_seeds():
    text = methods.paragraph([trained(), trained(1)])
    run = json.loads(synthetic.train().attrs["run"])
    assert f"a {run['model']['name']} network" in text
    assert f"{run['train']['steps']:,} updates" in text
    assert "2 seeds" in text
    assert f"the {synthetic.twirl().attrs['samples']} samples" in text
    assert "Lanczos" in text


def test_paragraph__leaves_out_what_the_stores_do_not_say():
    bare = Training("a", 0, synthetic.train().drop_attrs(), synthetic.twirl().drop_attrs())
    assert methods.paragraph([bare]) == ""


def test_bibtex__has_balanced_braces_different_keys_and_the_datasets_citation():
    text = methods.bibtex({"my_set": xr.Dataset(attrs={"citation": "Doe 2020"})}, {"twirlscope": "9.9"})
    entries = text.split("\n\n")
    assert all(entry.startswith("@") and entry.count("{") == entry.count("}") for entry in entries)
    assert len({entry.split("{")[1].split(",")[0] for entry in entries}) == len(entries) == 5
    assert "Doe 2020" in text
    assert "9.9" in text


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
