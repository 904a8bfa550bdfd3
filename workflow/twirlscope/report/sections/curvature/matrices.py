"""Looks and names that the figures of curvature share, for parts of the loss and for matrices."""

from __future__ import annotations

import xarray as xr

from ...figures import style
from ...figures.style import PARTS, Look

LOOKS = {
    "mean": Look(PARTS["mean"].colour, "-", "", PARTS["mean"].words),
    "mean_plugin": Look(style.GREY, (0, (1, 1)), "", "twirled prediction error, not corrected"),
    "equiv": Look(PARTS["equiv"].colour, (0, (4, 1.2)), "", PARTS["equiv"].words),
    "total": Look(PARTS["total"].colour, "-", "", "total loss"),
}
MATRICES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix"}


def tail_note(data: xr.Dataset) -> str:
    """The cause of the negative tail of a mean part that is corrected for its bias; empty if it is not corrected."""
    if "mean_plugin" not in data["part"].values:
        return ""
    return (
        " With independent rotations the twirled prediction error is made unbiased by subtracting the equivariance "
        f"error over the {data.attrs['rotations']} rotations. That share of the Hessian of the equivariance error is "
        "subtracted from its own: the negative tail is made by the correction and is no property of the loss. The part "
        "that is not corrected has no such tail; all ratios are of that part."
    )
