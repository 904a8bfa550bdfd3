"""Standard errors of gradient statistics: a jackknife over batches."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from twirlscope.estimators.gradient_statistics import Batches, with_errors
from twirlscope.settings.gradient import GradientSettings

from .row import Row, covering

PARAMETERS = 40
WORDS = {
    "gradient_square": "squared norm, both parts and total",
    "gradient_cosine": "cosine of the gradients",
    "gradient_square_ratio": "ratio of squared gradients",
    "noise_scale": "noise scale",
    "relative_equiv": "relative equivariance error",
    "update_share": "share of an update",
}


def rows(repeats: int) -> list[Row]:
    """Coverage of value ± a Student interval of standard errors; gradients of samples are normal about the truth."""
    random = np.random.default_rng(0)
    truth = random.normal(size=(2, PARAMETERS)) / PARAMETERS**0.5 * np.array([[1.0], [0.5]])
    spread = np.array([[2.0], [1.5]]) / PARAMETERS**0.5
    size = GradientSettings().samples
    update = -0.1 * truth.sum(0)
    exact = _exact(truth, spread, update)
    hits: dict[str, list] = {name: [] for name in WORDS}
    batches = GradientSettings().batches
    width = student.ppf(0.975, batches - 1)
    for _ in range(repeats):
        noise = random.normal(size=(2, batches, PARAMETERS)) * spread[:, None] / size**0.5
        gradients = truth[:, None] + noise
        loss = random.gamma(4 * size, 1 / (4 * size), (2, batches)) * np.array([[1.0], [0.3]])
        gram = np.einsum("pbn,qcn->pqbc", gradients, gradients)
        found = with_errors(Batches(gram, loss, gradients @ update, size))
        for name, value in exact.items():
            hits[name] += list(np.ravel(np.abs(found[name] - value) <= width * found[f"{name}_error"]))
    where = f"{batches} batches of {size}"
    return [covering(words, f"normal, {PARAMETERS} parameters", where, hits[name]) for name, words in WORDS.items()]


def _exact(truth: np.ndarray, spread: np.ndarray, update: np.ndarray) -> dict[str, np.ndarray]:
    """The statistics of the truth."""
    both = np.concatenate([truth, truth.sum(0, keepdims=True)])
    square = (both**2).sum(1)
    variance = np.array([*(spread**2), (spread**2).sum(0)])[:, 0] * truth.shape[1]
    along = truth @ update
    return {
        "gradient_square": square,
        "gradient_cosine": truth[0] @ truth[1] / np.sqrt(square[0] * square[1]),
        "gradient_square_ratio": square[1] / square[0],
        "noise_scale": variance / square,
        "relative_equiv": np.array(0.3 / 1.3),
        "update_share": along[1] / along.sum(),
    }
