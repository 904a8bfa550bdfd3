"""The arithmetic of matrix products and convolutions in float32: exact, or TensorFloat-32 where a GPU has it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from .devices import hardware


@contextlib.contextmanager
def float32(tf32: bool = False) -> Iterator[None]:
    """Products of float32 numbers on a GPU rounded to TensorFloat-32, which keeps 10 of 23 bits, or not; a decorator.

    Torch's own default rounds convolutions and not matrix products. Nothing changes on other devices.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = tf32
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def attributes(dtype: str, device: str) -> dict[str, str | bool]:
    """What a store says of the arithmetic behind its numbers, as it is set now.

    Args:
        dtype: in words.
        device: the torch device.
    """
    rounds = device.startswith("cuda") and torch.backends.cuda.matmul.allow_tf32
    return {"dtype": dtype, "tf32": bool(rounds), "device": hardware(device)}


@contextlib.contextmanager
def differentiable() -> Iterator[None]:
    """Kernels that can be differentiated twice, without TF32, with gradients on."""
    flags, fused = (torch.backends.cuda.matmul, torch.backends.cudnn), torch.backends.mha.get_fastpath_enabled()
    before = [f.allow_tf32 for f in flags]
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for f in flags:
            f.allow_tf32 = False
        with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for f, value in zip(flags, before, strict=True):
            f.allow_tf32 = value


def duplicate(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of a model with parameters of its own; functions compiled by TorchScript, which refuse it, are shared."""
    scripted = (v for m in model.modules() for v in vars(m).values() if isinstance(v, torch.jit.ScriptFunction))
    return copy.deepcopy(model, {id(function): function for function in scripted})
