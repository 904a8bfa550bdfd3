"""Block Lanczos: spectra of large symmetric operators from matrix-vector products.

The Krylov space of `probes` random vectors gives Ritz values with residual bounds; they converge to the eigenvalues at
both ends of the spectrum. Gauss quadrature gives the weight of each Ritz value in the spectral measure of each probe.
The mean over probes estimates the spectral density. The operator may be any symmetric one.

Source: Golub and Meurant, Matrices, Moments and Quadrature (2010), chapters 4 and 6; reorthogonalisation after Daniel,
Gragg, Kaufman, Stewart, Math. Comp. 30, 772 (1976).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .._typing import Array, Callable, Float, Tensor
from ..errors import UserError
from ..estimators.curvature.eigenvalues import Spectrum
from ..runtime.progress import counted, inside
from .objective import rademacher

BREAKDOWN = 1e-12  # a new direction shorter than this share of the largest product is rounding, and is replaced
POWER_STEPS = 30  # of the iteration for the length of a rounding error
NOT_FINITE = "the operator returned numbers that are not finite"
DROP = 1e-3  # a block that a projection shortens below this share is projected once more (Daniel et al.)


@dataclass(frozen=True)
class Basis:
    """Size of a Lanczos basis: dtype, number of probes, memory [byte]."""

    dtype: torch.dtype
    probes: int
    bytes: int


def fitting_basis(size: int, probes: int, steps: int, dtype: torch.dtype, memory: float) -> Basis:
    """Largest basis that fits into the memory: as requested, else in float32, else of fewer probes.

    Args:
        size: n, length of a vector.
        probes: requested number; at least two are kept if two were requested, since one has no error bars.
        steps: block steps.
        dtype: requested dtype.
        memory: memory allowed [byte].

    Raises:
        UserError: not even the smallest basis fits; the message has the sizes.
    """
    columns = min(size, probes * steps)  # the space has no more than `size` directions
    wanted = Basis(dtype, probes, dtype.itemsize * size * columns)
    if wanted.bytes <= memory:
        return wanted
    small = torch.float32
    for fewer in range(probes, min(2, probes) - 1, -1):
        found = Basis(small, fewer, small.itemsize * size * min(size, fewer * steps))
        if found.bytes <= memory:
            return found
    raise UserError(
        "hessian.basis_memory",
        f"{found.bytes / 1e9:.3g} GB or more, for a float32 basis of {fewer} probes x {steps} steps x {size} "
        f"parameters ({wanted.bytes / 1e9:.3g} GB as requested)",
        f"{memory / 1e9:.3g} GB; allow more, or at most {int(memory / (small.itemsize * size * fewer))} lanczos_steps",
    )


def lanczos(
    matvec: Callable[[Tensor], Tensor],
    probes: Float[Tensor, "n b"],
    steps: int,
    *,
    seed: int = 0,
    noise: float = 0.0,
    trace_probes: int = 0,
) -> Spectrum:
    """Spectrum of a symmetric operator by block Lanczos with full reorthogonalisation; takes `steps * b` products.

    The basis has the dtype and device of the probes and consists of n * b * steps numbers. Random directions replace
    exhausted ones, so that `b * steps >= n` gives the whole spectrum, with all multiplicities.

    Args:
        matvec: the operator on a block of columns, `[n, b] -> [n, b]`; b may shrink in the last step.
        probes: starting block, see `rademacher`.
        steps: block steps, at least 1.
        seed: seed of the replacements and of the fresh probes.
        trace_probes: fresh probes for the trace outside the basis, at one product each.
        noise: relative error of a product, if above rounding of the basis; errors are at least `noise * max|value|`.

    Raises:
        ValueError: there is no step or no probe.
        FloatingPointError: products are not finite.
    """
    if steps < 1 or probes.shape[1] < 1:
        raise ValueError("block Lanczos needs at least one step and one probe")
    generator = torch.Generator().manual_seed(seed)
    run = _krylov(matvec, probes, steps, generator)
    noise = max(noise, torch.finfo(probes.dtype).eps)
    outside = _trace_outside(matvec, run.basis, 0 if run.complete else trace_probes, seed + 1)
    cuts = [0 if run.complete else depth * len(run.start) for depth in (steps // 2, 3 * steps // 4)]
    shallow = [_spectrum(run, cut, noise, np.zeros(0)) if cut else None for cut in cuts]
    return _spectrum(run, len(run.projected), noise, outside, *shallow)


def _spectrum(run: _Krylov, cut: int, noise: float, rest: Array, *shallow: Spectrum | None) -> Spectrum:
    """Spectrum from the first `cut` rows of the basis; a run of fewer steps is the leading part of a longer one."""
    value, vector = torch.linalg.eigh(run.projected[:cut, :cut])
    if run.complete:
        residual = torch.zeros_like(value)
    elif cut == len(run.projected):
        residual = (run.rest @ vector[run.last]).norm(dim=0)
    else:
        width = len(run.start)
        residual = (run.projected[cut : cut + width, cut - width : cut] @ vector[cut - width :]).norm(dim=0)
    weight = (run.start.T @ vector[: len(run.start)]) ** 2
    weight = (weight / weight.sum(1, keepdim=True)).numpy()
    error = residual.clamp_min(noise * float(value.abs().max())).numpy()
    return Spectrum(value.numpy(), error, weight, run.basis.shape[1], run.complete, rest, *shallow)


def _trace_outside(matvec: Callable, basis: Float[Tensor, "m n"], probes: int, seed: int) -> Float[Array, " fresh"]:
    """Hutchinson estimates of the trace of the operator on the complement of the basis, one per fresh probe."""
    if not probes:
        return np.zeros(0)
    vectors = _project(rademacher(basis.shape[1], probes, seed).to(basis), basis)[1]
    return (vectors * matvec(vectors)).sum(0).double().cpu().numpy()


@dataclass(frozen=True)
class _Krylov:
    """Basis of the Krylov space and the operator projected on it; all but the basis on the CPU in float64.

    projected: block tridiagonal matrix of the projected operator.
    basis: orthonormal rows, on the device of the probes.
    start: coefficients of the probes in the first rows of the basis.
    rest: R of the last product's component outside the basis.
    last: rows of the block that was multiplied last.
    complete: whether the basis spans the whole space.
    """

    projected: Float[Tensor, "m m"]
    basis: Float[Tensor, "m n"]
    start: Float[Tensor, "b probe"]
    rest: Float[Tensor, "c c"]
    last: slice
    complete: bool


def _krylov(matvec: Callable, probes: Float[Tensor, "n b"], steps: int, generator: torch.Generator) -> _Krylov:
    """Krylov space of the probes after so many block steps."""
    size, width = probes.shape
    basis = probes.new_empty(min(size, steps * width), size)
    projected = torch.zeros(len(basis), len(basis), dtype=torch.float64)
    block, start = _orthonormal(probes, basis[:0], probes.norm(dim=0).max(), generator)
    used, scale, last = 0, probes.new_zeros(()), slice(0, 0)
    while True:
        near = (
            last.start
        )  # of the block before; outside the last two blocks, a product is nearly orthogonal to the basis
        last, used = slice(used, used + len(block)), used + len(block)
        basis[last] = block
        product = matvec(block.T).to(block)
        if not product.isfinite().all():
            raise FloatingPointError(NOT_FINITE)
        scale = torch.maximum(scale, product.norm(dim=0).max())
        large, rest = _subtract(product, basis[near:used])
        small, rest = _project(rest, basis[:used])
        projected[last, last] = _symmetric((large[last.start - near :] + small[last]).double().cpu())
        inside(used, len(basis), f"product {used} of {len(basis)}")
        if used == len(basis):
            break
        block, coupling = _orthonormal(rest, basis[:used], scale, generator)
        following = slice(used, used + len(block))
        projected[following, last] = coupling.double().cpu()
        projected[last, following] = projected[following, last].T
    rest = torch.linalg.qr(rest, mode="r").R.double().cpu()
    return _Krylov(projected, basis, start.double().cpu(), rest, last, used == size)


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2


def _subtract(block: Tensor, basis: Tensor) -> tuple[Float[Tensor, "m b"], Float[Tensor, "n b"]]:
    """Coefficients of the block in the basis (rows), and its component outside the basis."""
    coefficient = basis @ block
    return coefficient, block - basis.T @ coefficient


def _project(block: Tensor, basis: Tensor) -> tuple[Float[Tensor, "m b"], Float[Tensor, "n b"]]:
    """As `_subtract`, but repeated if a column shrank, since the rest is orthogonal to rounding over its length."""
    coefficient, rest = _subtract(block, basis)
    if (rest.norm(dim=0) < DROP * block.norm(dim=0)).any():
        correction, rest = _subtract(rest, basis)
        coefficient = coefficient + correction
    return coefficient, rest


def _orthonormal(block: Tensor, basis: Tensor, scale: Tensor, generator: torch.Generator):
    """Orthonormal rows q, orthogonal to the basis as the block is, and R with `block = q.T @ R`.

    If the block has lost rank compared with `scale`, random rows of q replace the lost ones, with rows of zero in R.
    There are at most as many rows as the space has further dimensions.
    """
    size, width = block.shape
    q, r = torch.linalg.qr(block)
    u, s, v = torch.linalg.svd(r)
    keep = min(int((s > max(BREAKDOWN, torch.finfo(s.dtype).eps) * scale).sum()), size - len(basis))
    q, r = q @ u[:, :keep], s[:keep, None] * v[:keep]
    if keep and s[keep - 1] < DROP * s[0]:  # a short direction is orthogonal only to rounding over its length
        q, change = torch.linalg.qr(_subtract(q, basis)[1])
        r = change @ r
    q = q.T
    missing = min(width, size - len(basis)) - keep
    if missing > 0:
        fresh = torch.randn(missing, size, dtype=torch.float64, generator=generator).to(block).T
        for _ in range(2):  # on one after the other: the basis may fill the memory
            fresh = torch.linalg.qr(_project(_project(fresh, basis)[1], q)[1]).Q
        q, r = torch.cat([q, fresh.T]), torch.cat([r, r.new_zeros(missing, width)])
    return q, r


def dense(
    matrix: Float[Tensor, "n n"] | Callable[[Tensor], Tensor],
    size: int | None = None,
    block: int = 64,
    noise: float = 0.0,
) -> Spectrum:
    """Exact spectrum from a symmetric matrix, or from n products with the columns of the identity; for small n.

    Every eigenvalue has weight 1/n, for a single probe. The antisymmetric part of a matrix is rounding alone, and the
    symmetric part has as much of it. The error is twice its largest singular value, and at least that of a product.

    Args:
        matrix: the matrix, or an operator on blocks of columns.
        size: n, needed for an operator.
        block: columns per call of the operator.
        noise: relative error of a product, see `lanczos`.

    Raises:
        FloatingPointError: products are not finite.
    """
    if callable(matrix):
        matrix = matrix_of(matrix, size, block)
    if not matrix.isfinite().all():
        raise FloatingPointError(NOT_FINITE)
    matrix = matrix.double().cpu()
    value = torch.linalg.eigvalsh(_symmetric(matrix)).numpy()
    error = max(noise, np.finfo(np.float64).eps) * np.abs(value).max()
    error = np.full_like(value, max(error, 2 * spectral_norm((matrix - matrix.T) / 2)))
    return Spectrum(value, error, np.full((1, len(value)), 1 / len(value)), len(value), True, np.zeros(0))


def matrix_of(multiply: Callable[[Tensor], Tensor], size: int, block: int = 64) -> Float[Tensor, "n n"]:
    """Matrix of an operator in float64 on the CPU, from products with the columns of the identity, in blocks."""
    matrix = torch.empty(size, size, dtype=torch.float64)
    for start in counted(range(0, size, block), "block of columns"):
        stop = min(start + block, size)
        columns = torch.zeros(size, stop - start, dtype=torch.float64)
        columns[start:stop] = torch.eye(stop - start, dtype=torch.float64)
        matrix[:, start:stop] = multiply(columns)
    return matrix


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
