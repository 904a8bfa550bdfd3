"""Optimisers by config name, with one interface: `step`, `zero_grad` and a state.

Matrices and higher tensors decay, vectors (biases, gains) never do. AdamW and Muon take the decay from the weights, the
others add it to the gradient.
"""

from __future__ import annotations

from typing import Any

import torch

from .._typing import Sequence, Tensor
from ..errors import UserError
from ..settings.train import TrainSettings

CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def optimiser(model: torch.nn.Module, settings: TrainSettings, device: str = "cpu") -> torch.optim.Optimizer | Joined:
    """The optimiser of a run over all parameters of its model; on a GPU of NVIDIA's in one kernel, where it has one.

    On the CPU each operation is one call for all parameters, with the bits of a loop over them. The one kernel would
    be faster still, but rounds differently.

    Muon updates the 2-D weights, embeddings included, and the kernels of convolutions as matrices with a row for each
    output; AdamW has all others. Its updates are scaled to the size of AdamW's, so that both have one learning rate.

    Source: K. Jordan et al., Muon: An optimizer for hidden layers in neural networks (2024); the scale is that of
    J. Liu et al., Muon is Scalable for LLM Training, arXiv 2502.16982, section 2.2.

    Raises:
        UserError: Muon is asked for, and the model has nothing for it.
    """
    rate, decay, momentum = settings.learning_rate, settings.weight_decay, settings.momentum
    fused = {"fused": True} if device.startswith("cuda") else {"foreach": True} if device == "cpu" else {}
    parameters = list(model.parameters())
    if settings.optimiser == "muon":
        kernels = {id(m.weight) for m in model.modules() if isinstance(m, CONVOLUTIONS)}
        turned = [p for p in parameters if p.ndim == 2 or id(p) in kernels]
        rest = [p for p in parameters if all(p is not other for other in turned)]
        if not turned:
            expected = "another one for a model without matrices and convolutions"
            raise UserError("train.optimiser", expected, "'muon'", ["adamw"])
        own = {"lr": rate, "weight_decay": decay, "momentum": momentum, "adjust_lr_fn": "match_rms_adamw"}
        made = Flattened(turned, **own)
        return Joined([made, *([torch.optim.AdamW(_groups(rest, decay), lr=rate, **fused)] if rest else [])])
    kind, own = {
        "adamw": (torch.optim.AdamW, fused),
        "adam": (torch.optim.Adam, fused),
        "sgd": (torch.optim.SGD, {"momentum": momentum} | fused),
        "rmsprop": (torch.optim.RMSprop, {} if "fused" in fused else fused),
    }[settings.optimiser]
    return kind(_groups(parameters, decay), lr=rate, **own)


def _groups(parameters: Sequence[Tensor], decay: float) -> list[dict[str, Any]]:
    """The parameters that decay and those that do not."""
    decays = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [{"params": decays, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


class Flattened(torch.optim.Muon):
    """Muon on weights of two and more dimensions, seen as matrices: all but the first dimension are one."""

    def __init__(self, weights: Sequence[Tensor], **settings: Any):
        self.weights = list(weights)
        super().__init__([w.detach().view(len(w), -1) for w in self.weights], **settings)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients."""
        for weight in self.weights:
            if set_to_none or weight.grad is None:
                weight.grad = None
            else:
                weight.grad.zero_()

    def step(self) -> None:
        """One update."""
        matrices = (p for group in self.param_groups for p in group["params"])
        for weight, matrix in zip(self.weights, matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        super().step()


class Joined:
    """Several optimisers, each with parameters of its own, as one; `param_groups` holds the groups of all."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]):
        self.parts = list(parts)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """One update of all parameters."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """State that the next update needs."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for part, kept in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(kept)
