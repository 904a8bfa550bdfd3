"""Section on the gradients of both parts of the loss."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...._typing import Sequence
from ....estimators.gradient_statistics import above_noise
from ...section import Section
from ...trainings import Training, by_run
from ...wording import say, slug
from . import direction, distance, layers, norms


def gradient_sentence(training: Training) -> str:
    """How the pull of the two gradients compares with the two parts of the loss, first and last, in words."""
    data = training.gradient.sel(layer="whole")
    mean = data.sel(part="mean")
    found = np.flatnonzero(above_noise(mean["gradient_square"].values, mean["gradient_square_error"].values))
    name = f"{training.label}: on {training.gradient.attrs['samples']} samples"
    if not len(found):
        return f"{name} the gradient of the twirled prediction error is nowhere above its noise."
    said = [_pull(data.isel(step=i)) for i in dict.fromkeys((found[0], found[-1]))]
    text = f"{name} the squared gradient of the equivariance error is {', and '.join(said)}."
    total = data.sel(part="total")
    sure = above_noise(np.abs(total["update_change"].values), total["update_change_error"].values)
    if not sure.any():
        return text
    first = data.isel(step=int(np.argmax(sure)))
    share, error = (100 * float(first[n]) for n in ("update_share", "update_share_error"))
    text += f" Of what the update that led to step {int(first['step'])} changes in the loss to first order, "
    return text + f"{say(share)} ± {error:.2g} % is equivariance error."


def _pull(data: xr.Dataset) -> str:
    """The ratio of the squared gradients at one checkpoint, beside the share of the loss."""
    ratio, error = (float(data[n]) for n in ("gradient_square_ratio", "gradient_square_ratio_error"))
    text = f"{say(ratio)} ± {error:.2g} times that of the twirled prediction error at step {int(data['step'])}"
    return f"{text}, where that error is {say(100 * float(data['relative_equiv']))} % of the loss"


def section(trainings: Sequence[Training]) -> Section:
    """Those by layer are of the first seed of a run."""
    measured = [t for t in trainings if t.gradient is not None]
    said = [gradient_sentence(t) for t in measured]
    kinds = (
        norms.ratio,
        direction.cosine,
        direction.share,
        norms.norms,
        norms.noise,
    )
    shown = [draw(measured) for draw in kinds] if measured else []
    shown += [f for draw in (distance.against, distance.nearest) if (f := draw(measured))]
    for training in (seeds[0] for seeds in by_run(measured).values()):
        name = f"gradient_layers_{slug(training.run)}_seed{training.seed}"
        shown.append(layers.layers(training, name))
    return Section("gradients", "Gradients", said, shown)
