"""The paragraph and the BibTeX entries for a paper."""

import json

import synthetic
import xarray as xr

from twirlscope.report import methods
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


def test_paragraph__has_the_samples_of_the_hessians_of_every_run():
    fewer = synthetic.hessian().assign_attrs(samples=3)
    other = Training("other", 0, synthetic.train(), synthetic.twirl(), fewer)
    text = methods.paragraph([trained(), trained(1), other])
    six = synthetic.hessian().attrs["samples"]
    assert f"on {six} samples (run small)" in text
    assert "on 3 samples (run other)" in text
    assert "(run" not in methods.paragraph([trained(), trained(1)]).split("Hessians")[1]
