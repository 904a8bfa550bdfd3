"""Share of the variance of features that rotations make, by degree: the spectrum of h(g x) over rotations g.

Degree 0 is the part of a feature that is the same in every orientation: its variance over samples and rows. Vectors
have degree 1. In the network, and unlike in the spectrum of the twisted predictions, degrees above 0 are no error.
"""

from __future__ import annotations

import numpy as np
import torch

from ..._typing import Array, Float, Mapping, Sequence, Tensor
from ...contracts import Evaluation
from ...estimators import degree_spectrum
from ...geometry import so3
from ..panel import EXTRA_DEGREES, Panel
from .derivatives import rows_of
from .features import feature_hooks

Gram = dict[str, Float[Array, "rotation rotation"]]


@torch.no_grad()
def feature_spectra(
    evaluation: Evaluation,
    panel: Panel,
    modules: Sequence[str],
    means: Mapping[str, Float[Array, " d"]],
    highest: int,
) -> dict[str, tuple[Float[Array, "panel degree"], Float[Array, " panel"]]]:
    """q_0..q_highest of the features of each sample of a panel, and their whole square about `means`, by feature.

    Unbiased, from pairs of different rotations. Both are summed over the rows of a sample and over components.
    """
    spectra: dict[str, list[Array]] = {}
    whole: dict[str, list[float]] = {}
    for sample, quaternion in zip(panel.index.tolist(), panel.flat, strict=True):
        for name, gram in _gram(evaluation, sample, quaternion, modules, means).items():
            q = degree_spectrum.spectrum_fit(gram, quaternion.numpy(), highest, highest + EXTRA_DEGREES)
            spectra.setdefault(name, []).append(q)
            whole.setdefault(name, []).append(np.trace(gram) / len(gram))
    return {name: (np.stack(q), np.array(whole[name])) for name, q in spectra.items()}


def _gram(
    evaluation: Evaluation,
    sample: int,
    quaternion: Float[Tensor, "rotation 4"],
    modules: Sequence[str],
    means: Mapping[str, Float[Array, " d"]],
) -> Gram:
    """Inner products of the features of one sample between its orientations."""
    found: dict[str, list[Array]] = {}
    batch = evaluation.batch(np.array([sample]))
    for part in so3.matrix(quaternion).to(evaluation.device, evaluation.dtype).split(evaluation.chunk):

        def seen(name: str, feature: Tensor, count: int = len(part)) -> None:
            found.setdefault(name, []).append((rows_of(feature) - means[name]).reshape(count, -1))

        with feature_hooks(evaluation.model, modules, seen):
            evaluation.model(evaluation.task.rotate(batch.repeat(len(part)), part).inputs)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: rows @ rows.T for name, rows in joined.items()}
