"""Principal axes of points, and the rotations into them: the frames of a sample."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .._typing import Float, Int, Tensor
from ..errors import UserError
from .rotation_sets import FRAME_SIGNS

# relative distance of moments below which axes are arbitrary: float32 rotates the axes by 1e-7 over this distance
DEGENERATE = 1e-3


class Frames(NamedTuple):
    """Rotations of each sample into its principal axes, and how well the axes are defined.

    gaps: differences between the three moments, ascending, over the largest moment; 0 if axes are arbitrary.
    """

    rotation: Float[Tensor, "sample 4 3 3"]
    gaps: Float[Tensor, "sample 2"]

    @property
    def gap(self) -> Float[Tensor, " sample"]:
        """The smaller of both gaps."""
        return self.gaps.amin(-1)

    @property
    def kind(self) -> Int[Tensor, " sample"]:
        """Axes that are defined: 0 all, 1 the last one, 2 the first one, 3 none."""
        return ((self.gaps < DEGENERATE) * torch.tensor([1, 2])).sum(-1)


def frames(
    points: Float[Tensor, "sample point 3"], real: Float[Tensor, "sample point"] | Int[Tensor, "sample point"]
) -> Frames:
    """Four rotations that map the principal axes of the points, about their mean, to the axes of the lab.

    Computed in float64 on the CPU for points of any dtype, since rounding moves the axes by its ratio to `gap`.

    Args:
        real: above 0 for real points, which all have the same weight; 0 on padding.

    Raises:
        UserError: points that are not finite, also on padding, or a sample without a real point.
    """
    here, weight = points.detach().cpu().double(), (real.cpu() > 0).double()
    _check_points(here, weight)
    weight = weight / weight.sum(1, keepdim=True)
    centred = here - torch.einsum("sp,spi->si", weight, here)[:, None]
    moments, axes = torch.linalg.eigh(torch.einsum("sp,spi,spj->sij", weight, centred, centred))
    first, second = axes[..., 0], axes[..., 1]
    right_handed = torch.stack([first, second, torch.linalg.cross(first, second)], -2)
    gaps = moments.diff(dim=-1) / moments[:, -1:].clamp_min(torch.finfo(torch.float64).tiny)
    return Frames(FRAME_SIGNS[:, :, None] * right_handed[:, None], gaps)


def _check_points(points: Float[Tensor, "sample point 3"], real: Float[Tensor, "sample point"]) -> None:
    """Refuses points without axes. Raises UserError."""
    bad = ~points.isfinite().all(-1)
    if bad.any():
        n, padding = int(bad.any(1).nonzero()[0, 0]), not (bad & (real > 0)).any()
        got = f"NaN or infinity in {int(bad.any(1).sum())} of {len(bad)} samples, the first is number {n}"
        raise UserError("frames, points", "finite points", got + (", on padding only: fill it with 0" * padding))
    empty = (real.sum(1) == 0).nonzero()[:, 0]
    if len(empty):
        got = f"none in {len(empty)} of {len(real)}, the first is number {int(empty[0])}"
        raise UserError("frames, mask", "a real point in every sample", got)


def canonical_rotation(
    points: Float[Tensor, "sample point 3"], real: Float[Tensor, "sample point"] | Int[Tensor, "sample point"]
) -> Float[Tensor, "sample 3 3"]:
    """The one of the four frames in which the points are skewed towards the positive second and third axes.

    Turned points have the same image, unless moments are equal or the points are not skewed along an axis.
    Arguments and errors as in `frames`.
    """
    rotation, here = frames(points, real).rotation, points.detach().cpu().double()
    weight = (real.cpu() > 0).double()
    centred = here - torch.einsum("sp,spi->si", weight / weight.sum(1, keepdim=True), here)[:, None]
    turned = torch.einsum("sfij,spj->sfpi", rotation, centred)
    skewed = (weight[:, None, :, None] * turned.pow(3)).sum(2)[..., 1:].sign().sum(-1)
    return rotation[torch.arange(len(rotation)), skewed.argmax(1)]
