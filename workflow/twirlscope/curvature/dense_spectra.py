"""Exact spectra from dense matrices, for small networks and for a block of a larger one.

Matrices are linear in the samples. Products are computed once, group by group: their sum is the matrix of all samples,
and the sum without a group gives the spectra of a jackknife over groups.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .._typing import Float, Tensor
from ..estimators.eigenvalues import Spectrum
from .lanczos import NOT_FINITE
from .objective import Objective
from .operators import operator
from .problem import GB, CheckpointSpectra, Key, Problem

COLUMNS = 64  # per call of an operator
POWER_STEPS = 30  # of the power iteration for the length of the rounding error


def exact_spectra(model: torch.nn.Module, problem: Problem, mode: str) -> CheckpointSpectra:
    """All eigenvalues of all matrices of a model, on all samples and without each of the groups.

    The matrices of `total` are sums of those of `equiv` and of `mean`.

    Args:
        mode: certified mode of the products.

    Raises:
        FloatingPointError: products are not finite.
    """
    pieces = problem.pieces(model)
    found = CheckpointSpectra({}, {}, {}, problem.objective(model).values())
    sums: dict[str, Tensor] = {}
    for key in problem.matrices():
        if key[1] == "total":
            continue
        groups = [(share, share * dense_matrix(o, *key, mode, problem)) for share, o in pieces]
        whole = sum(matrix for _, matrix in groups)
        found.spectra[key] = spectrum_of(whole, problem)
        found.replicates[key] = [spectrum_of((whole - m) / (1 - s), problem) for s, m in groups] if groups[1:] else []
        found.products[key] = problem.size * len(groups)
        if key[1] in (problem.uncorrected_mean, "equiv"):
            sums[key[0]] = sums.get(key[0], 0) + whole * _weight(key, problem)
    for curvature, matrix in sums.items():
        found.spectra[curvature, "total"] = spectrum_of(matrix, problem)
        found.replicates[curvature, "total"], found.products[curvature, "total"] = [], 0
    return replace(found, hessian=sums["hessian"])


def _weight(key: Key, problem: Problem) -> float:
    """Factor of a matrix in that of the total loss; an unbiased equivariance error of K rotations has 1 - 1/K."""
    corrected = key[1] == "equiv" and problem.uncorrected_mean == "mean_plugin"
    return 1 - 1 / problem.quaternion.shape[1] if corrected else 1.0


def dense_matrix(objective: Objective, curvature: str, part: str, mode: str, problem: Problem) -> Float[Tensor, "n n"]:
    """A matrix of a part of the loss on the CPU in float64, not made symmetric, from products with unit vectors."""
    multiply = operator(objective, part, curvature, mode, problem.settings.keep_memory * GB)
    size, matrix = problem.size, torch.empty(problem.size, problem.size, dtype=torch.float64)
    for start in range(0, size, COLUMNS):
        stop = min(start + COLUMNS, size)
        columns = torch.zeros(size, stop - start, dtype=torch.float64)
        columns[start:stop] = torch.eye(stop - start, dtype=torch.float64)
        matrix[:, start:stop] = multiply(columns)
    return matrix


def spectrum_of(matrix: Float[Tensor, "n n"], problem: Problem) -> Spectrum:
    """All eigenvalues of the symmetric part of a matrix, each with the error of rounding.

    The antisymmetric part is rounding alone, and the symmetric part has as much of it. The error is twice its length
    (largest singular value), and at least the rounding of one product.

    Raises:
        FloatingPointError: the matrix is not finite.
    """
    if not matrix.isfinite().all():
        raise FloatingPointError(NOT_FINITE)
    value = torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()
    noise = torch.finfo(getattr(torch, problem.settings.dtype)).eps * np.abs(value).max()
    error = np.full_like(value, max(noise, 2 * spectral_norm((matrix - matrix.T) / 2)))
    return Spectrum(value, error, np.full((1, len(value)), 1 / len(value)), len(value), True, np.zeros(0))


def spectral_norm(matrix: Float[Tensor, "n n"]) -> float:
    """Largest singular value, from a power iteration with M'M; at most some percent too small."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(len(matrix), dtype=matrix.dtype, generator=generator)
    length = 0.0
    for _ in range(POWER_STEPS):
        vector = vector / vector.norm().clamp_min(torch.finfo(matrix.dtype).tiny)
        image = matrix @ vector
        length = image.norm().item()
        vector = matrix.T @ image
    return length
