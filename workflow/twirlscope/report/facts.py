"""Tables and texts of the page, from the stores; missing attributes are omitted."""

from __future__ import annotations

import json
import math
from typing import Any

import xarray as xr
import yaml

from .._typing import Mapping, Sequence
from ..settings.report import ReportSettings
from . import headline, methods
from .clusters import cluster_notes
from .dataset_cards import dataset_card
from .headline import Headline
from .headline_tables import headline_table, separate_terms, term_table
from .numbers import Column, numbers, rows_to_data
from .page import Content
from .section import Section
from .sections.cost import cost_words
from .sections.potentials import errors
from .tables import Table
from .trainings import Training, by_run, terms_of, with_term
from .wording import labels_note

ROTATION_SETS = {  # value of the attribute -> words
    "D2": "the 4 of the group D2, at a random orientation of every sample",
    "T": "the 12 of the tetrahedral group, at a random orientation of every sample",
    "O": "the 24 of the octahedral group, at a random orientation of every sample",
    "I": "the 60 of the icosahedral group, at a random orientation of every sample",
    "independent": "independent of each other",
}
TWIRL = {  # attribute of the store -> words
    "group": "Group of the rotations",
    "rotations": "Rotations per sample",
    "reflections": "Rotoreflections per sample",
    "samples": "Held-out samples",
    "clusters": "Clusters of held-out samples, which the bootstrap resamples",
    "split": "Split",
    "resamples": "Bootstrap resamples",
    "panel_set": "Panel: set of rotations",
    "panel_replicates": "Panel: random orientations of the set",
    "lie_method": "Panel: Lie derivative by",
    "trivial_below": "Not yet learned below a learned fraction of",
    "dtype": "Number format",
}
HESSIAN = {
    "samples": "Hessian: samples",
    "split": "Hessian: split",
    "rotation_set": "Hessian: rotations",
    "probes": "Hessian: random probes",
    "lanczos_steps": "Hessian: Lanczos steps",
}
GRADIENT = {
    "samples": "Gradients: samples",
    "split": "Gradients: split",
    "rotations": "Gradients: rotations per sample",
}
TRAININGS = (
    Column("parameters", "parameters", "1"),
    Column("updates", "updates", "1"),
    Column("checkpoints", "checkpoints", "1"),
    Column("seconds", "training time", "s"),
)


def page_content(
    trainings: Sequence[Training],
    dataset_of: Mapping[str, str],
    data: Mapping[str, xr.Dataset],
    config: dict,
    settings: ReportSettings,
    provenance: Mapping[str, str],
    sections: Sequence[Section],
    shown: Sequence[Training],
    missing: Sequence[str],
    external: Sequence[Training] = (),
) -> Content:
    """Everything on the page.

    Args:
        dataset_of: by run, the name of its dataset.
        shown: trainings with sentences of their own; missing: sentences on others; external: not trained here.
    """
    limit = settings.threshold
    every = {(t.label, term): headline.headline(t, term, limit) for t in trainings for term in terms_of([t])}
    lines = [every[t.label, settings.term] for t in with_term(trainings, settings.term)]
    told = [line for line in lines if line.run in by_run(shown)]
    measured = [*trainings, *external]
    notes = [*missing, *not_shown_note(trainings, shown), *data_notes(measured, data), *warnings(told)]
    return Content(
        title=settings.title,
        threshold=limit,
        summary=errors.summary(external, headline.summary(lines, limit) if lines else "") + labels_note(measured),
        sentences=[headline.sentence(line, limit) for line in told],
        warnings=notes,
        **_tables(trainings, every, settings, dataset_of),
        models={run: model_facts(seeds) for run, seeds in by_run(shown).items()},
        datasets=[dataset_card(*item) for item in data.items()],
        sections=sections,
        method=method(measured),
        provenance=provenance,
        config=as_yaml(config),
        paragraph=methods.paragraph(measured),
        bibtex=methods.bibtex(data, provenance),
    )


def _tables(
    trainings: Sequence[Training], every: Mapping, settings: ReportSettings, dataset_of: Mapping[str, str]
) -> dict[str, Table | None]:
    """Tables of the last checkpoints, of all terms, and of the trainings; None without trainings."""
    if not trainings:
        return {"headline": None, "terms": None, "trainings": None}
    limit, chosen = settings.threshold, with_term(trainings, settings.term)
    lines = [every[t.label, settings.term] for t in chosen]
    terms = [every[t.label, term] for t in trainings for term in separate_terms(terms_of([t]))]
    return {
        "headline": headline_table(chosen, lines, limit) if lines else None,
        "terms": term_table(terms, limit),
        "trainings": training_table(trainings, dataset_of),
    }


def as_yaml(config: dict) -> str:
    """The config as YAML; values that YAML cannot hold become text."""
    return yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True)


def not_shown_note(trainings: Sequence[Training], shown: Sequence[Training]) -> list[str]:
    """The runs that have sentences and figures of their own, if these are not all."""
    every, some = by_run(trainings), list(by_run(shown))
    if len(every) == len(some):
        return []
    text = f"Sentences and figures of single runs are about {len(some)} of {len(every)} runs: {', '.join(some)}. "
    return [text + "All runs are in the tables, in the claims and in the figures of their sweeps."]


