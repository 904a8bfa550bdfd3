"""GradNorm: weights of several losses, moved until their gradients have norms that fit their training rates.

Source: Chen, Badrinarayanan, Lee, Rabinovich, ICML 2018, arXiv:1711.02257, algorithm 1.
"""

from __future__ import annotations

import torch

from ..._typing import Float, Sequence, Tensor
from ...errors import UserError
from .modules import module_at


class GradNorm(torch.nn.Module):
    """Weights of losses, and the losses of the first update; both are saved with a training.

    One step moves the weights down the gradient of SUM_i |w_i G_i - c_i|, with G_i the norm of the gradient of loss i,
    and c_i the mean of w_j G_j times r_i^exponent, held constant. r_i is the loss over its first value, over the mean
    of these ratios. The weights then get the sum that they had at first. No gradient reaches the model.

    Args:
        weights: the first ones.
        rate: learning rate.
        exponent: of the relative training rate r_i.
        floor: smallest weight, before their sum is restored.
    """

    def __init__(self, weights: Sequence[float], rate: float, exponent: float, floor: float):
        super().__init__()
        self._rate, self._exponent, self._floor = rate, exponent, floor
        self.register_buffer("values", torch.tensor(weights))
        self.register_buffer("first", torch.full((len(weights),), torch.nan))

    def gradient(self, losses: Float[Tensor, " loss"], norms: Float[Tensor, " loss"]) -> Float[Tensor, " loss"]:
        """Gradient with respect to the weights: sign(w_i G_i - c_i) G_i."""
        ratio = losses / self.first
        weighted = self.values * norms
        target = weighted.mean() * (ratio / ratio.mean()) ** self._exponent
        return (weighted - target).sign() * norms

    def update(self, losses: Float[Tensor, " loss"], norms: Float[Tensor, " loss"]) -> None:
        """One step of the weights, from the losses of an update and the norms of their gradients, unweighted."""
        losses, norms = losses.to(self.values), norms.to(self.values)
        if self.first.isnan().any():
            self.first.copy_(losses)
        total = self.values.sum()
        moved = (self.values - self._rate * self.gradient(losses, norms)).clamp(min=self._floor)
        self.values.copy_(moved * total / moved.sum())


def shared_parameters(model: torch.nn.Module, layer: str) -> list[Tensor]:
    """Trained parameters of a module, by its path; empty for the last block, or for the last module that has some.

    Raises:
        UserError: no such module, or one without trained parameters.
    """
    chosen = module_at(model, layer, "train.objective.layer")
    if chosen is None:
        chosen = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))][-1]
    found = [p for p in chosen.parameters() if p.requires_grad]
    if not found:
        raise UserError("train.objective.layer", "a module with trained parameters", repr(layer))
    return found


def shared_gradients(losses: Float[Tensor, " loss"], parameters: Sequence[Tensor]) -> Float[Tensor, "loss parameter"]:
    """Gradients of each loss with respect to some parameters, flat; the graph of the losses stays."""
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
        rows.append(torch.cat([g.flatten() for g in flat]))
    return torch.stack(rows)
