"""Modules of a model that an objective looks into."""

from __future__ import annotations

import torch

from ...errors import UserError


def module_at(model: torch.nn.Module, path: str, where: str) -> torch.nn.Module | None:
    """The module of a path; for an empty one the last of `blocks`, or None for a model without blocks.

    Args:
        where: key path for the error.

    Raises:
        UserError: no such module.
    """
    blocks = getattr(model, "blocks", None)
    if not path:
        return blocks[-1] if isinstance(blocks, torch.nn.ModuleList) and len(blocks) else None
    modules = dict(model.named_modules())
    if path not in modules:
        raise UserError(where, "the path of a module of the model", repr(path), [name for name in modules if name])
    return modules[path]