def kept_notes(trainings: Sequence[Training]) -> list[str]:
    """Trainings that were kept although their code had changed."""
    text = "Run {}: the training was kept on {date}, though its code had changed (hash {before} to {after})."
    return [text.format(t.label, **change) for t in trainings for change in t.kept]


def data_notes(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> list[str]:
    """Where trainings and data come from, as far as it matters: kept trainings, samples in two splits, few clusters."""
    return [*kept_notes(trainings), *duplicates_note(data), *cluster_notes(trainings, data)]


def duplicates_note(data: Mapping[str, xr.Dataset]) -> list[str]:
    """Held-out samples that are in the train split too, by dataset and split."""
    notes = []
    for name, dataset in data.items():
        names = dataset["split"].attrs["flag_meanings"].split() if "split" in dataset else []
        for split, count in json.loads(dataset.attrs.get("duplicates", "{}")).items():
            size = int((dataset["split"].values == names.index(split)).sum())
            notes.append(
                f"Dataset {name}: {count} of {size} samples of the split {split} are in the train split too, up to "
                "rotation, reflection and the order of atoms: results on them do not show how a network generalises."
            )
    return notes


def warnings(lines: Sequence[Headline]) -> list[str]:
    """Reasons to doubt a number: trainings that diverged, and heavy tails."""
    found = []
    for line in lines:
        name = f"Run {line.run}, seed {line.seed}"
        if not math.isfinite(line.loss):
            found.append(f"{name}: the loss at the last checkpoint is not a number; the training has diverged.")
        if line.heavy_tailed and not line.at_floor:
            share = f"{100 * line.top_share:.0f} % of the equivariance error"
            top, count = line.top_count
            carry = "carries" if top == 1 else "carry"
            found.append(
                f"{name}: its intervals are approximate, and may be too narrow, because the loss has a heavy tail; "
                f"{top} of {count} independent clusters of samples {carry} {share}."
            )
    return found


def training_table(trainings: Sequence[Training], dataset_of: Mapping[str, str]) -> Table:
    """Task, model, size, length and time of every training; the device in the caption if all ran on one."""
    rows = []
    for training in trainings:
        attrs = training.attrs
        rows.append(
            {
                "run": training.run,
                "seed": training.seed,
                "dataset": dataset_of.get(training.run, ""),
                "task": _plugin(training.spec.get("task")),
                "model": _plugin(training.spec.get("model")),
                "parameters": attrs.get("parameters"),
                "updates": training.train.sizes["update"],
                "checkpoints": training.twirl.sizes["step"],
                "seconds": float(attrs["seconds"]) if "seconds" in attrs else None,
                "device": attrs.get("device"),
            }
        )
    table = numbers(rows_to_data(rows), TRAININGS)
    devices = list(dict.fromkeys(row["device"] for row in rows if row["device"]))
    if len(devices) > 1:
        return Table("trainings", "The trainings.", table)
    caption = "The trainings" + "".join(f", on {device}" for device in devices) + "."
    return Table("trainings", caption, table, table.without(["device"]))


def _plugin(section: Any) -> str | None:
    """The name of a plug-in in its section of the config."""
    return str(section.get("name", section.get("class", ""))) or None if isinstance(section, dict) else section


def model_facts(seeds: Sequence[Training]) -> dict[str, str]:
    """The card of a run: data, settings of task, model and training, cost, environment."""
    attrs, run = seeds[0].attrs, seeds[0].spec
    data = [str(run["dataset"])] if "dataset" in run else []
    data += [f"{attrs['training_samples']} training samples"] if "training_samples" in attrs else []
    found = {"Data": ", ".join(data)}
    for name, heading in (("task", "Task"), ("model", "Model"), ("train", "Training")):
        if run.get(name):
            found[heading] = _flat(run[name])
    found["Cost"] = cost_words(seeds)
    found["Kept across changes of its code"] = " ".join(kept_notes(seeds))
    places = [str(attrs["device"])] if "device" in attrs else []
    found["Environment"] = "; ".join(places + [f"{k} {v}" for k, v in _json(attrs.get("versions")).items()])
    return {name: text for name, text in found.items() if text}


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


def method(trainings: Sequence[Training]) -> dict[str, str]:
    """Numbers of the measurement: rotations, samples, limits, Lanczos steps."""
    found = _attributes([t.twirl for t in trainings], TWIRL)
    losses = {k[5:]: v for t in trainings for k, v in t.twirl.attrs.items() if k.startswith("loss_")}
    if losses:
        found["Training loss"] = "; ".join(f"{term}: {kind}" for term, kind in losses.items())
        found["Measured loss"] = "mean squared error of a component, whatever the training loss; others beside it"
    found |= _attributes([t.hessian for t in trainings if t.hessian is not None], HESSIAN)
    found |= _attributes([t.gradient for t in trainings if t.gradient is not None], GRADIENT)
    name = HESSIAN["rotation_set"]
    return found | ({name: ROTATION_SETS.get(found[name], found[name])} if name in found else {})


def _attributes(stores: Sequence[xr.Dataset], words: Mapping[str, str]) -> dict[str, str]:
    """The values of attributes over all stores, each value once, by the words of the attribute."""
    found = {}
    for key, meaning in words.items():
        values = dict.fromkeys(str(s.attrs[key]) for s in stores if key in s.attrs)
        if values:
            found[meaning] = ", ".join(values)
    return found
