"""Tables and texts of the page, from the stores; missing attributes are omitted."""

from __future__ import annotations

import json
import math

import xarray as xr
import yaml

from .._typing import Mapping, Sequence
from ..settings.report import ReportSettings
from . import headline, methods
from .clusters import cluster_notes
from .dataset_cards import dataset_card
from .first_screen.cards import cards
from .first_screen.screen import FirstScreen, data_line, title_of
from .first_screen.strip import strip
from .headline import Headline
from .page import Content
from .section import Section
from .sections.contents import Findings
from .sections.equivariance_error import leading_figure
from .sections.potentials import errors
from .sections.runs import kept_notes
from .trainings import PRIMARY, Training, at_floor, by_run, with_term
from .wording import listed, not_learned

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


def page_content(
    trainings: Sequence[Training],
    external: Sequence[Training],
    data: Mapping[str, xr.Dataset],
    sections: Sequence[Section],
    screen: FirstScreen,
    config: dict,
    settings: ReportSettings,
    provenance: Mapping[str, str],
) -> Content:
    """Everything on the page.

    Args:
        external: potentials that were not trained here.
        screen: the first screen.
    """
    measured = [*trainings, *external]
    return Content(
        screen=screen,
        threshold=settings.threshold,
        reading=reading(trainings),
        datasets=[dataset_card(*item) for item in data.items()],
        sections=sections,
        method=method(measured),
        provenance=provenance,
        config=as_yaml(config),
        paragraph=methods.paragraph(measured),
        bibtex=methods.bibtex(data, provenance),
    )


def first_screen(
    trainings: Sequence[Training],
    external: Sequence[Training],
    data: Mapping[str, xr.Dataset],
    shown: Sequence[Training],
    missing: Sequence[str],
    found: Findings,
    settings: ReportSettings,
    date: str,
) -> FirstScreen:
    """The first screen.

    Args:
        shown: trainings with figures of their own; missing: sentences on others.
        found: verdicts and comparisons.
        date: of the last measurement.
    """
    limit, measured = settings.threshold, [*trainings, *external]
    lines = [headline.headline(t, settings.term, limit) for t in with_term(trainings, settings.term)]
    told = [line for line in lines if line.run in by_run(shown)]
    chips, untested = strip(found.verdicts)
    return FirstScreen(
        title=settings.title or title_of(trainings, external),
        date=date,
        data=[data_line(*item) for item in data.items()],
        answer=errors.summary(external, headline.summary(lines, limit) if lines else ""),
        cards=cards(trainings, found.comparisons, limit),
        figure=leading_figure(shown, limit),
        chips=chips,
        untested=untested,
        notes=[*missing, *not_shown_note(trainings, shown)],
        doubts=[*data_notes(measured, data), *warnings(told)],
    )


def reading(trainings: Sequence[Training]) -> list[str]:
    """Remarks that hold for all figures: intervals, seeds, hollow points, rounding error, origin of the labels."""
    exact = [t.label for t in trainings if at_floor(t, PRIMARY).all()]
    found = [
        "Bands and bars are 95 % intervals, by a bootstrap over clusters of samples, unless a caption says otherwise.",
        "Step 0 stands left of the break. Losses have no unit: mean squared errors over the scale of the data.",
        f"Hollow points: {not_learned(trainings)}; a small percentage means nothing there." if trainings else "",
        "Thin lines are further seeds of a run." if len(by_run(trainings)) < len(trainings) else "",
        f"Triangles at the lower edge, or not shown: {listed(exact)}, whose error is rounding error." if exact else "",
        "Values at or below zero, and outside an axis, are in the CSV file only.",
    ]
    return list(filter(None, found))


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
