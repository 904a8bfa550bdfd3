"""Neighbour lists of a padded batch: the nearest atoms of every atom, at most a fixed number, with reproducible ties.

Dense, in torch, and without gradient. Samples have at most a few hundred atoms: all distances of a batch cost less than
one layer of a model, on any device. A cell list (vesin, say) would loop over samples on the CPU. Displacements are
computed from positions and cells by index, so that they have derivatives of every order.
"""

from __future__ import annotations

import math

import torch

from ..._typing import Bool, Float, Int, Mapping, Tensor

RESOLUTION = 1e-4  # [Å] smaller differences of distances count as ties: rotations in float32 make smaller ones
BLOCK = 1 << 22  # pairs of atoms and periodic images per pass: about 150 MB
NO_NEIGHBOUR = torch.iinfo(torch.int64).max  # sort key of a pair beyond the cutoff
SMOOTHING = 1e-6  # under the root of an order parameter, which has a kink at 0


@torch.no_grad()
def nearest_neighbours(
    positions: Float[Tensor, "sample atom 3"],
    real: Bool[Tensor, "sample atom"],
    cutoff: float,
    max_neighbours: int,
    span: int = 0,
) -> tuple[Int[Tensor, "sample atom neighbour"], Bool[Tensor, "sample atom neighbour"]]:
    """Neighbours of each atom as indices in its sample, nearest first, and the mask of the entries that exist.

    Neighbours at the same distance, to the `RESOLUTION`, are in the order of the atoms. So rounding, and with it a
    rotation, does not decide which of them stay below the maximum. Where the maximum separates such a tie, the list
    depends on the order of the atoms. Entries that are masked out hold the atom itself.

    Args:
        positions: [Å].
        real: False on padding, which neither has neighbours nor is one.
        cutoff: largest distance of a neighbour [Å].
        max_neighbours: maximum per atom; the list is as long, or one shorter than the atoms of the batch.
        span: atoms whose indices differ by at most this are no neighbours, as along a chain.
    """
    count = positions.shape[1]
    distance = (positions[:, :, None] - positions[:, None]).square().sum(-1).sqrt()
    rank = (distance / RESOLUTION).round().long()
    atom = torch.arange(count, device=positions.device)
    apart = (atom[:, None] - atom).abs() > span
    near = (rank < round(cutoff / RESOLUTION)) & real[:, :, None] & real[:, None] & apart
    key = (rank * count + atom).masked_fill(~near, NO_NEIGHBOUR).sort(-1).values
    key = key[..., : max(1, min(max_neighbours, count - 1))]
    filled = key != NO_NEIGHBOUR
    return torch.where(filled, key % count, atom[:, None]), filled


