"""Curves of arXiv 2512.02303 over training steps, from the packaged table `curves.json`.

They were read from the figures and data files of the authors' repository: facts without the authors' words or code. A
published percentage is not 100 loss_equiv / loss_total of the same training: it looks like a mean of ratios over
batches. Published force fields were trained without rotated samples, but for the variant `augmented`. Losses are in the
authors' units.
`tests/bench/published_table.py` makes the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..._typing import Array, Float

TABLE = Path(__file__).parent / "curves.json"
NAMES = {"escaip": "EScAIP", "proteina": "Proteina", "voxmol": "VoxMol"}
REFERENCES = {  # by task: model, variant and replicate of the curve that figures show
    "force_field": ("escaip_6M", "adam_1e-5", 1),
    "flow_matching": ("proteina_60M", "pdb_1.0", 2),
    "voxel_denoising": ("voxmol_111M", "data_100pct", 1),
}


@dataclass(frozen=True)
class PublishedCurve:
    """A number of one published training over its steps, of one time for flow matching.

    time: on the path of a flow, 0 noise and 1 data; None for other tasks.
    quantity: name of the stored variable that it is compared with.
    corrected: True with the factor K / (K - 1) of K rotations, False without, None if none is needed.
    source: file of the repository.
    error: largest relative error of reading.
    complete: False for a few points with a wide gap, from which no course follows.
    remark: a reason not to count the training; empty for none.
    """

    task: str
    model: str
    variant: str
    replicate: int
    time: float | None
    quantity: str
    corrected: bool | None
    source: str
    error: float
    complete: bool
    remark: str
    step: Float[Array, " step"]
    value: Float[Array, " step"]

    @property
    def training(self) -> tuple[str, str, int]:
        """Model, variant and replicate, the same for all curves of a training."""
        return self.model, self.variant, self.replicate

    @property
    def label(self) -> str:
        """The set-up in words, such as `EScAIP 6M, Adam 1e-5, not augmented`."""
        family, size = self.model.split("_")
        words = [f"{NAMES[family]} {size}", _variant_words(self.task, self.variant)]
        words += [f"t = {self.time:g}"] if self.time is not None else []
        return ", ".join(words) + (f", #{self.replicate}" if self.replicate > 1 else "")


def _variant_words(task: str, variant: str) -> str:
    """The variant of a training in words."""
    kind, _, value = variant.partition("_")
    if task == "flow_matching":
        return f"{100 * float(value):g} % of the PDB chains"
    if task == "voxel_denoising":
        return f"{value.removesuffix('pct')} % of the data"
    if variant == "augmented":
        return "augmented"
    if kind == "samples":
        return value.replace("_batch_1", " samples, batch 1").replace("k", ",000 samples") + ", not augmented"
    return f"{kind.upper() if kind == 'sgd' else kind.capitalize()} {value}, not augmented"


@cache
def _table() -> dict[str, Any]:
    return json.loads(TABLE.read_text(encoding="utf-8"))


def source() -> str:
    """Paper, repository and commit of the curves, for captions."""
    about = _table()
    return f"{about['paper']}; {about['repository']}, commit {about['commit']}; {about['note']}"


@cache
def published_curves(task: str = "", quantity: str = "") -> tuple[PublishedCurve, ...]:
    """The curves of a task and of a quantity, or of all."""
    found = []
    for row in _table()["curves"]:
        if task in ("", row["task"]) and quantity in ("", row["quantity"]):
            points = {name: np.array(row[name], float) for name in ("step", "value")}
            found.append(PublishedCurve(**row | points))
    return tuple(found)


def reference_curves(task: str, quantity: str) -> tuple[PublishedCurve, ...]:
    """The curves that figures of a task show: one, or one per time; empty for other tasks."""
    return tuple(c for c in published_curves(task, quantity) if task in REFERENCES and c.training == REFERENCES[task])
