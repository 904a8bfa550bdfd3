"""The examples in config/README.md, run as they stand: overlays make plans, plug-ins are measured."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
import yaml
from snakemake.utils import update_config

import twirlscope
from twirlscope import plugins
from twirlscope.planning.plan import Plan
from twirlscope.settings.train import TrainSettings
from twirlscope.training.loop import Loop

README = Path(__file__).parents[2] / "config" / "README.md"
DEFAULT = README.with_name("config.yaml")
BLOCKS = re.findall(r"```(python|yaml)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PLUGINS = {re.match(r"# (\w+\.py)\n", text)[1]: text for kind, text in BLOCKS if kind == "python"}
OVERLAYS = [text for kind, text in BLOCKS if kind == "yaml"]
RUNS = [yaml.safe_load(text).get("runs", {}) for text in OVERLAYS]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the plug-ins of the examples."""
    for name, text in PLUGINS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overlaid(text):
    """The default config under an overlay, with files that exist in place of the user's."""
    config = yaml.safe_load(DEFAULT.read_text())
    update_config(config, yaml.safe_load(re.sub(r"/data/[\w./]+", str(README), text)))
    return config


@pytest.mark.parametrize("text", OVERLAYS, ids=[text.split("\n", 1)[0] for text in OVERLAYS])
def test_overlays__are_accepted(text, folder):
    assert Plan(overlaid(text)).runs


def test_sweep__makes_the_runs_that_the_text_names(folder):
    text = next(text for text in OVERLAYS if text.startswith("sweeps:"))
    made = Plan(overlaid(text)).sweeps["size"]
    assert len(made) == 4
    assert "size_small_learning_rate_0p001" in made


def test_plug_ins__import_from_the_package_itself():
    assert PLUGINS
    for text in PLUGINS.values():
        assert re.findall(r"(?:from|import) (twirlscope[\w.]*)", text) == ["twirlscope"]


@pytest.mark.parametrize(("run", "term"), [("mine", "forces"), ("centre", "centre")])
def test_plug_ins__are_measured(run, term, folder):
    text = next(
        text for text in OVERLAYS if "runs" in text and "model" in (yaml.safe_load(text)["runs"].get(run) or {})
    )
    section, data = overlaid(text)["runs"][run], toys.frames()
    torch.manual_seed(0)
    task = plugins.make_task(section["task"], data)
    model = plugins.make_model(section["model"], task.constants)
    measured = twirlscope.measure(model, task, np.arange(4))
    assert float(measured["percent_equiv"].sel(term=term)) > 0


def test_objective__of_the_examples_trains_and_records_its_quantity(folder):
    text = next(text for text in OVERLAYS if "about_z" in text)
    section = yaml.safe_load(text)["runs"]["augmented"]["train"]["objective"]
    model = {"name": "vector_attention", "width": 8, "layers": 1, "heads": 2}
    settings = TrainSettings(objective=section, steps=2, warmup=0, batch=8, prefetch=0, device="cpu")
    loop = Loop(toys.force_field(), {"seed": 0, "model": model}, settings, np.arange(20))
    rows = loop.rows(0)
    assert torch.equal(rows.batch.inputs["positions"][::2, :, 2], rows.batch.inputs["positions"][1::2, :, 2])
    loop.update()
    assert loop.curve.quantities["change"][0] > 0
