"""The runs of the report: size, length and time of every training, and the settings in which runs differ.

Question: which trainings is this report about?
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from ..._typing import Mapping, Sequence
from ..numbers import Column, numbers, rows_to_data
from ..questions import RUNS
from ..section import Section
from ..tables import Table
from ..trainings import Training, by_run
from .cost import cost_words

TRAININGS = (
    Column("parameters", "parameters", "1"),
    Column("updates", "updates", "1"),
    Column("checkpoints", "checkpoints", "1"),
    Column("seconds", "training time", "s"),
)
SETTING = "__setting"  # name of the first column, which no run can have


def training_table(trainings: Sequence[Training]) -> Table:
    """Task, model, size, length and time of every training; the device in the caption if all ran on one."""
    table = numbers(rows_to_data([_training_row(t) for t in trainings]), TRAININGS)
    devices = list(dict.fromkeys(table.data["device"].dropna()))
    if len(devices) > 1:
        return Table("trainings", "The trainings.", table)
    caption = "The trainings" + "".join(f", on {device}" for device in devices) + "."
    return Table("trainings", caption, table, table.without(["device"]))


def _training_row(training: Training) -> dict[str, Any]:
    attrs = training.attrs
    return {
        "run": training.run,
        "seed": training.seed,
        "dataset": training.dataset,
        "task": _plugin(training.spec.get("task")),
        "model": _plugin(training.spec.get("model")),
        "parameters": attrs.get("parameters"),
        "updates": training.train.sizes["update"],
        "checkpoints": training.twirl.sizes["step"],
        "seconds": float(attrs["seconds"]) if "seconds" in attrs else None,
        "device": attrs.get("device"),
    }


def _plugin(section: Any) -> str | None:
    """The name of a plug-in in its section of the config."""
    return str(section.get("name", section.get("class", ""))) or None if isinstance(section, dict) else section


def run_facts(seeds: Sequence[Training]) -> dict[str, str]:
    """Data, task, model, every setting of the training, cost and environment of a run, in words."""
    attrs, run = seeds[0].attrs, seeds[0].spec
    data = [str(run["dataset"])] if "dataset" in run else []
    data += [f"{attrs['training_samples']} training samples"] if "training_samples" in attrs else []
    found = {"data": ", ".join(data)} | {n: _flat(run[n]) for n in ("task", "model") if run.get(n)}
    train = run.get("train")
    found |= {k.replace("_", " "): _flat(v) for k, v in train.items()} if isinstance(train, dict) else {}
    if found.get("compile") == "auto":
        found["compile"] += f": {attrs.get('compiled', 'not known')}"
    found |= {"cost": cost_words(seeds), "kept across changes of its code": " ".join(kept_notes(seeds))}
    places = [str(attrs["device"])] if "device" in attrs else []
    found["environment"] = "; ".join(places + [f"{k} {v}" for k, v in _json(attrs.get("versions")).items()])
    return {name: text for name, text in found.items() if text}


def kept_notes(trainings: Sequence[Training]) -> list[str]:
    """Trainings that were kept although their code had changed."""
    text = "Run {}: the training was kept on {date}, though its code had changed (hash {before} to {after})."
    return [text.format(t.label, **change) for t in trainings for change in t.kept]


def _json(value: Any) -> dict:
    """An attribute that holds JSON, {} if it is missing."""
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}


def _flat(section: Any) -> str:
    """A section of the config as text."""
    if not isinstance(section, dict):
        return str(section)
    name = [str(section["name"])] if "name" in section else []
    return "; ".join(name + [f"{k.replace('_', ' ')} {_flat(v)}" for k, v in section.items() if k != "name"])


def settings_table(trainings: Sequence[Training]) -> Table | None:
    """Settings as rows, runs as columns; on the page those in which runs differ. None where the stores do not say."""
    runs = {run: run_facts(seeds) for run, seeds in by_run(trainings).items()}
    names = list(dict.fromkeys(name for facts in runs.values() for name in facts))
    if not names:
        return None
    rows = pd.DataFrame([{SETTING: n} | {run: facts.get(n, "") for run, facts in runs.items()} for n in names])
    differ = rows[list(runs)].nunique(axis=1) > 1
    full = numbers(rows, [Column(SETTING, "setting")])
    brief = numbers(rows[differ].reset_index(drop=True), full.columns) if len(runs) > 1 and differ.any() else None
    caption = "Settings in which the runs differ, defaults filled in; the CSV file has those that all share, too."
    return Table("settings", caption if brief else "Settings of the run, defaults filled in.", full, brief)


def section(every: Sequence[Training], shown: Sequence[Training]) -> Section:
    """Every training, and the settings of the runs that are `shown`."""
    tables: Mapping[str, Table | None] = {"Trainings": training_table(every), "Settings": settings_table(shown)}
    return Section(RUNS, "trainings", "Runs", tables=[(name, t) for name, t in tables.items() if t])
