"""CA traces folded in the space of their angles and dihedrals: Langevin dynamics of many chains at once, in torch.

Energies are in units of the temperature. Each angle and dihedral is held by a harmonic well around the mean of its
state; chains are drawn together by pair attraction and a radius of gyration, and kept apart by excluded volume. No
physics: there is no sequence and no hydrogen bond, so no sheets pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..._typing import Float, Int, Tensor

BOND = 0.38  # [nm] between CA atoms across a trans peptide bond
NEAR = 3  # residues along the chain: closer pairs are a matter of the angles
VOLUME = 0.43  # [nm] closer pairs repel
STIFFNESS = 3000.0  # [1/nm²] of that repulsion
REACH, WIDTH = 0.75, 0.06  # [nm] where the attraction ends, and how sharply
DEPTH = 0.3  # of the attraction of a pair
GYRATION = 20.0  # energy of a residue at twice the radius of gyration
STEP = 0.02  # of the dynamics, in variances of a state
LARGEST = 0.25  # of a step, in standard deviations of a state


@dataclass(frozen=True)
class Wells:
    """What holds each chain. Padding is at the end of a chain: `length` says how many residues are real.

    mean, deviation: of the angle and the dihedral of residue 2, 3, ... [rad]; the dihedral of residue 2 means nothing.
    radius: radius of gyration that is drawn to [nm].
    """

    length: Int[Tensor, " chain"]
    mean: Float[Tensor, "chain place 2"]
    deviation: Float[Tensor, "chain place 2"]
    radius: Float[Tensor, " chain"]


def trace(q: Float[Tensor, "chain place 2"]) -> tuple[Float[Tensor, "chain n 3"], Float[Tensor, "chain bond 3 3"]]:
    """Positions [nm] of two residues more than there are places, and the frame of each bond: columns are its direction,
    and two axes across it of which the last is that of the next angle.
    """
    bend, turn = math.pi - q[..., 0], torch.cat([torch.zeros_like(q[:, :1, 1]), q[:, 1:, 1]], 1)
    c, s, ct, st, zero = bend.cos(), bend.sin(), turn.cos(), turn.sin(), torch.zeros_like(bend)
    rows = [c, -s, zero, ct * s, ct * c, -st, st * s, st * c, ct]
    product = torch.stack(rows, -1).unflatten(-1, (3, 3))
    shift = 1
    while shift < product.shape[1]:  # a product of all frames before, in logarithmically many rounds
        product = torch.cat([product[:, :shift], product[:, :-shift] @ product[:, shift:]], 1)
        shift *= 2
    frames = torch.cat([torch.eye(3).to(q).expand(len(q), 1, 3, 3), product], 1)
    return torch.nn.functional.pad(BOND * frames[..., 0].cumsum(1), (0, 0, 1, 0)), frames


def gradient(x: Float[Tensor, "chain n 3"], wells: Wells, share: float) -> Float[Tensor, "chain n 3"]:
    """Gradient by the positions of the energy of all that is not local, in closed form.

    The wall is STIFFNESS / 2 times the squared overlap of a pair, the attraction -DEPTH over a sigmoid of its distance,
    the radius of gyration GYRATION a residue times its squared relative error.

    Args:
        share: factor of attraction and radius; the wall counts whole.
    """
    real = torch.arange(x.shape[1], device=x.device) < wells.length[:, None]
    r = _distances(x)
    well = torch.sigmoid((REACH - r) / WIDTH)
    slope = (share * DEPTH / WIDTH) * well * (1 - well) - STIFFNESS * (VOLUME - r).clamp_min(0)
    pull = slope * _pairs(real) / r  # dE/dr / r of each pair
    found = pull.sum(2, keepdim=True) * x - pull @ x
    radius, centred = _gyration(x, real, wells)
    stiff = share * 2 * GYRATION * (radius / wells.radius - 1) / (wells.radius * radius)
    return found + stiff[:, None, None] * centred


def torques(
    x: Float[Tensor, "chain n 3"], frames: Float[Tensor, "chain bond 3 3"], g: Float[Tensor, "chain n 3"]
) -> Float[Tensor, "chain place 2"]:
    """Derivatives by angles and dihedrals of a function whose gradient by positions is `g`: all that lies behind a
    place turns about the axis of the angle, or about the bond before.
    """
    force = g.flip(1).cumsum(1).flip(1)[:, 2:]
    moment = torch.linalg.cross(x, g).flip(1).cumsum(1).flip(1)[:, 2:] - torch.linalg.cross(x[:, 1:-1], force)
    angle = -(moment * frames[:, 1:, :, 2]).sum(-1)
    dihedral = (moment * frames[:, :-1, :, 0]).sum(-1)
    return torch.stack([angle, torch.cat([torch.zeros_like(dihedral[:, :1]), dihedral[:, 1:]], 1)], -1)


def folded(wells: Wells, steps: int, generator: torch.Generator) -> Float[Tensor, "chain n 3"]:
    """Positions [nm] after Langevin dynamics in which the attraction rises from nothing to all of it.

    Preconditioned by the variance of each state, and with steps of limited length, so that no lever arm is too long.
    """
    deviation = wells.deviation
    q = wells.mean + deviation * torch.randn(wells.mean.shape, generator=generator)
    for i in range(steps):
        share, size = i / steps, STEP * (1 - i / steps)
        x, frames = trace(q)
        force = torques(x, frames, gradient(x, wells, share)) * deviation + (q - wells.mean) / deviation
        noise = math.sqrt(2 * size) * torch.randn(q.shape, generator=generator)
        q = q + deviation * ((-size * force).clamp(-LARGEST, LARGEST) + noise)
    return trace(q)[0]


def _distances(x: Float[Tensor, "chain n 3"]) -> Float[Tensor, "chain n n"]:
    """Distances of all pairs [nm], never 0."""
    square = (x**2).sum(-1)
    return (square[:, :, None] + square[:, None] - 2 * x @ x.mT).clamp_min(1e-6).sqrt()


def _pairs(real: Tensor) -> Float[Tensor, "chain n n"]:
    """1 for pairs of real residues that are not near along the chain."""
    place = torch.arange(real.shape[1], device=real.device)
    far = (place[:, None] - place).abs() >= NEAR
    return (real[:, :, None] & real[:, None] & far).float()


def _gyration(x: Tensor, real: Tensor, wells: Wells) -> tuple[Float[Tensor, " chain"], Float[Tensor, "chain n 3"]]:
    """Radius of gyration [nm], and positions from the mean, 0 on padding."""
    mask = real[..., None].to(x)
    centred = (x - (x * mask).sum(1, keepdim=True) / wells.length[:, None, None]) * mask
    return ((centred**2).sum((1, 2)) / wells.length).sqrt(), centred
