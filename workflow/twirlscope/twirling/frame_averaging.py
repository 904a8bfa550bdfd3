"""Frame averaging: four passes, in the principal axes of the points, make a model of points equivariant to rounding.

The principal axes rotate with the points, so a prediction made in these axes and rotated back is equivariant, whatever
the model. Each axis has two directions, and four of the eight choices are rotations; their mean depends on no choice.

Unlike the mean over all rotations, this mean is not the equivariant part of the model. Where two moments of the points
are nearly equal, the axes rotate far when points move little, and the prediction jumps. Where they are equal to
rounding (`DEGENERATE`), as in methane, ethane, ammonia and benzene, the axes are not defined, and the mean over four
frames is not equivariant. Such samples are refused, or averaged over the rotations that the moments leave free: about
one axis (24 passes) or about all (60 passes). This is exact for twisted predictions up to degree 11 or 5. Conservative
forces averaged over frames are no longer the gradient of an energy, since the axes depend on the positions.

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

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Callable, Float, Int, Irreps, Mapping, Tensor
from ..contracts import Batch, Evaluation, Task
from ..errors import UserError
from ..estimators.bootstrap import Clusters, standard_error
from ..estimators.degree_spectrum import error_gram
from ..geometry import rotation_sets, so3
from ..geometry.principal_axes import DEGENERATE, Frames, frames
from ..losses import balanced, inner
from ..settings.twirl import TwirlSettings
from .averaging import Averaged, Tensors, check_names
from .twisting import inner_products, with_weighted

ABOUT_AXIS = 12  # rotations about an axis that is defined, where the other two are not; with two directions each
ABOUT_ALL = "I"  # set of rotations where no axis is defined
POLICIES = ("refuse", "average")  # for samples without defined axes
CLOSE = 0.05  # relative distance of moments below which axes count as nearly arbitrary
NUDGE = 0.01  # shift of points that tests for jumps, over their root mean square distance from their mean


def frame_averaged(
    predict: Callable[[Tensors], Tensors],
    points: str,
    real: str,
    irreps_in: Mapping[str, Irreps],
    irreps_out: Mapping[str, Irreps],
    chunk: int = 256,
    degenerate: str = "refuse",
) -> FrameAveraged:
    """Callable like `predict` that averages over the four frames of each sample. A call costs 4 passes.

    For samples whose axes are defined, the average is equivariant under rotations up to rounding, but not under
    reflections. It is invariant under translations if `predict` is. `degenerate_share` of the callable gives the share
    of samples whose axes are not defined, those of symmetric molecules.

    Args:
        predict: maps inputs to predictions; the first axis of every tensor is the sample.
        points: name of the input that defines the principal axes, `[sample, point, 3]`, of irreps `1o`.
        real: name of the input that is above 0 for real points, `[sample, point]`, and 0 on padding.
        irreps_in: irreps of the last axis of each input; inputs not named do not turn.
        irreps_out: irreps of the last axis of each prediction, none left out; `0e` for a scalar.
        chunk: rotated samples in one call of `predict`.
        degenerate: for samples without defined axes, `refuse`, or `average` over the rotations that are left free. The
            average costs up to 60 passes. It is exact up to degree 5 of the twisted prediction alone, not to rounding.

    Raises:
        UserError: `degenerate` is unknown. At a call: inputs, predictions and irreps that do not fit, points that are
            not finite, a sample without points, or one without defined axes (`refuse`).
    """
    if degenerate not in POLICIES:
        raise UserError("frame_averaged, degenerate", "a way to treat symmetric samples", repr(degenerate), POLICIES)
    return FrameAveraged(predict, irreps_in, irreps_out, chunk, points, real, degenerate)


@dataclass(frozen=True)
class FrameAveraged(Averaged):
    """Callable that averages over frames; `frame_averaged` creates it and describes the fields."""

    points: str
    real: str
    degenerate: str

    def __call__(self, inputs: Tensors) -> Tensors:
        """Averaged prediction, with the names and shapes of `predict`."""
        found = self._frames(inputs)
        if self.degenerate == "refuse" and found.kind.any():
            wrong = found.kind.nonzero()[:, 0]
            got = f"{len(wrong)} of {len(found.kind)} with equal moments, as symmetric molecules have, the first is "
            got += f"number {int(wrong[0])}; leave them out, or average over the free rotations: degenerate='average'"
            raise UserError("frames, points", "samples whose three principal axes are defined", got)
        parts, places = [], []
        for kind in found.kind.unique().tolist():
            rotation, which = found.rotation, (found.kind == kind).nonzero()[:, 0]
            if kind:
                rotation = free_rotations(kind) @ rotation[:, :1]
            weight = torch.full((rotation.shape[1],), 1 / rotation.shape[1])
            for some in which.split(max(1, self.chunk // len(weight))):
                few = {k: v[some.to(v.device)] for k, v in inputs.items()}
                parts.append(self.average(few, rotation[some], weight))
            places.append(which)
        order = torch.cat(places).argsort()
        return {name: torch.cat([p[name] for p in parts])[order.to(parts[0][name].device)] for name in parts[0]}

    def degenerate_share(self, inputs: Tensors) -> float:
        """Share of the samples without three defined principal axes."""
        return (self._frames(inputs).kind > 0).double().mean().item()

    def _frames(self, inputs: Tensors) -> Frames:
        check_names("irreps_in", "the name of an input", (*self.irreps_in, self.points, self.real), inputs)
        return frames(inputs[self.points], inputs[self.real])


def free_rotations(kind: int) -> Float[Tensor, "n 3 3"]:
    """Rotations that equal moments leave free, in the frame of the axes, by `Frames.kind`.

    About one axis, in both of its directions, they are the dihedral group of order 2 * `ABOUT_AXIS`.
    """
    if kind == 3:
        return so3.matrix(rotation_sets.rotation_set(ABOUT_ALL).quaternion)
    axis, other = (2, 0) if kind == 1 else (0, 1)
    turns = so3.axis_rotation(axis, 2 * torch.pi * torch.arange(ABOUT_AXIS, dtype=torch.float64) / ABOUT_AXIS)
    flips = so3.axis_rotation(other, torch.tensor([0.0, torch.pi], dtype=torch.float64))
    return so3.matrix(so3.product(turns[:, None], flips).reshape(-1, 4))


@torch.no_grad()
def measure_frames(
    evaluation: Evaluation, index: Int[Array, " panel"], settings: TwirlSettings, cluster: Clusters = None
) -> xr.Dataset:
    """Loss, remaining equivariance error and jumps of the frame-averaged model; empty for a task without points.

    The loss is the mean over two random orientations of each sample; the equivariance error is their difference.
    Samples without defined axes are averaged over the rotations that are left free. `cluster` is that of each sample,
    for the standard error.
    """
    model, task = evaluation.model, evaluation.task
    if task.points is None:
        return xr.Dataset()
    irreps_out = {t.name: t.irreps for t in task.terms}
    averaged = frame_averaged(model, *task.points, task.irreps_in, irreps_out, evaluation.chunk, "average")
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
        "frame_loss_error": standard_error(each.mean(-1), cluster),
        "frame_loss_equiv": equiv.mean(-1),
        "frame_change": _change(averaged, task, batch, near),
        "pass_change": _change(model, task, batch, near),
    }
    gap = frames(batch.inputs[task.points[0]], batch.inputs[task.points[1]]).gap
    columns = {k: ("term", v) for k, v in found.items()} | {"frame_gap": ("panel", gap.numpy())}
    columns["panel_frame_loss"] = (("term", "panel"), each.mean(-1))
    return xr.Dataset(columns, attrs={"frame_close": CLOSE, "frame_nudge": NUDGE, "frame_degenerate": DEGENERATE})


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
