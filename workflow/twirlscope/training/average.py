"""Exponential moving average (EMA) of the weights of a model."""

from __future__ import annotations

import torch

from .._typing import Callable, Tensor

Weights = dict[str, Tensor]


def weight_reader(model: torch.nn.Module) -> Callable[[], Weights]:
    """Function that returns the tensors of `model.state_dict()`, without the walk through all modules."""
    places = []
    for name in model.state_dict():
        path, _, leaf = name.rpartition(".")
        owner = model.get_submodule(path)
        held = owner._parameters if leaf in owner._parameters else owner._buffers
        places.append((name, held, leaf))
    return lambda: {name: held[leaf].detach() for name, held, leaf in places}


def averaged(average: Weights, weights: Weights, decay: float) -> Weights:
    """The average after an update, in one call for all tensors; integers are copied.

    Args:
        average: before the update.
        weights: after it.
        decay: weight of the average before.
    """
    names = [name for name, value in weights.items() if value.is_floating_point()]
    lerped = torch._foreach_lerp([weights[n] for n in names], [average[n] for n in names], decay)
    found = dict(zip(names, lerped, strict=True))
    return {n: found[n] if n in found else v.clone() for n, v in weights.items()}
