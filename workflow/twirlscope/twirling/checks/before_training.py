"""Refusals before the first update of a training: of models that later stages would refuse, or that train wrongly."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ..._typing import Array, Int
from ...contracts import Batch, Model, Task
from ...errors import UserError
from ...geometry import so3
from ...geometry.rotation_sets import sample_rotations
from ...runtime.precision import differentiable, duplicate
from .model_and_task import check_model_and_task
from .wording import model_name, named, shortened

CHECKED = 4  # samples


def check_before_training(model: Model, task: Task, index: Int[Array, " sample"], device: str, pieces: int) -> None:
    """Refuses a model that the later stages would refuse, so that no training is lost. The model stays as it is.

    Args:
        model: freshly initialised, in float32, on the device.
        index: samples of the training split; the first ones are used.
        pieces: forward passes of an update, in all processes together.

    Raises:
        UserError: batch norm in an update of several passes; a model that cannot be copied, or has terms without a
            graph in evaluation mode; see `check_model_and_task`.
    """
    check_batch_norm(model, pieces)
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        index = index[:CHECKED]
        batch = task.batch(index).to(device, torch.float32)
        quaternion = sample_rotations("independent", len(index), 1, 0, task.group)[:, 0]
        rotation = so3.matrix(quaternion).to(device, torch.float32)
        check_copies(model)
        check_model_and_task(model, task, batch, rotation, index)
        check_graph(model, task, batch)
    finally:
        for module, mode in training.items():
            module.training = mode


def check_batch_norm(model: Model, pieces: int) -> None:
    """Refuses batch norm where an update is divided: each pass would be normalised by its own samples alone.

    Raises:
        UserError: it names the modules.
    """
    found = named((n, m) for n, m in model.named_modules() if isinstance(m, _BatchNorm))
    if found and pieces > 1:
        expected = "a model without batch norm, where an update is divided by train.micro_batch or among processes"
        raise UserError(model_name(model), expected, f"{shortened(found)} in {pieces} passes per update")


def check_copies(model: Model) -> None:
    """Refuses a model of which no copy can be made, as later stages do.

    Raises:
        UserError: it names modules with the weight norm or spectral norm that torch has replaced, or torch's reason.
    """
    expected = "a model that copy.deepcopy can copy"
    for norm, new in ((WeightNorm, "weight_norm"), (SpectralNorm, "spectral_norm")):
        modules = ((n, m) for n, m in model.named_modules() if _has_hook(m, norm))
        if found := named(modules):
            got = f"torch.nn.utils.{new} of {shortened(found)}; use torch.nn.utils.parametrizations.{new}"
            raise UserError(model_name(model), expected, got)
    try:
        duplicate(model)
    except (RuntimeError, TypeError) as error:
        raise UserError(model_name(model), expected, f"{type(error).__name__}: {error}") from error


def _has_hook(module: torch.nn.Module, kind: type) -> bool:
    return any(isinstance(hook, kind) for hook in module._forward_pre_hooks.values())


def check_graph(model: Model, task: Task, batch: Batch) -> None:
    """Refuses a model in evaluation mode with a term of the loss whose gradient would be 0 for lack of a graph.

    Raises:
        UserError: it names the terms.
    """
    device = next(iter(batch.targets.values())).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), differentiable():
        found = model(dict(batch.inputs))
    cut = [t.name for t in task.terms if t.weight and not found[t.name].requires_grad]
    if cut and any(p.requires_grad for p in model.parameters()):
        got = f"none for {', '.join(cut)}; take forces with create_graph=torch.is_grad_enabled(), not "
        got += "create_graph=self.training, and detach no output"
        raise UserError(model_name(model), "predictions with a graph to the weights in evaluation mode", got)
