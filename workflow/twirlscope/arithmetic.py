"""The arithmetic of matrix products and convolutions in float32: exact, or TensorFloat-32 where a GPU has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from .provenance import hardware


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
