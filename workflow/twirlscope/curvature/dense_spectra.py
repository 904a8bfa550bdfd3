"""Exact spectra from dense matrices, for small networks and for a block of a larger one.

Matrices are linear in the samples. Products are computed once, group by group: their sum is the matrix of all samples,
and the sum without a group gives the spectra of a jackknife over groups.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from .._typing import Float, Tensor
from ..estimators.curvature.eigenvalues import Spectrum
from ..runtime.progress import counted
from .lanczos import dense, matrix_of
from .objective import Objective, rademacher
from .operators import graph_bytes, operator
from .problem import GB, CheckpointSpectra, Key, Problem

COLUMNS = 64  # multiplied at once
LEAST_COLUMNS = 4  # fewer are multiplied one after the other
GRAPHS_PER_COLUMN = 4  # memory of a column, in graphs of the loss
SAME = 1e4  # largest difference between single columns and columns at once, in rounding errors


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
    for key in counted([k for k in problem.matrices() if k[1] != "total"], "matrix"):
        each = counted(pieces, f"matrix {key[1]}, group of samples")
        groups = [(share, share * dense_matrix(o, *key, mode, problem)) for share, o in each]
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
    """A matrix of a part of the loss on the CPU in float64, not made symmetric, from products with unit vectors.

    Where the graph is small, many columns are multiplied at once. One product of a single column, as the certificate
    has it, checks the matrix.

    Raises:
        FloatingPointError: columns multiplied at once are other ones.
    """
    keep = problem.settings.keep_memory * GB
    single = operator(objective, part, curvature, mode, keep)
    each = graph_bytes(lambda: objective.losses(objective.parameters, objective.chunks[0]), objective.parameters)
    together = min(COLUMNS, int(keep / (GRAPHS_PER_COLUMN * max(each, 1))))
    if mode not in ("cached", "rebuilt") or together < LEAST_COLUMNS:
        return matrix_of(single, problem.size)
    matrix = matrix_of(operator(objective, part, curvature, mode, keep, together), problem.size, together)
    vector = rademacher(problem.size, 1, problem.settings.seed)
    expected = single(vector)
    scale = max(expected.norm(), (matrix @ vector.abs()).norm(), torch.finfo(matrix.dtype).tiny)
    if (matrix @ vector - expected).norm() > SAME * torch.finfo(objective.parameters.dtype).eps * scale:
        raise FloatingPointError("columns multiplied at once are not those of single products")
    return matrix


def spectrum_of(matrix: Float[Tensor, "n n"], problem: Problem) -> Spectrum:
    """All eigenvalues of a matrix whose products have the working precision.

    Raises:
        FloatingPointError: the matrix is not finite.
    """
    return dense(matrix, noise=torch.finfo(getattr(torch, problem.settings.dtype)).eps)
