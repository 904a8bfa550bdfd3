"""Neighbour lists: the nearest atoms of every atom of a padded batch, a strict number of them, ties always alike.

Dense, in torch, and without gradient: frames here have at most a few hundred atoms, where all distances of a batch
cost less than one layer of a model, on any device and without leaving it; a cell list (vesin, say) would loop over
frames on the CPU. Displacements are taken from positions and cells by index, so they can be differentiated at will.
"""

from __future__ import annotations

import math

import torch

from ..._typing import Bool, Float, Int, Mapping, Tensor

RESOLUTION = 1e-4  # [Å] distances are compared to this: above what a rotation in float32 does to them
BLOCK = 1 << 22  # pairs of an atom and an image looked at at a time: some 150 MB
FAR = torch.iinfo(torch.int64).max
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
    key = (rank * count + itself).masked_fill(~near, FAR).sort(-1).values[..., : max(1, min(most, count - 1))]
    filled = key != FAR
    return torch.where(filled, key % count, itself[:, None]), filled


@torch.no_grad()
def nearest_images(
    positions: Float[Tensor, "sample atom 3"],
    real: Bool[Tensor, "sample atom"],
    cell: Float[Tensor, "sample 3 3"],
    cutoff: float,
    most: int,
) -> tuple[
    Int[Tensor, "sample atom neighbour"], Bool[Tensor, "sample atom neighbour"], Int[Tensor, "sample atom neighbour 3"]
]:
    """`nearest` among all periodic images, and in which image each neighbour is, in lattice vectors.

    As many images are looked at as the cutoff needs, however small the cell and wherever in it, or beyond, atoms are.
    An atom may be a neighbour of its own images. Neighbours at one distance come in the order of the atoms, then of
    the images: lattice vectors turn with the positions, so that a rotation does not change this order. Where the cap
    separates such a tie, as in a perfect crystal it may, the list depends on it and on the choice of the cell.

    Args:
        cell: lattice vectors by row [Å], 0 along an axis where the frame does not repeat.
    """
    positions, cell, count = positions.detach(), cell.detach(), positions.shape[1]
    shift = shifts(positions, real, cell, cutoff)
    number, total = torch.arange(len(shift), device=cell.device), len(shift)
    itself = torch.arange(count, device=cell.device)
    repeats = ((shift == 0) | cell.any(-1)[:, None]).all(-1)[:, None, :, None]
    both = real[:, :, None, None] & real[:, None, None]
    key = itself.new_full((*real.shape, 0), FAR)
    for part in number.split(max(1, BLOCK // (real.numel() * count))):  # [sample, atom, image, atom_other]
        image = positions[:, None] + (shift[part].to(cell) @ cell)[:, :, None]
        distance = (positions[:, :, None, None] - image[:, None]).square().sum(-1).sqrt()
        rank = (distance / RESOLUTION).round().long()
        one = (shift[part] == 0).all(-1)[:, None] & (itself[:, None, None] == itself)  # an atom where it is
        near = (rank < round(cutoff / RESOLUTION)) & both & repeats[:, :, part] & ~one
        found = ((rank * count + itself) * total + part[:, None]).masked_fill(~near, FAR).flatten(2)
        key = torch.cat([key, found], -1).sort(-1).values[..., :most]
    filled = key != FAR
    neighbour = torch.where(filled, key // total % count, itself[:, None])
    return neighbour, filled, shift[torch.where(filled, key % total, total // 2)]


def shifts(
    positions: Float[Tensor, "sample atom 3"],
    real: Bool[Tensor, "sample atom"],
    cell: Float[Tensor, "sample 3 3"],
    cutoff: float,
) -> Int[Tensor, "shift 3"]:
    """Enough images for every sample, in lattice vectors, in lexicographic order; the middle one is the cell itself.

    Two atoms a distance r apart differ by at most r over the distance of the lattice planes, in lattice vectors.
    """
    inverse, padding = torch.linalg.pinv(cell), ~real[..., None]
    place = positions @ inverse
    spread = place.masked_fill(padding, -torch.inf).amax(1) - place.masked_fill(padding, torch.inf).amin(1)
    reach = (cutoff * inverse.norm(dim=1) + spread + RESOLUTION).floor().long().amax(0)
    return torch.cartesian_prod(*(torch.arange(-n, n + 1, device=cell.device) for n in reach.tolist()))


def listed(
    inputs: Mapping[str, Tensor], cutoff: float, most: int
) -> tuple[
    Int[Tensor, "sample atom neighbour"],
    Bool[Tensor, "sample atom neighbour"],
    Float[Tensor, "sample atom neighbour 3"] | None,
]:
    """The nearest neighbours, which places are filled, and where there is a `cell`, how far each is moved by it [Å].

    Args:
        inputs: `numbers`, 0 on padding, `positions` [Å], and for periodic frames `cell` [Å] as in `nearest_images`.
        cutoff, most: as in `nearest`.
    """
    real = inputs["numbers"] > 0
    if "cell" not in inputs:
        return *nearest(inputs["positions"], real, cutoff, most), None
    cell = inputs["cell"]
    neighbour, filled, shift = nearest_images(inputs["positions"], real, cell, cutoff, most)
    return neighbour, filled, (shift.to(cell).flatten(1, 2) @ cell).unflatten(1, shift.shape[1:3])


def pairs(
    inputs: Mapping[str, Tensor], cutoff: float, most: int
) -> tuple[Int[Tensor, " real"], Int[Tensor, " pair"], Int[Tensor, " pair"], Float[Tensor, "pair 3"]]:
    """Places of the real atoms in the padded batch, and the neighbours as pairs of them, by receiver.

    Receivers, senders, and the vector from one to the other [Å], with the derivatives of positions and cells.

    Args:
        inputs, cutoff, most: as in `listed`.
    """
    real, (neighbour, filled, offset) = inputs["numbers"] > 0, listed(inputs, cutoff, most)
    place = real.flatten().cumsum(0).reshape(real.shape) - 1
    sample, receiver, _ = filled.nonzero(as_tuple=True)
    atoms = real.flatten().nonzero()[:, 0]
    receiver, sender = place[sample, receiver], place[sample, neighbour[filled]]
    flat = inputs["positions"].flatten(0, 1).index_select(0, atoms)
    vector = flat.index_select(0, sender) - flat.index_select(0, receiver)
    return atoms, receiver, sender, vector if offset is None else vector + offset[filled]


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


def neighbour_mean(
    edge: Float[Tensor, "atom neighbour width"], filled: Bool[Tensor, "atom neighbour"]
) -> Float[Tensor, "atom width"]:
    """Mean over the edges of an atom; 0 for an atom without any."""
    return (edge * filled[..., None]).sum(1) / filled.sum(1, keepdim=True).clamp_min(1)
