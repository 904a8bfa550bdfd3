"""Modules to look at first when products with the curvature of a model are wrong: what runs in them, seen, not guessed.

A forward pass is watched operation by operation, so that `torch.nn.functional.layer_norm` is found as well as the
module of that name, and a layer norm written by hand is not accused.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .._typing import Tensor
from ..runtime.precision import duplicate

# operations whose higher derivatives have been seen wrong in some mode, or that have kinks, by the name in torch
NORMS = ("layer_norm", "group_norm", "batch_norm", "instance_norm", "rms_norm")
KINKS = ("relu", "leaky_relu", "prelu", "rrelu", "threshold", "hardtanh", "hardswish", "hardsigmoid", "l1_loss")
COMPILED = (torch.jit.ScriptModule, torch._dynamo.OptimizedModule) if hasattr(torch, "_dynamo") else ()


def unsafe_modules(model: torch.nn.Module, inputs: Mapping[str, Tensor]) -> list[str]:
    """Modules as `name (class: what runs there)`, the innermost ones, in the order in which they run.

    Named are compiled modules, fused norms, kinks, and operations that write into a tensor that has a gradient: right
    in most ways of differentiating, silently wrong in some.

    Args:
        inputs: of a few samples, in the dtype of the model.
    """
    model, watch = duplicate(model).eval(), _Watch()
    for name, module in model.named_modules():
        label = f"{name or 'the model itself'} ({type(module).__name__}"
        if isinstance(module, COMPILED):
            watch.found.setdefault(label, []).append("compiled")
            continue
        module.register_forward_pre_hook(lambda *_, label=label: watch.stack.append(label))
        module.register_forward_hook(lambda *_: watch.stack.pop() and None, always_call=True)  # else it is the output
    with torch.enable_grad(), watch:
        model(dict(inputs))
    return [f"{label}: {', '.join(what)})" for label, what in watch.found.items()]


class _Watch(TorchDispatchMode):
    """Notes the module on top of the stack where something suspicious runs."""

    def __init__(self):
        super().__init__()
        self.stack: list[str] = []
        self.found: dict[str, list[str]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        what = next((n for n in NORMS if n in name), name if name in KINKS else None)
        if what is None and function._schema.is_mutable and _learned(args):
            what = f"{name} in place"
        known = self.found.setdefault(self.stack[-1], []) if what and self.stack else [what]
        if what not in known:
            known.append(what)
        return function(*args, **(kwargs or {}))


def _learned(args: tuple) -> bool:
    return any(isinstance(a, Tensor) and a.requires_grad for a in args)
