"""Gradients of the two parts of the loss.

Question: how strongly, in which direction, and in which layers do gradients pull towards symmetry?
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...._typing import Sequence
from ....estimators.gradient_statistics import above_noise
from ...figures.figure import tabbed
from ...questions import WHY
from ...section import Section
from ...trainings import Training, first_seeds
from ...wording import say, slug
from . import direction, distance, layers, norms
from .lines import samples_note, whole


def gradient_sentence(training: Training) -> str:
    """The ratio of the squared gradients beside the share of the loss, first and last, and the share of an update."""
    data = whole(training)
    mean = data.sel(part="mean")
    solid = np.flatnonzero(above_noise(mean["gradient_square"].values, mean["gradient_square_error"].values))
    name = f"{training.label}: the squared gradient of the equivariance error"
    if not len(solid):
        return f"{name} has no ratio: that of the twirled prediction error is nowhere above its noise."
    ratios = [_ratio(data.isel(step=i)) for i in dict.fromkeys((solid[0], solid[-1]))]
    text = f"{name} is {', and '.join(ratios)} that of the twirled prediction error."
    total = data.sel(part="total")
    sure = above_noise(np.abs(total["update_change"].values), total["update_change_error"].values)
    if not sure.any():
        return text
    first = data.isel(step=int(np.argmax(sure)))
    share, error = (100 * float(first[n]) for n in ("update_share", "update_share_error"))
    return (
        f"{text} The update to step {int(first['step'])} spends {say(share)} ± {error:.2g} % of its gain on symmetry."
    )


def _ratio(data: xr.Dataset) -> str:
    """The ratio of the squared gradients at one checkpoint, beside the share of the loss."""
    ratio, error = (float(data[n]) for n in ("gradient_square_ratio", "gradient_square_ratio_error"))
    share = say(100 * float(data["relative_equiv"]))
    return f"{say(ratio)} ± {error:.2g} times (step {int(data['step'])}, {share} % of the loss)"


def section(trainings: Sequence[Training]) -> Section:
    """Sentences and figures of all trainings whose gradients were measured; layers of the first seed of every run."""
    measured = [t for t in trainings if t.gradient is not None]
    kinds = (norms.ratio, direction.cosine, direction.share, norms.norms, norms.noise)
    figures = [draw(measured) for draw in kinds] if measured else []
    figures += [f for draw in (distance.against, distance.nearest) if (f := draw(measured))]
    figures += tabbed([layers.layers(t, f"gradient_layers_{slug(t.run)}_seed{t.seed}") for t in first_seeds(measured)])
    told = [gradient_sentence(t) for t in measured] + ([samples_note(measured)] if measured else [])
    return Section(WHY, "gradients", "Gradients", told, figures)
