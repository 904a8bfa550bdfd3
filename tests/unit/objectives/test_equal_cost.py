"""The objectives that config/objectives.yaml compares have the same FLOPs, as the report wants them."""

from pathlib import Path

import numpy as np
import pytest
import toys
import yaml
from snakemake.utils import update_config

from twirlscope import plugins
from twirlscope.planning.plan import Plan
from twirlscope.settings.train import TrainSettings
from twirlscope.stages import train
from twirlscope.training import cost
from twirlscope.training.loop import Loop

CONFIG = Path(__file__).parents[3] / "config"
DATA = {"molecules": lambda: toys.frames(atoms=(6, 6)), "backbones": toys.backbones}


@pytest.fixture(scope="module")
def plan():
    config = {}
    for name in ("config", "objectives"):
        update_config(config, yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))
    return Plan(config)


@pytest.fixture(autouse=True)
def one_update(monkeypatch):
    """Measure one update of every phase: molecules of one size need no average over several batches."""
    monkeypatch.setattr(train, "MOST_COSTED", 1)
    monkeypatch.setattr(cost, "REPEATS", 1)


def flops(run, data):
    """FLOPs of the updates of a training, on other data."""
    settings = TrainSettings(**run["train"] | {"device": "cpu"})
    loop = Loop(plugins.make_task(run["task"], data), run, settings, np.arange(data.sizes["sample"]))
    return train._cost(loop)["flops_update"] * settings.steps


@pytest.mark.slow
@pytest.mark.parametrize(("base", "dataset"), [("augmented", "molecules"), ("backbones", "backbones")])
def test_objectives__of_the_comparison_cost_the_same(plan, base, dataset):
    sweep = {"augmented": "forces", "backbones": "backbones"}[base]
    data = DATA[dataset]()
    runs = [name for name in plan.config.runs if name == base or name.startswith(f"{sweep}_objective")]
    assert len(runs) > 4
    found = {name: flops(plan.train(name, 0)["run"], data) for name in runs}
    unequal = {name: round(each / found[base], 3) for name, each in found.items() if abs(each / found[base] - 1) > 0.1}
    assert not unequal
