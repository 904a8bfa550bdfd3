"""Features: tensors that modules of a model return, seen or replaced during a forward pass.

A module that returns one tensor has one feature, of its own path. Of a tuple every tensor is a feature, named by its
field or its place: `blocks.1.pair`, `blocks.1.0`. The last axis holds the components, all axes before it are rows.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..._typing import Callable, Sequence, Tensor
from ...errors import UserError

Seen = Callable[[str, Tensor], Tensor | None]


def matching_modules(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Paths of the modules that the patterns name, in the order of the patterns.

    Args:
        patterns: paths with `*` for one name: `blocks.*` are the blocks, not what is inside them.

    Raises:
        UserError: a pattern that names no module.
    """
    paths = [name for name, module in model.named_modules() if name and not isinstance(module, nn.ModuleList)]
    found: dict[str, None] = {}
    for pattern in patterns:
        depth = pattern.count(".")
        chosen = [p for p in paths if p.count(".") == depth and fnmatch.fnmatchcase(p, pattern)]
        if not chosen:
            known = dict.fromkeys(p for p in paths if p.count(".") < 2)
            raise UserError("layers.modules", f"modules of {type(model).__name__}", repr(pattern), known)
        found |= dict.fromkeys(chosen)
    return list(found)


@contextmanager
def feature_hooks(model: nn.Module, modules: Sequence[str], seen: Seen) -> Iterator[None]:
    """Context in which `seen(name, tensor)` is called for every feature; a tensor that it returns replaces it."""
    hooks = [
        model.get_submodule(path).register_forward_hook(lambda _, __, out, path=path: _each(path, out, seen))
        for path in modules
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _each(path: str, out: Any, seen: Seen) -> Any:
    """The output of a module with its features replaced, where `seen` returns a tensor."""
    if _is_feature(out):
        new = seen(path, out)
        return out if new is None else new
    if not isinstance(out, tuple | list):
        return out
    names = getattr(out, "_fields", range(len(out)))
    new = [seen(f"{path}.{name}", part) if _is_feature(part) else None for name, part in zip(names, out, strict=True)]
    parts = [old if part is None else part for old, part in zip(out, new, strict=True)]
    return type(out)(*parts) if hasattr(out, "_fields") else type(out)(parts)


def _is_feature(out: Any) -> bool:
    return isinstance(out, torch.Tensor) and out.is_floating_point() and out.ndim > 1
