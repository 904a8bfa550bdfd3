"""Two hundred runs without training any: stores of one training of the smoke run under the names of a sweep."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import yaml
from snakemake.utils import update_config

from twirlscope.planning.plan import Plan
from twirlscope.storage import made_from, registry, store

OVERLAY = """
runs: {equivariant: null, backbones: null, voxels: null}
sweeps:
  many:
    run: augmented
    grid:
      train.learning_rate: [1.0e-3, 1.1e-3, 1.2e-3, 1.3e-3, 1.4e-3, 1.5e-3, 1.6e-3, 1.7e-3, 1.8e-3, 1.9e-3]
      size:
        small: {model.width: 16, model.layers: 1}
        large: {model.width: 32, model.layers: 2}
      train.batch: [2, 4, 6, 8, 10]
      train.optimiser: [adamw, muon]
"""
STAGES = ("twirl", "gradient", "hessian")


def plan_of(*configs: Path) -> Plan:
    """The plan that Snakemake makes of config files, later ones over earlier ones."""
    config: dict = {}
    for path in configs:
        update_config(config, copy.deepcopy(yaml.safe_load(path.read_text())))
    return Plan(config)


def pretend(work: Path, plan: Plan, model: str = "augmented") -> list[tuple[str, int]]:
    """Lay the stores of every run of the sweep, each saying that it was trained with its own settings."""
    runs = work / "results" / "runs"
    source = runs / model / "seed0"
    trained = store.load(source / "train.zarr.zip")
    made = [(run, seed) for run, seed in plan.runs if run in plan.sweeps["many"] and run != model]
    for run, seed in made:
        folder = runs / run / f"seed{seed}"
        folder.mkdir(parents=True)
        for stage in STAGES:
            os.link(source / f"{stage}.zarr.zip", folder / f"{stage}.zarr.zip")
        job = plan.train(run, seed)
        record = made_from.of_training(**job, data=work / "results" / "data" / f"{plan.dataset_of(run)}.zarr.zip")
        said = {"run": json.dumps(job["run"], sort_keys=True)} | made_from.attribute(record)
        registry.save(trained.assign_attrs(said), folder / "train.zarr.zip")
    return made
