"""Error that remains after averaging over a set of rotations, measured on the rotations of the panel alone."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..._typing import Array, Int, Iterator
from ...estimators import degree_spectrum, loss_split
from ...geometry import rotation_sets
from ...settings.twirl import TwirlSettings
from ..panel import Panel, error_gram, set_losses, symmetric_matrices, twirling_losses


def frontier(data: xr.Dataset, panel: Panel, settings: TwirlSettings) -> xr.Dataset:
    """Losses of test-time twirling, and the equivariance error that it leaves, both predicted and measured.

    A set whose rotations are among those of the panel's set (D2 and T in O) needs no call of the calculator: its
    orientations in the replicates of the panel are random too.
    """
    inside = dict(_inside(panel))
    errors = panel.by_replicate(error_gram(data, -1))
    weights = {name: rotation_sets.rotation_set(name).weight.numpy() for name in inside}
    measured = ((n, set_losses(_chosen(errors, nodes), weights[n])) for n, nodes in inside.items())
    found = twirling_losses(data, panel, settings, measured)
    gram = panel.by_replicate(symmetric_matrices(data["panel_gram"].values[-1], data.sizes["panel_rotation"]))
    names, last = list(found["rotation_set"].values), data.isel(step=-1)
    shape = (len(names), data.sizes["term"])
    predicted, left = np.full(shape, np.nan), np.full(shape, np.nan)
    q, equiv = last["spectrum"].values, last["panel_loss_equiv"].values
    for i, name in enumerate(names):
        if name in inside:
            left[i] = _residual(_chosen(gram, inside[name]), weights[name]).mean(-1)
        if name in rotation_sets.INDEPENDENT:
            predicted[i] = equiv / rotation_sets.INDEPENDENT[name]
        else:
            chosen = rotation_sets.rotation_set(name)
            alpha, square = chosen.alpha(4 * settings.highest_degree), float((chosen.weight**2).sum())
            predicted[i] = degree_spectrum.twirling_residual(q, alpha, equiv, square).value
    both = ("rotation_set", "term")
    return found.assign({"twirled_residual_predicted": (both, predicted), "twirled_residual": (both, left)})


def _inside(panel: Panel) -> Iterator[tuple[str, Int[Array, " node"]]]:
    """Sets of equal weights whose rotations are all in the set of the panel, and their places there."""
    own = panel.rotations.quaternion.numpy()
    for name in rotation_sets.DEGREES:
        some = rotation_sets.rotation_set(name)
        same = abs(some.quaternion.numpy() @ own.T) > 1 - 1e-9
        if same.any(1).all() and (some.equal or name == panel.rotations.name):
            yield name, same.argmax(1)


def _chosen(design: Array, nodes: Int[Array, " node"]) -> Array:
    """The design with some of its rotations."""
    return design[..., nodes, :, :][..., nodes]


def _residual(design: Array, weight: Array) -> Array:
    """Unbiased variance of the mean over the set between replicates: the error that averaging leaves."""
    split = loss_split.split_design(design, np.zeros(design.shape[:-2]), 0.0, weight)
    diagonal = np.einsum("...riri->...ri", design)
    means = np.tensordot(np.tensordot(design, weight, 1), weight, ((-2,), (0,)))
    return split.equiv - (diagonal @ weight - np.einsum("...rr->...r", means)).mean(-1)
