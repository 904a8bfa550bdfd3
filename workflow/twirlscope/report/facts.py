"""What the page says: tables and words computed from the stores. Missing attributes are left out, never guessed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from .._typing import Mapping, Sequence
from ..settings.report import ReportSettings
from . import headline, methods
from .headline import Headline
from .headline_tables import headline_table, several, term_table
from .page import Data, Story
from .section import Section
from .sections.cost import cost_words
from .tables import Table, frame_of
from .trainings import Training, by_run, terms_of, with_term
from .wording import labels_note, slug

GROUPS = {
    "D2": "the 4 of the group D2, at a random orientation of every sample",
    "T": "the 12 of the tetrahedral group, at a random orientation of every sample",
    "O": "the 24 of the octahedral group, at a random orientation of every sample",
    "I": "the 60 of the icosahedral group, at a random orientation of every sample",
    "independent": "independent of each other",
}


def tell(
    trainings: Sequence[Training],
    dataset_of: Mapping[str, str],
    data: Mapping[str, xr.Dataset],
    config: dict,
    settings: ReportSettings,
    provenance: Mapping[str, str],
    sections: Sequence[Section],
    few: Sequence[Training],
    missing: Sequence[str],
) -> Story:
    """The whole story of a report; `few` trainings are told one by one, `missing` says what is not there."""
    limit, told = settings.threshold, {t.run for t in few}
    chosen = with_term(trainings, settings.term)
    lines = [headline.headline(t, settings.term, limit) for t in chosen]
    every = [headline.headline(t, term, limit) for t in trainings for term in several(terms_of([t]))]
    return Story(
        title=settings.title,
        threshold=limit,
        summary=headline.summary(lines, limit) + labels_note(trainings),
        sentences=[headline.sentence(line, limit) for line in lines if line.run in told],
        warnings=[*missing, *_not_told(trainings, few), *warnings([line for line in lines if line.run in told])],
        headline=headline_table(chosen, lines, limit),
        terms=term_table(every, limit),
        trainings=training_table(trainings, dataset_of),
        models={run: model_facts(seeds) for run, seeds in by_run(few).items()},
        datasets=[dataset_facts(name, d) for name, d in data.items()],
        sections=sections,
        method=method(trainings),
        provenance=provenance,
        config=yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True),
        paragraph=methods.paragraph(trainings),
        bibtex=methods.bibtex(data, provenance),
    )


def _not_told(trainings: Sequence[Training], few: Sequence[Training]) -> list[str]:
    """Which runs sentences and figures leave out, if there are many."""
    every, some = by_run(trainings), list(by_run(few))
    if len(every) == len(some):
        return []
    text = f"Sentences and figures of single runs are about {len(some)} of {len(every)} runs: {', '.join(some)}. "
    return [text + "All are in the tables, in the claims and in the figures of their sweeps."]


def warnings(lines: Sequence[Headline]) -> list[str]:
    """What makes a number doubtful, in words."""
    found = []
    for line in lines:
        name = f"Run {line.run}, seed {line.seed}"
        if not math.isfinite(line.loss):
            found.append(f"{name}: the loss at the last checkpoint is not a number; the training has diverged.")
        if line.doubtful and not line.at_floor:
            share = f"{100 * line.heavy:.0f} % of the equivariance error, its tail is heavy"
            found.append(f"{name}: the top 1 % of samples carry {share}; its interval may be too narrow.")
    return found


def training_table(trainings: Sequence[Training], dataset_of: Mapping[str, str]) -> Table:
    """One row a training: what was trained, on what, for how long."""
    rows = []
    for training in trainings:
        attrs, run = training.train.attrs, _json(training.train.attrs.get("run"))
        rows.append(
            {
                "run": training.run,
                "seed": training.seed,
                "dataset": dataset_of.get(training.run, ""),
                "task": _named(run.get("task")),
                "model": _named(run.get("model")),
                "parameters [1]": attrs.get("parameters"),
                "updates [1]": training.train.sizes["update"],
                "checkpoints [1]": training.twirl.sizes["step"],
                "training time [s]": float(attrs["seconds"]) if "seconds" in attrs else None,
                "device": attrs.get("device"),
            }
        )
    frame = frame_of(rows)
    devices = list(dict.fromkeys(row["device"] for row in rows if row["device"]))
    if len(devices) > 1:
        return Table("trainings", "The trainings.", frame)
    caption = "The trainings" + "".join(f", on {device}" for device in devices) + "."
    return Table("trainings", caption, frame, frame.drop(columns="device"))


def _json(value: Any) -> dict:
    """An attribute that holds JSON, {} where it is missing."""
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}


def _named(section: Any) -> str | None:
    """The name of a plug-in in its section of the config."""
    return str(section.get("name", section.get("class", ""))) or None if isinstance(section, dict) else section


def model_facts(seeds: Sequence[Training]) -> dict[str, str]:
    """The card of a run in words: data, settings of task, model and training, cost, environment."""
    attrs = seeds[0].train.attrs
    run = _json(attrs.get("run"))
    data = [str(run["dataset"])] if "dataset" in run else []
    data += [f"{attrs['training_samples']} training samples"] if "training_samples" in attrs else []
    found = {"Data": ", ".join(data)}
    for name, said in (("task", "Task"), ("model", "Model"), ("train", "Training")):
        if run.get(name):
            found[said] = _flat(run[name])
    found["Cost"] = cost_words(seeds)
    places = [str(attrs["device"])] if "device" in attrs else []
    found |= {"Environment": "; ".join(places + [f"{k} {v}" for k, v in _json(attrs.get("versions")).items()])}
    return {name: said for name, said in found.items() if said}


def _flat(section: Any) -> str:
    if not isinstance(section, dict):
        return str(section)
    name = [str(section["name"])] if "name" in section else []
    return "; ".join(name + [f"{k.replace('_', ' ')} {_flat(v)}" for k, v in section.items() if k != "name"])


def dataset_facts(name: str, data: xr.Dataset) -> Data:
    """A dataset in words: source, labels, size, splits, rejects."""
    facts = {
        key.capitalize(): str(data.attrs[key]) for key in ("source", "labels", "level_of_theory") if data.attrs.get(key)
    }
    facts["Samples"] = str(data.sizes.get("sample", 0))
    if "molecule_index" in data.sizes:
        facts["Molecules"] = str(data.sizes["molecule_index"])
    if "atoms" in data:
        atoms = data["atoms"].values
        facts["Atoms a sample"] = f"{atoms.min()} to {atoms.max()}, {atoms.mean():.1f} on average"
    if "split" in data:
        names = str(data["split"].attrs.get("flag_meanings", "")).split()
        counts = np.bincount(data["split"].values.astype(int), minlength=len(names))
        by = _json(data.attrs.get("settings")).get("split_by")
        facts["Splits"] = ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=False))
        facts["Splits"] += {"frame": " (by frame: molecules are in both)", "molecule": " (by molecule)"}.get(by, "")
    for key, meaning in (("force_scale", "Force scale"), ("energy_scale", "Energy scale")):
        if key in data:
            unit, said = (data[key].attrs.get(word, "") for word in ("units", "long_name"))
            facts[meaning] = f"{float(data[key]):.3g} {_pretty(unit)} ({said})"
    rejected = data.sizes.get("reject", 0)
    facts["Rejected records"] = str(rejected) if rejected else "none"
    return Data(name, facts, _rejects(name, data) if rejected else None, str(data.attrs.get("citation", "")))


def _pretty(unit: str) -> str:
    """A unit as people write it."""
    return unit.replace("eV angstrom-1", "eV/Å")


def _rejects(name: str, data: xr.Dataset) -> Table:
    """Every record that was rejected, and on the page how many for which reason."""
    columns = {"reject_reason": "reason", "reject_source": "source", "reject_index": "index [1]"}
    frame = pd.DataFrame({heading: data[key].values for key, heading in columns.items()})
    groups = frame.groupby("reason", sort=False)["source"]
    brief = pd.DataFrame({"records [1]": groups.size(), "first source": groups.first()}).reset_index()
    return Table(f"rejects_{slug(name)}", f"Records of {name} that could not be used, by reason.", frame, brief)


def method(trainings: Sequence[Training]) -> dict[str, str]:
    """Numbers of the measurement: rotations, samples, limits, Lanczos."""
    keys = {
        "group": "Group of the rotations",
        "rotations": "Rotations a sample",
        "reflections": "Rotoreflections a sample",
        "samples": "Held-out samples",
        "split": "Split",
        "resamples": "Bootstrap resamples",
        "panel_set": "Panel: set of rotations",
        "panel_replicates": "Panel: random orientations of the set",
        "lie_method": "Panel: Lie derivative by",
        "trivial_below": "Trivial below a learned fraction of",
        "dtype": "Number format",
    }
    found = _collected([t.twirl for t in trainings], keys)
    losses = {k[5:]: v for t in trainings for k, v in t.twirl.attrs.items() if k.startswith("loss_")}
    if losses:
        found["Training loss"] = "; ".join(f"{term}: {kind}" for term, kind in losses.items())
        found["Measured loss"] = "mean squared error of a component, whatever the training loss; others beside it"
    keys = {
        "samples": "Hessian: samples",
        "split": "Hessian: split",
        "rotation_set": "Hessian: rotations",
        "probes": "Hessian: random probes",
        "lanczos_steps": "Hessian: Lanczos steps",
    }
    found |= _collected([t.hessian for t in trainings if t.hessian is not None], keys)
    keys = {"samples": "Gradients: samples", "split": "Gradients: split", "rotations": "Gradients: rotations a sample"}
    found |= _collected([t.gradient for t in trainings if t.gradient is not None], keys)
    chosen = found.get("Hessian: rotations")
    return found | ({"Hessian: rotations": GROUPS.get(chosen, chosen)} if chosen else {})


def _collected(stores: Sequence[xr.Dataset], keys: Mapping[str, str]) -> dict[str, str]:
    """The values of attributes over all stores, each value once."""
    found = {}
    for key, meaning in keys.items():
        values = dict.fromkeys(str(s.attrs[key]) for s in stores if key in s.attrs)
        if values:
            found[meaning] = ", ".join(values)
    return found
