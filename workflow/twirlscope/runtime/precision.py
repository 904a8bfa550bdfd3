"""Precision of float32 matrix products and convolutions, and contexts for derivatives of models."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from .devices import hardware


@contextlib.contextmanager
def float32(tf32: bool = False) -> Iterator[None]:
    """Context or decorator in which a GPU rounds factors of float32 products to TensorFloat-32 (10 of 23 bits), or not.

    By default torch rounds convolutions and not matrix products. Nothing changes on other devices.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = tf32
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def attributes(dtype: str, device: str) -> dict[str, str | bool]:
    """Attributes of a store that name the precision of its numbers, from the current settings of torch.

    Args:
        dtype: name of the dtype.
        device: the torch device.
    """
    rounds = device.startswith("cuda") and torch.backends.cuda.matmul.allow_tf32
    return {"dtype": dtype, "tf32": bool(rounds), "device": hardware(device)}


@contextlib.contextmanager
def differentiable() -> Iterator[None]:
    """Context with kernels that can be differentiated twice, without TensorFloat-32, with gradients enabled."""
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
    """A deep copy of a model. Functions compiled by TorchScript, which cannot be copied, are shared."""
    scripted = (v for m in model.modules() for v in vars(m).values() if isinstance(v, torch.jit.ScriptFunction))
    return copy.deepcopy(model, {id(function): function for function in scripted})
