"""Forward passes of a training: the module that gives its loss, precision, compilation, process groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from .._typing import Callable, Tensor
from ..errors import UserError
from ..objective import Objective, Rows
from ..settings.train import TrainSettings
from .processes import ProcessGroup

PRECISION = {"float32": "float32", "bf16": "bfloat16 products of float32 weights"}  # of the settings, in words


class Losses(torch.nn.Module):
    """A model and its objective as one module, whose output is the loss: processes exchange the gradients of both.

    Args:
        model: compiled where asked for.
        objective: of the training.
        settings: `precision` of the passes of the model.
        device: torch device.
    """

    def __init__(self, model: torch.nn.Module, objective: Objective, settings: TrainSettings, device: str):
        super().__init__()
        self.model, self.objective, self._settings, self._device = model, objective, settings, device

    def forward(self, rows: Rows, update: int) -> dict[str, Tensor]:
        """Means over the samples of the rows, see `Objective.forward`; in the dtype of the targets."""
        found = self.objective.active(update)(self.predict, rows)
        for weight in idle(self.objective, update):  # processes wait for a gradient of every weight
            found["total"] = found["total"] + 0 * weight.sum()
        return found

    def predict(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The prediction of the model, in the precision of the training."""
        with autocast(self._settings, self._device):
            return self.model(inputs)


def require_compilable(objective: Objective, settings: TrainSettings) -> None:
    """Refuse to compile what an objective does with the model.

    Raises:
        UserError: compilation is asked for an objective that torch.compile cannot look through.
    """
    if settings.compile == "always" and not objective.compiles:
        raise UserError("train.compile", f"never for the objective {type(objective).__name__}", "always")


def prepare(losses: Losses, device: str, group: ProcessGroup) -> torch.nn.Module:
    """Model and objective prepared for a group of processes, with the same parameters."""
    if group.size == 1:
        return losses
    places = [device] if device.startswith("cuda") else None
    return DistributedDataParallel(losses, places, gradient_as_bucket_view=True)


def idle(objective: Objective, update: int) -> list[Tensor]:
    """Parameters of an objective that take no part in an update."""
    used = {id(p) for p in objective.active(update).parameters()}
    return [p for p in objective.parameters() if id(p) not in used]


def recompute(model: torch.nn.Module) -> None:
    """Make the backward pass recompute the activations inside of every block (activation checkpointing).

    Blocks are the members of each ModuleList named `blocks`, at any depth. Gradients stay the same, with dropout too:
    its masks are restored.

    Raises:
        UserError: the model has no blocks.

    Source: Chen et al., arXiv:1604.06174.
    """
    lists = [part for name, part in model.named_modules() if name.split(".")[-1] == "blocks"]
    blocks = [block for part in lists if isinstance(part, torch.nn.ModuleList) for block in part]
    if not blocks:
        expected = "a model that keeps its blocks in a ModuleList named `blocks`"
        raise UserError("train.activation_checkpointing", expected, type(model).__name__)
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def autocast(settings: TrainSettings, device: str) -> torch.autocast:
    """Context of a forward pass: matrix products in bfloat16 where asked for; weights stay float32."""
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=settings.precision == "bf16")


@contextlib.contextmanager
def compile_errors(compiled: bool) -> Iterator[None]:
    """Context that turns a torch.compile failure into a UserError, where the model is compiled.

    Raises:
        UserError: torch cannot compile the model on this machine.
    """
    if not compiled:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except (TorchDynamoException, RuntimeError) as error:
        if not isinstance(error, TorchDynamoException) and "aot_autograd" not in str(error):
            raise
        reason = " ".join(str(error).strip().split("\n\n")[0].split())
        raise UserError("train.compile", "a model and a machine that torch.compile works with", reason) from error


def require_gradients(model: torch.nn.Module) -> None:
    """Refuse to train a model by several processes where some weights took no part in the loss.

    Raises:
        UserError: names of these weights.
    """
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if idle:
        raise UserError("resources.gpu", "1, for a model whose loss does not depend on all of its weights", idle)


def no_sync(running: torch.nn.Module, group: ProcessGroup, last: bool) -> contextlib.AbstractContextManager:
    """Context of the passes of an update: processes exchange gradients in the last one alone."""
    waits: Callable | None = getattr(running, "no_sync", None)
    return contextlib.nullcontext() if group.size == 1 or last else waits()
