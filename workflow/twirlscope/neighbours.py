"""Neighbour lists: the nearest atoms of every atom of a padded batch, a strict number of them, ties always alike.

Dense, in torch, and without gradient: molecules here have at most a few hundred atoms, where all distances of a batch
cost less than one layer of a model, on any device and without leaving it; a cell list (vesin, say) would loop over
molecules on the CPU. Displacements are taken from the positions by index, so they can be differentiated at will.
"""

from __future__ import annotations

import math

import torch

from .hints import Bool, Float, Int, Tensor

RESOLUTION = 1e-4  # [Å] distances are compared to this: above what a rotation in float32 does to them
SMOOTH = 1e-6  # under the root of an order parameter, which has a kink at 0


@torch.no_grad()
def nearest(
    positions: Float[Tensor, "sample atom 3"],
    real: Bool[Tensor, "sample atom"],
    cutoff: float,
    most: int,
    span: int = 0,
) -> tuple[Int[Tensor, "sample atom neighbour"], Bool[Tensor, "sample atom neighbour"]]:
    """Index in its sample of each neighbour of each atom, nearest first, and which of these places are filled.

    Neighbours at one distance, to the `RESOLUTION`, come in the order of the atoms, so that rounding, and with it a
    rotation, does not decide which of them the cap keeps. Where the cap separates such a tie, the list depends on
    the order of the atoms. A place that is not filled holds the atom itself.

    Args:
        positions: [Å].
        real: False on padding, which neither has neighbours nor is one.
        cutoff: largest distance of a neighbour [Å].
        most: the strict cap; places are as many, or as the batch has atoms besides one.
        span: atoms at most so many places apart in the sample are no neighbours, as along a chain.
    """
    count = positions.shape[1]
    distance = (positions[:, :, None] - positions[:, None]).square().sum(-1).sqrt()
    rank = (distance / RESOLUTION).round().long()
    itself = torch.arange(count, device=positions.device)
    apart = (itself[:, None] - itself).abs() > span
    near = (rank < round(cutoff / RESOLUTION)) & real[:, :, None] & real[:, None] & apart
    far = torch.iinfo(torch.int64).max
    key = (rank * count + itself).masked_fill(~near, far).sort(-1).values[..., : max(1, min(most, count - 1))]
    filled = key != far
    return torch.where(filled, key % count, itself[:, None]), filled


@torch.no_grad()
def pairs(
    positions: Float[Tensor, "sample atom 3"], real: Bool[Tensor, "sample atom"], cutoff: float, most: int
) -> tuple[Int[Tensor, " real"], Int[Tensor, " pair"], Int[Tensor, " pair"]]:
    """Places of the real atoms in the padded batch, and `nearest` as pairs of them: receivers and senders, by receiver.

    Args:
        positions, real, cutoff, most: as in `nearest`.
    """
    neighbour, filled = nearest(positions, real, cutoff, most)
    place = real.flatten().cumsum(0).reshape(real.shape) - 1
    sample, receiver, _ = filled.nonzero(as_tuple=True)
    return real.flatten().nonzero()[:, 0], place[sample, receiver], place[sample, neighbour[filled]]


def envelope(ratio: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair 1"]:
    """A polynomial that falls from 1 at 0 to 0 at 1, with two continuous derivatives."""
    return 1 - ratio**3 * (10 - 15 * ratio + 6 * ratio**2)


def order_parameters(
    cosine: Float[Tensor, "atom neighbour neighbour_other"], filled: Bool[Tensor, "atom neighbour"], degrees: int
) -> Float[Tensor, "atom degree"]:
    """Bond-orientational order of each atom, sqrt(SUM_m (mean_j Y_lm(d_j))^2), for l = 0 .. degrees - 1.

    By the addition theorem the sum is (2l+1)/(4 pi) times the mean of P_l(cosine) over pairs of edges: no spherical
    harmonics, and nothing that an axis enters into. Source: Steinhardt, Nelson, Ronchetti, Phys. Rev. B 28, 784 (1983).
    """
    share = filled.to(cosine) / filled.sum(1, keepdim=True).clamp_min(1)
    legendre = [torch.ones_like(cosine), cosine]
    for l in range(1, degrees - 1):  # noqa: E741
        legendre.append(((2 * l + 1) * cosine * legendre[l] - l * legendre[l - 1]) / (l + 1))
    means = torch.stack([torch.einsum("aij,ai,aj->a", p, share, share) for p in legendre[:degrees]], -1)
    factor = (2 * torch.arange(degrees, device=means.device, dtype=means.dtype) + 1) / (4 * math.pi)
    return (factor * means + SMOOTH).sqrt()


def padded(values: Float[Tensor, "real c"], real: Bool[Tensor, "sample atom"]) -> Float[Tensor, "sample atom c"]:
    """Values of the real atoms as a tensor of the batch, 0 on padding."""
    place = real.flatten().nonzero()[:, 0]
    flat = values.new_zeros(real.numel(), values.shape[-1]).index_add(0, place, values)
    return flat.reshape(*real.shape, values.shape[-1])


def atom_mean(values: Float[Tensor, "sample atom c"], real: Bool[Tensor, "sample atom"]) -> Float[Tensor, "sample c"]:
    """Mean over the real atoms of a sample of values that are 0 on padding."""
    return values.sum(1) / real.sum(1, keepdim=True)
