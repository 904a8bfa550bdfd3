"""Spectra with known eigenvalues, like those of networks, and Lanczos runs on matrices with these eigenvalues."""

from __future__ import annotations

import numpy as np
import torch

from twirlscope.curvature.lanczos import lanczos
from twirlscope.estimators.curvature.condition_numbers import MEASURES, Spectrum, measure_side


def spectra(size: int) -> dict[str, np.ndarray]:
    """Power laws, outliers above a bulk and zeros, eigenvalues uniform in their logarithm, exponentials; by name."""
    rank = np.arange(1.0, size + 1)
    half = np.arange(1.0, size // 2 + 1)
    return {
        **{f"power law {p:g}": rank**-p for p in (0.7, 1.0, 1.5, 2.0)},
        "power law 1, indefinite": np.concatenate([half**-1, -0.3 * np.arange(1.0, size - len(half) + 1) ** -1]),
        **{f"log-uniform, {d} decades": 10 ** (-d * rank / size) for d in (4, 8)},
        "10 outliers to 100, bulk, 10 % zeros": bulk(size, 10, 100, 0.1),
        "10 outliers to 1000, bulk, 50 % zeros": bulk(size, 10, 1000, 0.5),
        "30 outliers to 3000, bulk, 90 % zeros": bulk(size, 30, 3000, 0.9),
        **{f"exponential, length {n}": np.exp(-rank / n) for n in (60, 300)},
    }


def bulk(size: int, outliers: int, largest: float, zeros: float) -> np.ndarray:
    """Outliers from `largest` to 2 above a bulk between 0 and 1, and a share of zeros."""
    value, filled = np.zeros(size), int(size * (1 - zeros))
    value[:filled] = (1 - np.cos(np.pi * (np.arange(filled) + 0.5) / filled)) / 2
    value[:outliers] = np.geomspace(largest, 2, outliers)
    return value


def run(value: np.ndarray, probes: int, steps: int, seed: int) -> Spectrum:
    """Lanczos on the diagonal matrix of these eigenvalues; Gaussian probes know no axes, so any other is the same."""
    diagonal, generator = torch.as_tensor(value)[:, None], torch.Generator().manual_seed(seed)
    start = torch.randn(len(value), probes, dtype=torch.float64, generator=generator)
    return lanczos(lambda v: diagonal * v, start, steps, seed=seed)


def exact(name: str, value: np.ndarray) -> float:
    """A condition number or rank of the eigenvalues themselves."""
    return measure_side(MEASURES[name][0], value, np.ones(len(value)))


def exact_nodes(spectrum: Spectrum, name: str) -> float:
    """A condition number or rank from the nodes of a run and its mean weights, without errors."""
    return measure_side(MEASURES[name][0], spectrum.value, spectrum.size * spectrum.deflated.mean(0))
