"""Spectra of large symmetric operators from matrix-vector products: block Lanczos, its error bars, its density.

The Krylov space of `probes` random vectors gives Ritz values with residual bounds (eigenvalues at both ends of the
spectrum), and by Gauss quadrature the weight of each Ritz value in the spectral measure of each probe, whose mean over
probes estimates the spectral density. Nothing here knows what the operator is.

Source: Golub and Meurant, Matrices, Moments and Quadrature (2010), chapters 4 and 6; reorthogonalisation after Daniel,
Gragg, Kaufman, Stewart, Math. Comp. 30, 772 (1976).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .hints import Array, Callable, Float, Tensor

BREAKDOWN = 1e-12  # a new direction shorter than this share of the largest product is rounding: it is replaced
DROP = 1e-3  # a block that a projection shortens by more than this is projected once more (Daniel et al.)


@dataclass(frozen=True)
class Spectrum:
    """What a run knows of the spectrum of an operator. Ritz values ascend.

    Only values with a small `error` are eigenvalues; the others are nodes of a quadrature and mean something only
    together with their weights.

    Args:
        value: the Ritz values.
        error: residual bound of each: some eigenvalue lies within it. It cannot say that none was missed.
        weight: share of each probe at each Ritz value; sums to 1, and `weight @ value` is v'Av / v'v of the probes.
        size: n, the dimension of the operator.
        complete: the whole space was spanned: the values are all eigenvalues, with their multiplicity.
        rest: estimates of the trace outside the basis, one a fresh probe; empty if not asked for.
    """

    value: Float[Array, " ritz"]
    error: Float[Array, " ritz"]
    weight: Float[Array, "probe ritz"]
    size: int
    complete: bool
    rest: Float[Array, " fresh"]

    def top(self, count: int) -> tuple[Float[Array, " rank"], Float[Array, " rank"]]:
        """The largest values, descending, and their errors; NaN where there are fewer than `count`."""
        return _padded(self.value[::-1], count), _padded(self.error[::-1], count)

    def bottom(self, count: int) -> tuple[Float[Array, " rank"], Float[Array, " rank"]]:
        """The smallest values, ascending, and their errors; NaN where there are fewer than `count`."""
        return _padded(self.value, count), _padded(self.error, count)

    def trace(self) -> tuple[float, float]:
        """The trace and its standard error over probes: NaN for a single probe, rounding when `complete`.

        With fresh probes: exact on the basis, estimated outside it; else from the quadrature, far less certain where a
        few eigenvalues are large. With P probes the error itself is known to 1 / sqrt(2 (P - 1)) only.

        Source: Meyer, Musco, Musco, Woodruff, Hutch++, arXiv:2010.09649; Chen and Hallman, arXiv:2205.01736.
        """
        if self.complete:
            return float(self.value.sum()), float(np.sqrt((self.error**2).sum()))
        each = self.value.sum() + self.rest if len(self.rest) else self.size * (self.weight @ self.value)
        return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan


def _padded(values: Array, count: int) -> Array:
    values = values[:count]
    return np.concatenate([values, np.full(count - len(values), np.nan)])


def rademacher(size: int, probes: int, seed: int) -> Float[Tensor, "n b"]:
    """Probes of independent signs, in float64 on the CPU: the same for the same seed, whatever the operator."""
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (probes, size), generator=generator).T.double() - 1.0


def lanczos(
    matvec: Callable[[Tensor], Tensor],
    probes: Float[Tensor, "n b"],
    steps: int,
    *,
    seed: int = 0,
    noise: float = 0.0,
    trace_probes: int = 0,
) -> Spectrum:
    """The spectrum of a symmetric operator by block Lanczos with full reorthogonalisation; `steps * b` products.

    The basis has the dtype and device of the probes and takes n * b * steps numbers of memory. Exhausted directions
    are replaced by random ones, so that `b * steps >= n` gives the whole spectrum whatever its multiplicities.

    Args:
        matvec: the operator on a block of columns, `[n, b] -> [n, b]`; b may shrink in the last step.
        probes: starting block, see `rademacher`.
        steps: block steps, at least 1.
        seed: of the replacements and of the fresh probes.
        trace_probes: fresh probes, a product each, for the trace outside the basis.
        noise: relative error of a product, if above rounding of the basis: no error falls below `noise * max|value|`.

    Raises:
        ValueError: no step or no probe, or products that are not finite.
    """
    if steps < 1 or probes.shape[1] < 1:
        raise ValueError("block Lanczos needs at least one step and one probe")
    generator = torch.Generator().manual_seed(seed)
    run = _krylov(matvec, probes, steps, generator)
    value, vector = torch.linalg.eigh(run.projected)
    residual = torch.zeros_like(value) if run.complete else (run.rest @ vector[run.last]).norm(dim=0)
    weight = (run.start.T @ vector[: len(run.start)]) ** 2
    weight = (weight / weight.sum(1, keepdim=True)).numpy()
    error = residual.clamp_min(max(noise, torch.finfo(probes.dtype).eps) * float(value.abs().max()))
    outside = _trace_outside(matvec, run.basis, 0 if run.complete else trace_probes, seed + 1)
    return Spectrum(value.numpy(), error.numpy(), weight, len(probes), run.complete, outside)


def _trace_outside(matvec: Callable, basis: Float[Tensor, "m n"], probes: int, seed: int) -> Float[Array, " fresh"]:
    """Hutchinson estimates of the trace of the operator on the complement of the basis."""
    if not probes:
        return np.zeros(0)
    vectors = _project(rademacher(basis.shape[1], probes, seed).to(basis), basis)[1]
    return (vectors * matvec(vectors)).sum(0).double().cpu().numpy()


@dataclass(frozen=True)
class _Krylov:
    """The basis and the operator projected on it; all but the basis on the CPU in float64.

    projected: block tridiagonal.
    basis: orthonormal rows, where the probes are.
    start: the probes in the first rows of the basis.
    rest: R of what the last product had outside the basis; `last`: the block of rows it came from.
    """

    projected: Float[Tensor, "m m"]
    basis: Float[Tensor, "m n"]
    start: Float[Tensor, "b probe"]
    rest: Float[Tensor, "c c"]
    last: slice
    complete: bool


def _krylov(matvec: Callable, probes: Float[Tensor, "n b"], steps: int, generator: torch.Generator) -> _Krylov:
    size, width = probes.shape
    basis = probes.new_empty(min(size, steps * width), size)
    projected = torch.zeros(len(basis), len(basis), dtype=torch.float64)
    block, start = _orthonormal(probes, basis[:0], probes.norm(dim=0).max(), generator)
    used, scale = 0, probes.new_zeros(())
    while True:
        last, used = slice(used, used + len(block)), used + len(block)
        basis[last] = block
        product = matvec(block.T).to(block)
        if not product.isfinite().all():
            raise ValueError("the operator returned numbers that are not finite")
        scale = torch.maximum(scale, product.norm(dim=0).max())
        coefficient, rest = _project(product, basis[:used])
        projected[last, last] = _symmetric(coefficient[last].double().cpu())
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


def _project(block: Tensor, basis: Tensor) -> tuple[Float[Tensor, "m b"], Float[Tensor, "n b"]]:
    """Coefficients of the block in the basis (rows), and what remains of it: one pass, two where a column shrank."""
    coefficient = basis @ block
    rest = block - basis.T @ coefficient
    if (rest.norm(dim=0) < DROP * block.norm(dim=0)).any():
        correction = basis @ rest
        coefficient, rest = coefficient + correction, rest - basis.T @ correction
    return coefficient, rest


def _orthonormal(block: Tensor, basis: Tensor, scale: Tensor, generator: torch.Generator):
    """Orthonormal rows q, orthogonal to the basis, and R with `block = q.T @ R`.

    Where the block has lost rank against `scale`, q has random rows instead, as far as there is
    room, and R rows of zero.
    """
    size, width = block.shape
    q, r = torch.linalg.qr(block)
    u, s, v = torch.linalg.svd(r)
    keep = min(int((s > max(BREAKDOWN, torch.finfo(s.dtype).eps) * scale).sum()), size - len(basis))
    q, r = q @ u[:, :keep], s[:keep, None] * v[:keep]
    q, change = torch.linalg.qr(_project(q, basis)[1])  # a short direction was orthogonal only to rounding / length
    q, r = q.T, change @ r
    missing = min(width, size - len(basis)) - keep
    if missing > 0:
        fresh = torch.randn(missing, size, dtype=torch.float64, generator=generator).to(block).T
        for _ in range(2):
            fresh = torch.linalg.qr(_project(fresh, torch.cat([basis, q]))[1]).Q
        q, r = torch.cat([q, fresh.T]), torch.cat([r, r.new_zeros(missing, width)])
    return q, r


def dense(
    matrix: Float[Tensor, "n n"] | Callable[[Tensor], Tensor], size: int | None = None, block: int = 64
) -> Spectrum:
    """The exact spectrum, from a symmetric matrix or from n products with the columns of the identity; for small n.

    Every eigenvalue has weight 1/n, for a single probe.

    Args:
        matrix: the matrix, or an operator on blocks of columns.
        size: n, needed for an operator.
        block: columns a call of the operator.
    """
    if callable(matrix):
        columns = torch.eye(size, dtype=torch.float64).split(block, 1)
        matrix = torch.cat([matrix(c) for c in columns], 1)
    value = torch.linalg.eigvalsh(_symmetric(matrix.double().cpu())).numpy()
    error = np.full_like(value, np.finfo(np.float64).eps * np.abs(value).max())
    return Spectrum(value, error, np.full((1, len(value)), 1 / len(value)), len(value), True, np.zeros(0))


def symlog_grid(limit: float, linear: float, points: int = 401) -> Float[Array, " grid"]:
    """Eigenvalues from -limit to limit, even in asinh(lambda / linear): logarithmic, but linear below `linear`."""
    end = np.arcsinh(limit / linear)
    return linear * np.sinh(np.linspace(-end, end, points))


def density(
    ritz_value: Float[Array, " ritz"],
    ritz_weight: Float[Array, "ritz probe"],
    grid: Float[Array, " grid"],
    width: float,
    linear: float,
) -> Float[Array, "grid probe"]:
    """Spectral density of each probe, a share of the parameters per unit of asinh(lambda / linear).

    Its integral over asinh(grid / linear), not over the grid, is 1. A density per unit of lambda would hide all but the
    null space. Ritz values that are NaN (padding of a store) count nothing.

    Args:
        ritz_value: nodes.
        ritz_weight: their weights, a column a probe.
        grid: eigenvalues to evaluate at, see `symlog_grid`.
        width: standard deviation of the Gaussian put on each node, in units of asinh(lambda / linear).
        linear: size of an eigenvalue below which the axis is linear.
    """
    real = np.isfinite(ritz_value)
    distance = np.arcsinh(grid / linear)[:, None] - np.arcsinh(ritz_value[real] / linear)
    kernel = np.exp(-0.5 * (distance / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return kernel @ ritz_weight[real]
