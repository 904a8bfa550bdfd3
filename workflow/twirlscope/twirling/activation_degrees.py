"""Degrees that an equivariant network uses: activation variance by degree, and the loss with one degree ablated.

A network may be built with features of degree 2 and learn to ignore them. Its activations show this without another
training: by the share of each degree in their variance, and by the loss after a degree is set to 0 in one layer.

Source of the question: Lee, Galkin, Miret, arXiv:2410.08131.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Callable, Float, Int, Sequence, Tensor
from ..contracts import Batch, Evaluation, Model, Task
from ..errors import needs
from ..estimators.bootstrap import Clusters, standard_error
from ..losses import balanced, inner

MAX_SAMPLES = 32  # samples measured


class DegreeUse(NamedTuple):
    """Use of the degrees at one checkpoint; NaN for degrees that an activation lacks.

    share: share of each degree in the variance of an activation.
    removed: loss by term and sample, `weighted` last, with one degree of one activation set to 0.
    full: loss by term and sample with all degrees.
    """

    share: Float[Array, "activation degree"]
    removed: Float[Array, "activation degree term sample"]
    full: Float[Array, "term sample"]


@torch.no_grad()
def measure_degrees(evaluation: Evaluation, index: Int[Array, " sample"]) -> DegreeUse | None:
    """Variance shares and losses on the first samples, not rotated; None for a model that names no activations.

    The losses of an equivariant model are the same in every orientation, so one orientation is enough.
    """
    model, task = evaluation.model, evaluation.task
    degree = {path: degrees_of(irreps) for path, irreps in model.activations.items()}
    if not degree:
        return None
    batch = balanced(evaluation.batch(index[:MAX_SAMPLES]))
    outputs: dict[str, list[Tensor]] = {path: [] for path in degree}
    with output_hooks(model, {path: outputs[path].append for path in degree}):
        full = _losses(model, task, batch)
    highest = max(int(d.max()) for d in degree.values())
    share = np.full((len(degree), highest + 1), np.nan)
    removed = np.full((*share.shape, *full.shape), np.nan)
    real = batch.weights[task.terms[0].name] > 0
    for i, (path, each) in enumerate(degree.items()):
        share[i, : each.max() + 1] = variance_shares(torch.cat([_rows(x, real) for x in outputs[path]]), each)
        for one in range(highest + 1):
            if (each == one).any():
                with output_hooks(model, {path: lambda x, ablated=each == one: _without(x, ablated)}):
                    removed[i, one] = _losses(model, task, batch)
    return DegreeUse(np.where(np.isnan(removed[..., 0, 0]), np.nan, share), removed, full)


def degrees_dataset(
    activations: Sequence[str], measured: Sequence[DegreeUse | None], cluster: Clusters = None
) -> xr.Dataset:
    """Dataset of the measurements at all checkpoints; empty for a model that names no activations.

    `cluster` is that of each sample, for the standard error.
    """
    if measured[0] is None:
        return xr.Dataset()
    share, removed, full = (np.stack(parts) for parts in zip(*measured, strict=True))
    change, place = removed - full[:, None, None], ("step", "activation", "activation_degree")
    found = {
        "degree_share": (place, share),
        "degree_removed_loss": ((*place, "term"), removed.mean(-1)),
        "degree_removed_loss_error": ((*place, "term"), standard_error(change, cluster)),
        "degree_full_loss": (("step", "term"), full.mean(-1)),
    }
    coordinates = {
        "activation": np.array(list(activations), object),
        "activation_degree": np.arange(share.shape[-1], dtype=np.int64),
    }
    return xr.Dataset(found, coordinates)


def degrees_of(irreps: str) -> Int[Array, " feature"]:
    """Degree of every feature of these irreps, in the order of e3nn."""
    with needs("equivariant"):
        from e3nn.o3 import Irreps  # importing e3nn takes seconds, and most models do not need it

    return np.concatenate([np.full(mul * ir.dim, ir.l) for mul, ir in Irreps(irreps)])


def variance_shares(rows: Float[Tensor, "row feature"], degree: Int[Array, " feature"]) -> Float[Array, " degree"]:
    """Share of each degree in the variance of features over atoms, samples and orientations, summed over features.

    Over all orientations the mean of a feature of degree 1 or more is 0, so its variance is its mean square. An
    invariant feature varies about its mean. Rotating the inputs does not change the shares.
    """
    rows = rows.double().cpu().numpy()
    variance = np.where(degree > 0, np.square(rows).mean(0), rows.var(0))
    summed = np.bincount(degree, variance)
    with np.errstate(invalid="ignore"):
        return summed / summed.sum()


@contextmanager
def output_hooks(model: torch.nn.Module, functions: dict[str, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
    """Context in which a function sees the output of each named module; a value that it returns replaces the output."""
    hooks = [
        model.get_submodule(path).register_forward_hook(lambda _, __, out, f=function: f(out))
        for path, function in functions.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rows(out: Tensor, real: Tensor) -> Float[Tensor, "row feature"]:
    """Features without padding, one row per atom or voxel."""
    out = out.detach()
    if out.ndim == 5:
        out = out.movedim(1, -1)
    return (out[real] if out.shape[:-1] == real.shape else out).reshape(-1, out.shape[-1])


def _without(out: Tensor, ablated: Array) -> Tensor:
    """The output with the ablated features set to 0."""
    kept = torch.from_numpy(~ablated).to(out)
    return out * (kept[:, None, None, None] if out.ndim == 5 else kept)


def _losses(model: Model, task: Task, batch: Batch) -> Float[Array, "term sample"]:
    """Squared error by term and sample, `weighted` last."""
    out, found = model(batch.inputs), []
    for term in task.terms:
        error = (out[term.name] - batch.targets[term.name]).double()
        found.append(inner(error, error, batch.weights[term.name].double()).cpu().numpy())
    return np.stack([*found, np.tensordot([t.weight for t in task.terms], found, 1)])
