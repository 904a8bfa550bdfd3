"""How a model runs in training: in which precision, compiled, recomputing activations, shared among processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from .._typing import Callable
from ..errors import UserError
from ..settings.train import TrainSettings
from .processes import ProcessGroup

PRECISION = {"float32": "float32", "bf16": "bfloat16 products of float32 weights"}  # of the settings, in words


def trainer(model: torch.nn.Module, settings: TrainSettings, device: str, team: ProcessGroup) -> torch.nn.Module:
    """The model as the training calls it. Its parameters, and their names in `model`, stay what they are.

    Raises:
        UserError: activations of a model without blocks are to be recomputed.
    """
    if settings.activation_checkpointing:
        recompute(model)
    running = torch.compile(model) if settings.compile else model
    if team.size == 1:
        return running
    places = [device] if device.startswith("cuda") else None
    return DistributedDataParallel(running, places, gradient_as_bucket_view=True)


def recompute(model: torch.nn.Module) -> None:
    """Let the backward pass compute the activations inside of every block again, instead of keeping them.

    Blocks are the members of each ModuleList that is named `blocks`, at any depth. Gradients stay the same: dropout
    draws again what it drew.

    Raises:
        UserError: there is none.

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
    """Around a forward pass: matrix products in bfloat16, where asked for, of weights that stay float32."""
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=settings.precision == "bf16")


@contextlib.contextmanager
def refused(settings: TrainSettings) -> Iterator[None]:
    """Around what may be compiled: what torch cannot compile is a mistake in the settings, and said in one sentence.

    Raises:
        UserError: that.
    """
    if not settings.compile:
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
    """Refuse a model that several processes would train wrongly: with weights that took no part in the loss.

    Raises:
        UserError: their names.
    """
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if idle:
        raise UserError("resources.gpu", "1, for a model whose loss does not depend on all of its weights", idle)


def unsynchronised(running: torch.nn.Module, team: ProcessGroup, last: bool) -> contextlib.AbstractContextManager:
    """Around all passes of an update but the last: processes exchange gradients once an update."""
    waits: Callable | None = getattr(running, "no_sync", None)
    return contextlib.nullcontext() if team.size == 1 or last else waits()
