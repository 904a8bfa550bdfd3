"""Names of models and terms, and advice, for the texts of refusals."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ..._typing import Callable
from ...contracts import Term

# modules whose output differs in training mode: by noise, and by what other samples of the batch change
NOISY = (_DropoutNd, torch.nn.RReLU, torch.nn.MultiheadAttention, torch.nn.RNNBase)
MIXING = (_BatchNorm, _NormBase)
SHOWN = 4  # modules named in a text


def model_name(model: Callable) -> str:
    """The model as the place of a mistake."""
    model = getattr(model, "narrowed", model)
    return f"model {type(model).__name__ if isinstance(model, torch.nn.Module) else getattr(model, '__name__', model)}"


def term_of(model: Callable, term: Term) -> str:
    """A term of the prediction of a model as the place of a mistake."""
    return f"{model_name(model)}, term {term.name}"


def modules_in_training_mode(model: Callable, kinds: type | tuple[type, ...] = torch.nn.Module) -> list[str]:
    """Modules of these classes that are in training mode, as `name (class)`."""
    model = getattr(model, "narrowed", model)
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    return named((n, m) for n, m in modules if isinstance(m, kinds) and m.training)


def named(modules) -> list[str]:
    """Modules as `name (class)`."""
    return [f"{name or 'the model itself'} ({type(module).__name__})" for name, module in modules]


def shortened(names: list[str]) -> str:
    """The first names of a list, and the number of the others."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def advice(model: Callable, likely: tuple[type, ...]) -> str:
    """Advice for a model whose predictions change: the modules in training mode, or what else to look for."""
    model = getattr(model, "narrowed", model)
    look = "functional dropout or sampling" if likely is NOISY else "sums over the batch, unmasked padding, or noise"
    if not isinstance(model, torch.nn.Module):
        return f"put the modules in this function into evaluation mode, with .eval(), or look for {look}"
    known = modules_in_training_mode(model, likely) or modules_in_training_mode(model, NOISY + MIXING)
    if known:
        return f"in training mode: {shortened(known)}; call model.eval() first"
    others = modules_in_training_mode(model)
    if others:
        return f"in training mode: {shortened(others)}; call model.eval() first, then look for {look}"
    return f"no module is in training mode: look for {look}"
