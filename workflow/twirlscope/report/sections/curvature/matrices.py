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
        "The negative eigenvalues of the corrected twirled prediction error are made by its correction; all ratios "
        "are of the part that is not corrected."
    )
