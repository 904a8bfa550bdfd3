"""Modules with unreliable higher derivatives, found by tracing the operations of a forward pass.

The trace finds `torch.nn.functional.layer_norm` as well as the module of that name. It does not name a layer norm that
is written out by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .._typing import Tensor
from ..runtime.precision import duplicate

# torch names of operations whose higher derivatives were found wrong in some mode, and of operations with kinks
NORMS = ("layer_norm", "group_norm", "batch_norm", "instance_norm", "rms_norm")
KINKS = ("relu", "leaky_relu", "prelu", "rrelu", "threshold", "hardtanh", "hardswish", "hardsigmoid", "l1_loss")


def _compiled(module: torch.nn.Module) -> bool:
    """True for a scripted module and for one made by `torch.compile`, which imports `torch._dynamo`, for a second."""
    dynamo = sys.modules.get("torch._dynamo")
    return isinstance(module, (torch.jit.ScriptModule, *([dynamo.OptimizedModule] if dynamo else [])))


def unsafe_modules(model: torch.nn.Module, inputs: Mapping[str, Tensor]) -> list[str]:
    """Innermost modules with unreliable operations, as `name (class: operations)`, in the order in which they run.

    Unreliable are compiled modules, fused norms, kinks, and operations that write into a tensor that has a gradient.
    Most ways of differentiation are right for them; some are silently wrong.

    Args:
        inputs: of a few samples, in the dtype of the model.
    """
    model, trace = duplicate(model).eval(), _Trace()
    for name, module in model.named_modules():
        label = f"{name or 'the model itself'} ({type(module).__name__}"
        if _compiled(module):
            trace.found.setdefault(label, []).append("compiled")
            continue
        module.register_forward_pre_hook(lambda *_, label=label: trace.stack.append(label))
        module.register_forward_hook(lambda *_: trace.stack.pop() and None, always_call=True)  # None keeps the output
    with torch.enable_grad(), trace:
        model(dict(inputs))
    return [f"{label}: {', '.join(what)})" for label, what in trace.found.items()]


class _Trace(TorchDispatchMode):
    """Records unreliable operations by the module on top of the stack."""

    def __init__(self):
        super().__init__()
        self.stack: list[str] = []
        self.found: dict[str, list[str]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        what = next((n for n in NORMS if n in name), name if name in KINKS else None)
        if what is None and function._schema.is_mutable and _has_gradient(args):
            what = f"{name} in place"
        known = self.found.setdefault(self.stack[-1], []) if what and self.stack else [what]
        if what not in known:
            known.append(what)
        return function(*args, **(kwargs or {}))


def _has_gradient(args: tuple) -> bool:
    return any(isinstance(a, Tensor) and a.requires_grad for a in args)
