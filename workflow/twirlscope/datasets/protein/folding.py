"""Folding of CA traces: Langevin dynamics of the angles and dihedrals of many chains at once, in torch.

Energies are in units of the temperature. A harmonic potential holds each angle and dihedral near the mean of its state.
Pair attraction and a target radius of gyration make chains compact; excluded volume keeps residues apart. The model is
not physical: without sequence and hydrogen bonds, no sheets form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..._typing import Float, Int, Tensor

BOND_LENGTH = 0.38  # [nm] between CA atoms across a trans peptide bond
MIN_SEPARATION = 3  # residues along the chain; closer pairs do not interact, as angles determine their distance
REPULSION_DISTANCE = 0.43  # [nm] closer pairs repel
REPULSION_STIFFNESS = 3000.0  # [1/nm²]
ATTRACTION_DISTANCE, ATTRACTION_WIDTH = 0.75, 0.06  # [nm] centre and width of the sigmoid that ends the attraction
ATTRACTION_DEPTH = 0.3  # per pair
GYRATION_ENERGY = 20.0  # per residue, at twice the target radius of gyration
STEP_SIZE = 0.02  # of the dynamics, in variances of a state
MAX_STEP = 0.25  # in standard deviations of a state


@dataclass(frozen=True)
class Targets:
    """Targets of the potential for each chain; padding is at the end of a chain.

    length: number of residues.
    mean, deviation: of the angle and the dihedral of residue 2, 3, ... [rad]; the dihedral of residue 2 is not used.
    radius: radius of gyration [nm].
    """

    length: Int[Tensor, " chain"]
    mean: Float[Tensor, "chain place 2"]
    deviation: Float[Tensor, "chain place 2"]
    radius: Float[Tensor, " chain"]


def positions_of(
    q: Float[Tensor, "chain place 2"],
) -> tuple[Float[Tensor, "chain n 3"], Float[Tensor, "chain bond 3 3"]]:
    """Positions [nm] and the frame of each bond, from angles and dihedrals; there are two more residues than those.

    The columns of a frame are the direction of the bond and two axes across it. The next angle turns about the last.
    """
    bend, turn = math.pi - q[..., 0], torch.cat([torch.zeros_like(q[:, :1, 1]), q[:, 1:, 1]], 1)
    c, s, ct, st, zero = bend.cos(), bend.sin(), turn.cos(), turn.sin(), torch.zeros_like(bend)
    rows = [c, -s, zero, ct * s, ct * c, -st, st * s, st * c, ct]
    product = torch.stack(rows, -1).unflatten(-1, (3, 3))
    shift = 1
    while shift < product.shape[1]:  # products of all frames before, in log2(n) steps
        product = torch.cat([product[:, :shift], product[:, :-shift] @ product[:, shift:]], 1)
        shift *= 2
    frames = torch.cat([torch.eye(3).to(q).expand(len(q), 1, 3, 3), product], 1)
    return torch.nn.functional.pad(BOND_LENGTH * frames[..., 0].cumsum(1), (0, 0, 1, 0)), frames


def nonlocal_gradient(x: Float[Tensor, "chain n 3"], targets: Targets, share: float) -> Float[Tensor, "chain n 3"]:
    """Gradient, by the positions, of the energy of pairs and of the radius of gyration, in closed form.

    Repulsion: REPULSION_STIFFNESS / 2 times the squared overlap of a pair. Attraction: -ATTRACTION_DEPTH times a
    sigmoid that falls with the distance. Gyration: GYRATION_ENERGY per residue times the squared relative error of the
    radius.

    Args:
        x: positions [nm].
        targets: of the potential.
        share: factor of attraction and gyration; the repulsion is not scaled.
    """
    real = torch.arange(x.shape[1], device=x.device) < targets.length[:, None]
    r = _distances(x)
    well = torch.sigmoid((ATTRACTION_DISTANCE - r) / ATTRACTION_WIDTH)
    slope = (share * ATTRACTION_DEPTH / ATTRACTION_WIDTH) * well * (1 - well)
    slope = slope - REPULSION_STIFFNESS * (REPULSION_DISTANCE - r).clamp_min(0)
    pull = slope * _pairs(real) / r  # dE/dr / r of each pair
    from_pairs = pull.sum(2, keepdim=True) * x - pull @ x
    radius, centred = _gyration(x, real, targets)
    stiff = share * 2 * GYRATION_ENERGY * (radius / targets.radius - 1) / (targets.radius * radius)
    return from_pairs + stiff[:, None, None] * centred


def torques(
    x: Float[Tensor, "chain n 3"], frames: Float[Tensor, "chain bond 3 3"], g: Float[Tensor, "chain n 3"]
) -> Float[Tensor, "chain place 2"]:
    """Derivatives by angles and dihedrals of a function whose gradient by positions is `g`.

    An angle or dihedral rotates all residues after it, about the axis of the angle or about the bond before.
    """
    force = g.flip(1).cumsum(1).flip(1)[:, 2:]
    moment = torch.linalg.cross(x, g).flip(1).cumsum(1).flip(1)[:, 2:] - torch.linalg.cross(x[:, 1:-1], force)
    angle = -(moment * frames[:, 1:, :, 2]).sum(-1)
    dihedral = (moment * frames[:, :-1, :, 0]).sum(-1)
    return torch.stack([angle, torch.cat([torch.zeros_like(dihedral[:, :1]), dihedral[:, 1:]], 1)], -1)


def fold(targets: Targets, steps: int, generator: torch.Generator) -> Float[Tensor, "chain n 3"]:
    """Positions [nm] after Langevin dynamics in which attraction and gyration rise from 0 to their full strength.

    Steps are preconditioned by the variance of each state. Their size is limited, as a rotation moves distant residues
    far.
    """
    deviation = targets.deviation
    q = targets.mean + deviation * torch.randn(targets.mean.shape, generator=generator)
    for i in range(steps):
        share, size = i / steps, STEP_SIZE * (1 - i / steps)
        x, frames = positions_of(q)
        force = torques(x, frames, nonlocal_gradient(x, targets, share)) * deviation + (q - targets.mean) / deviation
        noise = math.sqrt(2 * size) * torch.randn(q.shape, generator=generator)
        q = q + deviation * ((-size * force).clamp(-MAX_STEP, MAX_STEP) + noise)
    return positions_of(q)[0]


def _distances(x: Float[Tensor, "chain n 3"]) -> Float[Tensor, "chain n n"]:
    """Distances of all pairs [nm], never 0."""
    square = (x**2).sum(-1)
    return (square[:, :, None] + square[:, None] - 2 * x @ x.mT).clamp_min(1e-6).sqrt()


def _pairs(real: Tensor) -> Float[Tensor, "chain n n"]:
    """1 for pairs of real residues at least MIN_SEPARATION apart along the chain."""
    index = torch.arange(real.shape[1], device=real.device)
    far = (index[:, None] - index).abs() >= MIN_SEPARATION
    return (real[:, :, None] & real[:, None] & far).float()


def _gyration(x: Tensor, real: Tensor, targets: Targets) -> tuple[Float[Tensor, " chain"], Float[Tensor, "chain n 3"]]:
    """Radius of gyration [nm], and centred positions, 0 on padding."""
    mask = real[..., None].to(x)
    centred = (x - (x * mask).sum(1, keepdim=True) / targets.length[:, None, None]) * mask
    return ((centred**2).sum((1, 2)) / targets.length).sqrt(), centred