@torch.no_grad()
def periodic_neighbours(
    positions: Float[Tensor, "sample atom 3"],
    real: Bool[Tensor, "sample atom"],
    cell: Float[Tensor, "sample 3 3"],
    cutoff: float,
    max_neighbours: int,
) -> tuple[
    Int[Tensor, "sample atom neighbour"], Bool[Tensor, "sample atom neighbour"], Int[Tensor, "sample atom neighbour 3"]
]:
    """`nearest_neighbours` among all periodic images, and the image of each neighbour in lattice vectors.

    All images within the cutoff count, however small the cell is and wherever in it, or outside, the atoms are. An
    atom may be a neighbour of its own images. Neighbours at the same distance are in the order of the atoms, then of
    the images. Lattice vectors rotate with the positions, so a rotation does not change this order. Where the maximum
    separates such a tie, as in a perfect crystal it may, the list depends on this order and on the choice of the cell.

    Args:
        cell: lattice vectors by row [Å], 0 along an axis that is not periodic.
    """
    positions, cell, count = positions.detach(), cell.detach(), positions.shape[1]
    shift = image_shifts(positions, real, cell, cutoff)
    number, total = torch.arange(len(shift), device=cell.device), len(shift)
    atom = torch.arange(count, device=cell.device)
    repeats = ((shift == 0) | cell.any(-1)[:, None]).all(-1)[:, None, :, None]
    both = real[:, :, None, None] & real[:, None, None]
    key = atom.new_full((*real.shape, 0), NO_NEIGHBOUR)
    for part in number.split(max(1, BLOCK // (real.numel() * count))):  # [sample, atom, image, atom_other]
        image = positions[:, None] + (shift[part].to(cell) @ cell)[:, :, None]
        distance = (positions[:, :, None, None] - image[:, None]).square().sum(-1).sqrt()
        rank = (distance / RESOLUTION).round().long()
        itself = (shift[part] == 0).all(-1)[:, None] & (atom[:, None, None] == atom)
        near = (rank < round(cutoff / RESOLUTION)) & both & repeats[:, :, part] & ~itself
        keys = ((rank * count + atom) * total + part[:, None]).masked_fill(~near, NO_NEIGHBOUR).flatten(2)
        key = torch.cat([key, keys], -1).sort(-1).values[..., :max_neighbours]
    filled = key != NO_NEIGHBOUR
    neighbour = torch.where(filled, key // total % count, atom[:, None])
    return neighbour, filled, shift[torch.where(filled, key % total, total // 2)]


def image_shifts(
    positions: Float[Tensor, "sample atom 3"],
    real: Bool[Tensor, "sample atom"],
    cell: Float[Tensor, "sample 3 3"],
    cutoff: float,
) -> Int[Tensor, "shift 3"]:
    """Periodic images that are enough for every sample, in lattice vectors, in lexicographic order.

    The middle one is the cell itself. Along each lattice vector, two atoms at distance r differ by at most r over the
    distance of the lattice planes, in units of that vector.
    """
    inverse, padding = torch.linalg.pinv(cell), ~real[..., None]
    fractional = positions @ inverse
    extent = fractional.masked_fill(padding, -torch.inf).amax(1) - fractional.masked_fill(padding, torch.inf).amin(1)
    images = (cutoff * inverse.norm(dim=1) + extent + RESOLUTION).floor().long().amax(0)
    return torch.cartesian_prod(*(torch.arange(-n, n + 1, device=cell.device) for n in images.tolist()))


def neighbour_list(
    inputs: Mapping[str, Tensor], cutoff: float, max_neighbours: int
) -> tuple[
    Int[Tensor, "sample atom neighbour"],
    Bool[Tensor, "sample atom neighbour"],
    Float[Tensor, "sample atom neighbour 3"] | None,
]:
    """Nearest neighbours, the mask of the entries that exist, and the displacement of each one's image [Å].

    The displacement is None if the inputs have no `cell`.

    Args:
        inputs: `numbers`, 0 on padding, `positions` [Å], and for periodic frames `cell` [Å].
        cutoff, max_neighbours: as in `nearest_neighbours`.
    """
    real = inputs["numbers"] > 0
    if "cell" not in inputs:
        return *nearest_neighbours(inputs["positions"], real, cutoff, max_neighbours), None
    cell = inputs["cell"]
    neighbour, filled, shift = periodic_neighbours(inputs["positions"], real, cell, cutoff, max_neighbours)
    return neighbour, filled, (shift.to(cell).flatten(1, 2) @ cell).unflatten(1, shift.shape[1:3])


def neighbour_pairs(
    inputs: Mapping[str, Tensor], cutoff: float, max_neighbours: int
) -> tuple[Int[Tensor, " real"], Int[Tensor, " pair"], Int[Tensor, " pair"], Float[Tensor, "pair 3"]]:
    """Real atoms of the batch, and pairs of neighbours among them: atoms, receivers, senders and vectors [Å].

    Atoms are indices into the flattened, padded batch; receivers, in ascending order, and senders are indices into
    the atoms. A vector points from receiver to sender and has derivatives by positions and cells.

    Args:
        inputs, cutoff, max_neighbours: as in `neighbour_list`.
    """
    real, (neighbour, filled, offset) = inputs["numbers"] > 0, neighbour_list(inputs, cutoff, max_neighbours)
    row = real.flatten().cumsum(0).reshape(real.shape) - 1
    sample, receiver, _ = filled.nonzero(as_tuple=True)
    atoms = real.flatten().nonzero()[:, 0]
    receiver, sender = row[sample, receiver], row[sample, neighbour[filled]]
    flat = inputs["positions"].flatten(0, 1).index_select(0, atoms)
    vector = flat.index_select(0, sender) - flat.index_select(0, receiver)
    return atoms, receiver, sender, vector if offset is None else vector + offset[filled]


def envelope(ratio: Float[Tensor, "pair 1"]) -> Float[Tensor, "pair 1"]:
    """Polynomial that falls from 1 at 0 to 0 at 1, with two continuous derivatives."""
    return 1 - ratio**3 * (10 - 15 * ratio + 6 * ratio**2)


def order_parameters(
    cosine: Float[Tensor, "atom neighbour neighbour_other"], filled: Bool[Tensor, "atom neighbour"], degrees: int
) -> Float[Tensor, "atom degree"]:
    """Bond-orientational order of each atom, sqrt(SUM_m (mean_j Y_lm(d_j))^2), for l = 0 .. degrees - 1.

    By the addition theorem the sum is (2l+1)/(4 pi) times the mean of P_l(cosine) over pairs of edges. So it needs no
    spherical harmonics and no axes.

    Source: Steinhardt, Nelson, Ronchetti, Phys. Rev. B 28, 784 (1983).
    """
    share = filled.to(cosine) / filled.sum(1, keepdim=True).clamp_min(1)
    legendre = [torch.ones_like(cosine), cosine]
    for l in range(1, degrees - 1):  # noqa: E741
        legendre.append(((2 * l + 1) * cosine * legendre[l] - l * legendre[l - 1]) / (l + 1))
    means = torch.stack([torch.einsum("aij,ai,aj->a", p, share, share) for p in legendre[:degrees]], -1)
    factor = (2 * torch.arange(degrees, device=means.device, dtype=means.dtype) + 1) / (4 * math.pi)
    return (factor * means + SMOOTHING).sqrt()


def padded(values: Float[Tensor, "real c"], real: Bool[Tensor, "sample atom"]) -> Float[Tensor, "sample atom c"]:
    """Values of the real atoms in the layout of the padded batch, 0 on padding."""
    atoms = real.flatten().nonzero()[:, 0]
    flat = values.new_zeros(real.numel(), values.shape[-1]).index_add(0, atoms, values)
    return flat.reshape(*real.shape, values.shape[-1])


def atom_mean(values: Float[Tensor, "sample atom c"], real: Bool[Tensor, "sample atom"]) -> Float[Tensor, "sample c"]:
    """Mean over the real atoms of each sample, for values that are 0 on padding."""
    return values.sum(1) / real.sum(1, keepdim=True)


def neighbour_mean(
    edge: Float[Tensor, "atom neighbour width"], filled: Bool[Tensor, "atom neighbour"]
) -> Float[Tensor, "atom width"]:
    """Mean over the edges of each atom; 0 for an atom without edges."""
    return (edge * filled[..., None]).sum(1) / filled.sum(1, keepdim=True).clamp_min(1)
