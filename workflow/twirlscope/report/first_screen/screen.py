"""The first screen as data, and as text for people in a hurry and for machines."""

from __future__ import annotations

import re
from dataclasses import dataclass

import xarray as xr

from ..._typing import Sequence
from ..figures.figure import Figure
from ..trainings import Training, by_run, claims_equivariance
from ..wording import plural
from .cards import Card
from .strip import Chip

FOLDER = (
    "index.html has the figures, tables/ every number as CSV, summary.zarr.zip and twirl.json the same for programs."
)


@dataclass(frozen=True)
class FirstScreen:
    """Everything on the first screen, in its order.

    date: of the last measurement.
    data: one line per dataset.
    answer: all trainings in a few sentences.
    untested: names of claims without a number.
    notes: what is missing; doubts: reasons not to trust a number.
    """

    title: str
    date: str
    data: Sequence[str]
    answer: str
    cards: Sequence[Card]
    figure: Figure | None
    chips: Sequence[Chip]
    untested: Sequence[str]
    notes: Sequence[str]
    doubts: Sequence[str]


def title_of(trainings: Sequence[Training], external: Sequence[Training]) -> str:
    """The question that these trainings answer."""
    learned = by_run([t for t in trainings if not claims_equivariance(t)])
    if learned:
        verb = "does" if len(learned) == 1 else "do"
        return f"How fast, how completely and at what cost {verb} {plural(len(learned), 'network')} learn rotation?"
    if trainings:
        return f"How exact is the rotation symmetry built into {plural(len(by_run(trainings)), 'network')}?"
    return f"How exact is the rotation symmetry of {plural(len(by_run(external)), 'potential')}?"


def data_line(name: str, data: xr.Dataset) -> str:
    """A dataset in one line: its size, the origin of its labels, and whether molecules are in training and test."""
    parts = [f"{data.sizes.get('sample', 0)} samples"]
    if "molecule_index" in data.sizes:
        parts[0] += f" of {plural(data.sizes['molecule_index'], 'molecule')}"
    if data.attrs.get("labels"):
        parts.append(re.sub(r" *\([^)]{25,}\)", "", str(data.attrs["labels"])))  # without long remarks
    if "molecule" in data and "split" in data:
        parts.append("same molecules in training and test" if shared(data) else "test molecules are not in training")
    return f"{name}: {'; '.join(parts)}"


def shared(data: xr.Dataset) -> bool:
    """True if a molecule of the train split is in another split, too."""
    molecule, split = data["molecule"].values, data["split"].values
    return bool(set(molecule[split == 0].tolist()) & set(molecule[split != 0].tolist()))


def markdown(screen: FirstScreen) -> str:
    """The first screen as Markdown."""
    lines = [f"# {screen.title}", "", f"{screen.date}. {screen.answer}", ""]
    lines += [*(f"- {line}" for line in screen.data), ""]
    for card in screen.cards:
        lines += [f"## {card.heading}", "", f"{card.networks}: **{card.error}** {card.interval}.", ""]
        lines += [*(f"- {name}: {words}" for name, words in card.facts.items()), ""]
    if screen.chips or screen.untested:
        lines += ["## Claims", ""]
        lines += [f"- {c.symbol} {c.verdict}: {c.name}, {c.number}{_whose(c)}" for c in screen.chips]
        lines += [f"- not tested by these runs: {', '.join(screen.untested)}"] if screen.untested else []
        lines.append("")
    for heading, notes in (("Missing", screen.notes), ("Reasons for caution", screen.doubts)):
        if notes:
            lines += [f"## {heading}", "", *(f"- {note}" for note in notes), ""]
    return "\n".join([*lines, FOLDER, ""])


def _whose(chip: Chip) -> str:
    return " (limit ours)" if chip.ours else ""
