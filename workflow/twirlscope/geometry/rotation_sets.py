"""Rotation sets: weighted rotations that average over SO(3) exactly up to a degree, and their error at other degrees.

A set {g_i, w_i} replaces the average over all rotations by the sum SUM_i w_i f(g_i). This is exact for every f of
degree up to t (a polynomial of that degree in the entries of the matrix) if and only if alpha_l = 0 for l = 1..t, where

    alpha_l = |SUM_i w_i D_l(g_i)|^2 / (2l+1) = SUM_ij w_i w_j chi_l(g_i^-1 g_j) / (2l+1),   0 <= alpha_l <= 1,

with the Wigner matrices D_l and their characters chi_l; alpha_0 = 1. K independent uniform rotations have 1/K on
average at every degree. For {h g_i g0} with h and g0 uniform, the mean squared error of SUM_i w_i z(h g_i g0) as the
average of z is SUM_{l>=1} q_l alpha_l for any z, with q_l the mean square of its part of degree l.

Source: Gräf & Potts, Numer. Funct. Anal. Optim. 30, 665 (2009), for exact sets as products of rules on the sphere and
the circle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .._typing import Array, Float, Tensor
from ..errors import Deferred, UserError
from . import so3

integrate, transform = Deferred("scipy.integrate"), Deferred("scipy.spatial.transform")

# degree to which each set is exact; in the order of their sizes: 4, 12, 24, 24, 60, 84, 168, 208, 360, 380, 600, 1376
DEGREES = {"D2": 1, "T": 2, "O": 3, "lebedev3": 3, "I": 5, "lebedev5": 5, "O7": 7, "lebedev7": 7, "I6": 9}
DEGREES |= {"lebedev9": 9, "lebedev11": 11, "lebedev15": 15}  # the rule of degree 13 has negative weights

# groups and the rotations k of their cosets {h k}, found by minimising SUM_l alpha_l, then solved to rounding
COSETS = {
    "O7": (
        "O",
        [
            (0.2571414644681234, 0.42133044915457746, 0.29429928752408807, -0.8183806261326113),
            (0.9121129085144657, 0.22560659464544042, -0.23558878572332417, 0.24829343651248534),
            (0.6671430799759737, 0.5909466706704138, -0.23756500797122335, 0.3863483017322033),
            (-0.5837178508744618, -0.28689156634154767, -0.3757417020123376, 0.6601400405228156),
            (0.443329993142447, -0.3687439093435797, -0.8082447008191384, 0.11927677938355516),
            (-0.15618480827248477, -0.02908993677359678, 0.8367544884910495, 0.5240248154748756),
            (-0.8137472087045111, -0.5736845931722891, -0.0247882276077761, -0.08992781357526146),
        ],
    ),
    "I6": (
        "I",
        [
            (0.1374569464257954, 0.5038685092872038, 0.12574905296308506, -0.8434508218662629),
            (0.7035103847345442, 0.2726334088823111, -0.4723040331973326, 0.4557116008589174),
            (0.6342020112477578, 0.3524714746802727, 0.05373090702312025, 0.6860500405192653),
            (-0.7096911590265585, -0.1451661892579265, -0.4605503737607253, 0.5129898532375939),
            (0.13395794127708674, -0.29029954179492007, -0.9174662001185868, -0.2367218148849514),
            (-0.013240015168850957, -0.1640940346783614, 0.7437323402916578, 0.6478889224130933),
        ],
    ),
}

INDEPENDENT = {"haar1": 1, "haar2": 2, "haar4": 4}  # numbers of independent uniform rotations per sample, no sets
FINITE_GROUPS = {"octahedral": "O"}  # finite groups by name, and the set that holds all rotations of each
BLOCK = 2**18  # pairs of rotations per block, 2 MB per array
# frame averaging: signs of the principal axes that keep the frame right-handed, and the number of forward passes
FRAME_SIGNS = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
FRAME_PASSES = len(FRAME_SIGNS)


@dataclass(frozen=True, eq=False)
class RotationSet:
    """Rotations and their weights.

    quaternion: unit quaternions in float64, scalar first.
    weight: positive, of sum 1.
    degree: the weighted sums of the Wigner matrices of degree 1 up to this one are 0; 0 if there are none.
    """

    name: str
    quaternion: Float[Tensor, "n 4"]
    weight: Float[Tensor, " n"]
    degree: int

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def equal(self) -> bool:
        """True if all weights are equal, so that plain means suffice."""
        return bool((self.weight == self.weight[0]).all())

    def alpha(self, highest: int) -> Float[Array, " degree"]:
        """alpha_l for l = 0..highest: the share of degree l that remains after averaging over the set.

        From chi_l = 1 + 2 SUM_{m=1..l} cos(m w) by Chebyshev's recurrence, accurate to 1e-15 at every angle w.
        """
        q, weight = self.quaternion.numpy(), self.weight.numpy()
        cosines = np.zeros(highest + 1)  # SUM_ij w_i w_j cos(m w_ij)
        rows = max(1, BLOCK // len(q))
        for start in range(0, len(q), rows):
            part = slice(start, start + rows)
            cosine = np.clip(2 * (q[part] @ q.T) ** 2 - 1, -1, 1)
            before, now = cosine, np.ones_like(cosine)
            for m in range(highest + 1):
                cosines[m] += weight[part] @ now @ weight
                before, now = now, 2 * cosine * now - before
        characters = 2 * np.cumsum(cosines) - cosines[0]
        return characters / (2 * np.arange(highest + 1) + 1)


def rotation_set(name: str) -> RotationSet:
    """The rotation set of a name; `DEGREES` holds all names and the degree to which each is exact.

    `D2`, `T`, `O` and `I` are groups, `O7` and `I6` are unions of 7 cosets of O and 6 of I, all with equal weights.
    `lebedev7` is Lebedev's rule of degree 7 on the sphere times 8 equal angles, and so on.

    Source: scipy `Rotation.create_group` and `lebedev_rule`.

    Raises:
        UserError: no such set.
    """
    if name not in DEGREES:
        raise UserError("rotation_set", "the name of a rotation set", repr(name), DEGREES)
    if name.startswith("lebedev"):
        return RotationSet(name, *_lebedev(DEGREES[name]), DEGREES[name])
    group, representatives = COSETS.get(name, (name, [(1.0, 0.0, 0.0, 0.0)]))
    elements = torch.from_numpy(transform.Rotation.create_group(group).as_quat(scalar_first=True))
    cosets = torch.tensor(representatives, dtype=torch.float64)
    quaternion = so3.product(elements[:, None], cosets).reshape(-1, 4)
    return RotationSet(name, quaternion, torch.full_like(quaternion[:, 0], 1 / len(quaternion)), DEGREES[name])


def uniform(group: str, *shape: int, generator: torch.Generator) -> Float[Tensor, "*b 4"]:
    """Independent rotations, uniform on a group, as unit quaternions in float64, scalar first.

    Args:
        group: `SO3` for all rotations, `octahedral` for the 24 of a cube.
    """
    if group == "SO3":
        return so3.haar(*shape, generator=generator)
    quaternion = rotation_set(FINITE_GROUPS[group]).quaternion
    return quaternion[torch.randint(len(quaternion), shape, generator=generator)]


def smallest(degree: int) -> RotationSet:
    """The set with the fewest rotations that is exact to at least this degree.

    Raises:
        UserError: no set is exact to so high a degree.
    """
    for name, exact in DEGREES.items():
        if exact >= degree:
            return rotation_set(name)
    raise UserError("degree", f"a degree up to {max(DEGREES.values())}, the highest of any set", degree)


def randomised(
    rotations: RotationSet, samples: int, replicates: int, generator: torch.Generator, group: str = "SO3"
) -> Float[Tensor, "sample replicate n 4"]:
    """{h g_i g0} as unit quaternions, h and g0 uniform on a group and independent for each sample and replicate.

    Every such set is as exact as the set itself, with the same alpha_l and weights, and its average is unbiased.
    """
    left, right = uniform(group, 2, samples, replicates, 1, generator=generator)
    return so3.product(left, so3.product(rotations.quaternion, right))


def _lebedev(degree: int) -> tuple[Float[Tensor, "n 4"], Float[Tensor, " n"]]:
    """Lebedev's points for the image of the z axis, times equal angles about it: R_z(azimuth) R_y(polar) R_z(angle)."""
    points, weight = (torch.from_numpy(a) for a in integrate.lebedev_rule(degree))
    x, y, z = points
    image = so3.product(
        so3.axis_rotation(2, torch.atan2(y, x)), so3.axis_rotation(1, torch.atan2(torch.hypot(x, y), z))
    )
    count = degree + 1
    angles = so3.axis_rotation(2, 2 * math.pi * torch.arange(count, dtype=torch.float64) / count)
    quaternion = so3.product(image[:, None], angles).reshape(-1, 4)
    return quaternion, (weight / weight.sum()).repeat_interleave(count) / count


def sample_rotations(
    kind: str, samples: int, count: int, seed: int, group: str = "SO3"
) -> Float[Tensor, "sample rotation 4"]:
    """Rotations of each sample as unit quaternions: h g_i k for a set, or independent ones.

    h and k are uniform and drawn once per sample. With a uniform rotation on both sides, the error that remains after
    twirling over the set is SUM_l q_l alpha_l for any model.

    Args:
        kind: name of a rotation set with equal weights, or `independent`.
        samples: number of samples.
        count: number of independent rotations per sample; a set has its own number.
        seed: of the random rotations.
        group: the rotations that act on the samples; a set must be a subset of it.

    Raises:
        UserError: no such set, or one with unequal weights.
    """
    generator = torch.Generator().manual_seed(seed)
    if kind == "independent":
        return uniform(group, samples, count, generator=generator)
    chosen = rotation_set(kind)
    if not chosen.equal:
        raise UserError("rotation_set", "a set of rotations with equal weights", repr(kind))
    return randomised(chosen, samples, 1, generator, group)[:, 0]
