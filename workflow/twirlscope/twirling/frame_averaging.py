"""Frame averaging: four passes, in the principal axes of the points, make any model of points exactly equivariant.

The principal axes rotate with the points, so a prediction made in these axes and rotated back is equivariant, whatever
the model. Each axis has two directions, and four of the eight choices are rotations; their mean depends on no choice.

Unlike the mean over all rotations, this mean is not the equivariant part of the model. Where two moments of the points
are equal, their axes are arbitrary, and the prediction jumps. Conservative forces averaged over frames are no longer
the gradient of an energy, since the axes depend on the positions.

    >>> import torch, twirlscope
    >>> def predict(inputs):
    ...     return {"arrow": -inputs["points"] + torch.tensor([0.0, 0.0, 0.1])}
    >>> irreps = {"irreps_in": {"points": "1o"}, "irreps_out": {"arrow": "1o"}}
    >>> better = twirlscope.frame_averaged(predict, "points", "mask", **irreps)
    >>> inputs = {"points": torch.randn(8, 5, 3), "mask": torch.ones(8, 5)}
    >>> print((better(inputs)["arrow"] + inputs["points"]).abs().max() < 1e-6)  # four passes remove the bias
    tensor(True)

Source: Puny, Atzmon, Ben-Hamu, Misra, Grover, Smith, Lipman, ICLR 2022, arXiv:2110.03336, section 3.1, for SO(3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Callable, Float, Int, Mapping, Tensor
from ..contracts import Batch, Evaluation, Task
from ..estimators.bootstrap import standard_error
from ..estimators.degree_spectrum import error_gram
from ..geometry import so3
from ..geometry.rotation_sets import FRAME_PASSES, FRAME_SIGNS
from ..losses import balanced, inner
from ..settings.twirl import TwirlSettings
from .averaging import Averaged, Tensors, check_names
from .twisting import inner_products, with_weighted

CLOSE = 0.05  # relative distance of moments below which axes count as nearly arbitrary
NUDGE = 0.01  # shift of points that tests for jumps, over their root mean square distance from their mean


class Frames(NamedTuple):
    """Rotations of each sample into its principal axes, and how well the axes are defined.

    gap: smallest difference between two of the three moments, over the largest moment; 0 if axes are arbitrary.
    """

    rotation: Float[Tensor, "sample 4 3 3"]
    gap: Float[Tensor, " sample"]


def frames(
    points: Float[Tensor, "sample point 3"], real: Float[Tensor, "sample point"] | Int[Tensor, "sample point"]
) -> Frames:
    """Four rotations that map the principal axes of the points, about their mean, to the axes of the lab.

    Computed in float64 on the CPU for points of any dtype, since rounding moves the axes by its ratio to `gap`.

    Args:
        real: above 0 for real points, which all have the same weight; 0 on padding.
    """
    here, weight = points.detach().cpu().double(), (real.cpu() > 0).double()
    weight = weight / weight.sum(1, keepdim=True)
    centred = here - torch.einsum("sp,spi->si", weight, here)[:, None]
    moments, axes = torch.linalg.eigh(torch.einsum("sp,spi,spj->sij", weight, centred, centred))
    first, second = axes[..., 0], axes[..., 1]
    right_handed = torch.stack([first, second, torch.linalg.cross(first, second)], -2)
    gap = moments.diff(dim=-1).amin(-1) / moments[:, -1].clamp_min(torch.finfo(torch.float64).tiny)
    return Frames(FRAME_SIGNS[:, :, None] * right_handed[:, None], gap)


def frame_averaged(
    predict: Callable[[Tensors], Tensors],
    points: str,
    real: str,
    irreps_in: Mapping[str, str],
    irreps_out: Mapping[str, str],
    chunk: int = 256,
) -> Callable[[Tensors], Tensors]:
    """Callable like `predict` that averages over the four frames of each sample. A call costs 4 passes.

    The average is equivariant under rotations up to rounding, but not under reflections. It is invariant under
    translations if `predict` is.

    Args:
        predict: maps inputs to predictions; the first axis of every tensor is the sample.
        points: name of the input that defines the principal axes, `[sample, point, 3]`, of irreps `1o`.
        real: name of the input that is above 0 for real points, `[sample, point]`, and 0 on padding.
        irreps_in: irreps of the last axis of each input; inputs not named do not turn.
        irreps_out: irreps of the last axis of each prediction, none left out; `0e` for a scalar.
        chunk: rotated samples in one call of `predict`.

    Raises:
        UserError: at a call: inputs, predictions and irreps that do not fit.
    """
    return FrameAveraged(predict, irreps_in, irreps_out, chunk, points, real)


@dataclass(frozen=True)
class FrameAveraged(Averaged):
    """Callable that averages over frames; `frame_averaged` creates it and describes the fields."""

    points: str
    real: str

    def __call__(self, inputs: Tensors) -> Tensors:
        """Averaged prediction, with the names, shapes and dtypes of `predict`."""
        check_names("irreps_in", "the name of an input", (*self.irreps_in, self.points, self.real), inputs)
        rotation = frames(inputs[self.points], inputs[self.real]).rotation
        weight = torch.full((FRAME_PASSES,), 1 / FRAME_PASSES)
        size = max(1, self.chunk // FRAME_PASSES)
        slices = [slice(s, s + size) for s in range(0, len(rotation), size)]
        parts = [self.average({k: v[some] for k, v in inputs.items()}, rotation[some], weight) for some in slices]
        return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}


@torch.no_grad()
def measure_frames(evaluation: Evaluation, index: Int[Array, " panel"], settings: TwirlSettings) -> xr.Dataset:
    """Loss, remaining equivariance error and jumps of the frame-averaged model; empty for a task without points.

    The loss is the mean over two random orientations of each sample; the equivariance error is their difference.
    """
    model, task = evaluation.model, evaluation.task
    if task.points is None:
        return xr.Dataset()
    irreps_out = {t.name: t.irreps for t in task.terms}
    averaged = frame_averaged(model, *task.points, task.irreps_in, irreps_out, chunk=evaluation.chunk)
    generator = torch.Generator().manual_seed(settings.seed + 2)
    quaternion = so3.haar(len(index), 2, generator=generator)
    products = with_weighted(task, inner_products(replace(evaluation, model=averaged), index, quaternion))
    errors = error_gram(products["gram"], products["cross"], products["square"])
    each = np.einsum("tskk->tsk", errors)
    equiv = (each.sum(-1) - 2 * errors[..., 0, 1]) / 2
    batch = evaluation.batch(index)
    near = nudged(batch, *task.points, generator)
    found = {
        "frame_loss": each.mean((-1, -2)),
        "frame_loss_error": standard_error(each.mean(-1)),
        "frame_loss_equiv": equiv.mean(-1),
        "frame_change": _change(averaged, task, batch, near),
        "pass_change": _change(model, task, batch, near),
    }
    gap = frames(batch.inputs[task.points[0]], batch.inputs[task.points[1]]).gap
    columns = {k: ("term", v) for k, v in found.items()} | {"frame_gap": ("panel", gap.numpy())}
    columns["panel_frame_loss"] = (("term", "panel"), each.mean(-1))
    return xr.Dataset(columns, attrs={"frame_close": CLOSE, "frame_nudge": NUDGE})


def nudged(batch: Batch, points: str, real: str, generator: torch.Generator) -> Batch:
    """The batch with Gaussian shifts of every real point, of root mean square `NUDGE` times the size of its sample."""
    here, weight = batch.inputs[points], (batch.inputs[real] > 0)[..., None]
    count = weight.sum(1, keepdim=True)
    centred = (here - (here * weight).sum(1, keepdim=True) / count) * weight
    size = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    moves = torch.randn(here.shape, generator=generator, dtype=torch.float64).to(here) / 3**0.5
    return replace(batch, inputs=batch.inputs | {points: here + NUDGE * size * weight * moves})


def _change(model: Callable, task: Task, one: Batch, other: Batch) -> Float[Array, " term"]:
    """Mean square change of the predictions between two batches, by term, `weighted` last."""
    a, b = model(one.inputs), model(other.inputs)
    moved = {t.name: (b[t.name] - a[t.name]).double() for t in task.terms}
    weights = balanced(one).weights
    each = [inner(d, d, weights[name].double()).mean().item() for name, d in moved.items()]
    return np.array([*each, np.dot([t.weight for t in task.terms], each)])
