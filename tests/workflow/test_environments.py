"""Calculators of environments with different versions of e3nn, and one without torch, in one run of the workflow.

`TWIRLSCOPE_EXTERNAL` names a folder with one environment per package: mace (e3nn 0.4.4) and sevenn (e3nn 0.5 or later).
"""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from ase.build import molecule
from ase.io import write
from environments import python_of

from bench.potentials import workflow_run
from twirlscope.storage import store

FACTORIES = Path(__file__).parents[1] / "kit" / "external_models.py"


@pytest.fixture
def runs():
    """`external` of a MACE with random weights, of SevenNet-0, and of tblite in our own environment."""
    pythons = {name: python_of(name) for name in ("mace", "sevenn")}
    return {
        "mace": {"calculator": f"{FACTORIES}:mace", "python": pythons["mace"]},
        "sevenn": {
            "calculator": "sevenn.calculator:SevenNetCalculator",
            "arguments": {"model": "7net-0", "device": "cpu"},
            "python": pythons["sevenn"],
        },
        "tblite": {
            "calculator": "tblite.ase:TBLite",
            "arguments": {"method": "GFN2-xTB", "verbosity": 0},
            "python": sys.executable,
        },
    }


@pytest.mark.timeout(1800)
def test_report__is_of_two_versions_of_e3nn_and_of_a_worker_without_torch(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(workflow_run, "TWIRL", {"split": "all", "rotations": 2, "reflections": 2, "panel": 0})
    monkeypatch.setattr(workflow_run, "DYNAMICS", workflow_run.DYNAMICS | {"frames": 2, "steps": 4, "every": 2})
    source = tmp_path / "molecules.xyz"
    frames = [molecule(name) for name in ("H2O", "CH3OH", "CO2")]
    for seed, frame in enumerate(frames):
        frame.rattle(0.03, seed=seed)
    write(source, frames)
    results = workflow_run.run(runs, source, tmp_path / "workflow")
    stores = {name: store.load(results / "runs" / name / "seed0" / "twirl.zarr.zip") for name in runs}
    versions = {name: json.loads(data.attrs["versions"]) for name, data in stores.items()}
    assert versions["mace"]["e3nn"] == "0.4.4"
    assert tuple(map(int, versions["sevenn"]["e3nn"].split(".")[:2])) >= (0, 5)
    assert not {"torch", "e3nn"} & set(versions["tblite"])
    told = pd.read_csv(results / "report" / "tables" / "calculators.csv").set_index("run")["versions"]
    assert all(f"e3nn {versions[name]['e3nn']}" in told[name] for name in ("mace", "sevenn"))
    drifts = pd.read_csv(results / "report" / "tables" / "potentials_dynamics.csv")
    assert set(drifts["run"]) == set(runs)
    assert len(drifts) == 2 * len(runs)
    assert "| SevenNet |" in workflow_run.section(results, dict(zip(runs, ("MACE", "SevenNet", "xTB"), strict=True)))
