"""Gradients of the two parts of the loss.

Question: how strongly, in which direction, and in which layers do gradients pull towards symmetry?
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...._typing import Sequence
from ....estimators.gradient_statistics import above_noise
from ...questions import WHY
from ...section import Section
from ...trainings import Training, first_seeds
from ...wording import say, slug
from . import direction, distance, layers, norms
from .lines import whole


def gradient_sentence(training: Training) -> str:
    """The ratio of the squared gradients beside the share of the loss, first and last, and the share of an update."""
    data = whole(training)
    mean = data.sel(part="mean")
    solid = np.flatnonzero(above_noise(mean["gradient_square"].values, mean["gradient_square_error"].values))
    name = f"{training.label}: on {training.gradient.attrs['samples']} samples"
    if not len(solid):
        return f"{name} the gradient of the twirled prediction error is nowhere above its noise."
    ratios = [_ratio(data.isel(step=i)) for i in dict.fromkeys((solid[0], solid[-1]))]
    text = f"{name} the squared gradient of the equivariance error is {', and '.join(ratios)}."
    total = data.sel(part="total")
    sure = above_noise(np.abs(total["update_change"].values), total["update_change_error"].values)
    if not sure.any():
        return text
    first = data.isel(step=int(np.argmax(sure)))
    share, error = (100 * float(first[n]) for n in ("update_share", "update_share_error"))
    text += f" Of the change of the loss by the update that led to step {int(first['step'])}, "
    return text + f"{say(share)} ± {error:.2g} % is equivariance error."


def _ratio(data: xr.Dataset) -> str:
    """The ratio of the squared gradients at one checkpoint, beside the share of the loss."""
    ratio, error = (float(data[n]) for n in ("gradient_square_ratio", "gradient_square_ratio_error"))
    text = f"{say(ratio)} ± {error:.2g} times that of the twirled prediction error at step {int(data['step'])}"
    return f"{text}, where the equivariance error is {say(100 * float(data['relative_equiv']))} % of the loss"


def section(trainings: Sequence[Training]) -> Section:
    """Sentences and figures of all trainings whose gradients were measured; layers of the first seed of every run."""
    measured = [t for t in trainings if t.gradient is not None]
    kinds = (norms.ratio, direction.cosine, direction.share, norms.norms, norms.noise)
    figures = [draw(measured) for draw in kinds] if measured else []
    figures += [f for draw in (distance.against, distance.nearest) if (f := draw(measured))]
    for training in first_seeds(measured):
        figures.append(layers.layers(training, f"gradient_layers_{slug(training.run)}_seed{training.seed}"))
    return Section(WHY, "gradients", "Gradients", [gradient_sentence(t) for t in measured], figures)
