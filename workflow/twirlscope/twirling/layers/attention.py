"""Isotropy of the attention of a network: whether the products of queries and keys are invariant.

A head compares features h of a query with features k of a key by h^T W_Q^T W_K k. If h and k rotate with the
generators A_a and B_a, the product is invariant if L_a M = A_a^T M + M B_a = 0 for M = W_Q^T W_K: between scalars any
M, between vectors multiples of the identity, and nothing between scalars and vectors. The anisotropy

    SUM_a |L_a M|^2 / |M|^2

is the mean Casimir of M: 0 for invariant products, and the sum of the mean Casimirs of both features for a random M.
Features are scaled to unit variance along their principal directions.

Source: Schur's lemma.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import nn

from ..._typing import Array, Callable, Float, Mapping, Sequence, Tensor
from .generators import Generators

NAMES = ("query", "keys")  # linear layers of a module with attention, beside its number of `heads`


def attention_modules(model: nn.Module) -> list[str]:
    """Paths of the modules with linear layers `query` and `keys` and a number of `heads`; empty for other models."""
    return [path for path, module in model.named_modules() if _attends(module)]


def _attends(module: nn.Module) -> bool:
    return all(isinstance(getattr(module, name, None), nn.Linear) for name in NAMES) and hasattr(module, "heads")


def input_name(path: str, layer: str) -> str:
    """Name of the input of a layer `query` or `keys` of an attention module, as a feature."""
    return f"input of {path}.{layer}" if path else f"input of {layer}"


@contextmanager
def input_hooks(model: nn.Module, paths: Sequence[str], seen: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Context in which `seen(name, feature)` is called for the inputs of the queries and keys of these modules."""
    hooks = []
    for path, layer in itertools.product(paths, NAMES):
        name, module = input_name(path, layer), getattr(model.get_submodule(path), layer)
        hooks.append(module.register_forward_pre_hook(lambda _, given, name=name: seen(name, given[0])))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def anisotropies(
    model: nn.Module, path: str, generators: Mapping[str, Generators]
) -> tuple[Float[Array, " head"], float]:
    """Anisotropy of every head of an attention module, and that of a random matrix.

    Args:
        generators: of the inputs of queries and keys, by their `input_name`.
    """
    module = model.get_submodule(path)
    query, keys = (generators[input_name(path, name)] for name in NAMES)
    weights = [getattr(module, name).weight.detach().double().cpu().numpy() for name in NAMES]
    left, right = (w.reshape(module.heads, -1, w.shape[1]) for w in weights)
    found = []
    for q, k in zip(left, right, strict=True):
        product = (q @ (query.directions.T * query.scale)).T @ (k @ (keys.directions.T * keys.scale))
        moved = query.whitened.transpose(0, 2, 1) @ product + product @ keys.whitened
        square = np.square(product).sum()
        found.append(np.square(moved).sum() / square if square > 0 else np.nan)
    return np.array(found), sum(float(np.trace(g.casimir)) / len(g.scale) for g in (query, keys))
