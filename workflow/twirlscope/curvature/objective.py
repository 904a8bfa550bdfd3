"""Both parts of the loss as twice differentiable functions of all parameters.

The loss is the squared error, whatever the training loss. One forward pass of the batch with all rotations g_1..g_N of
each sample gives the twisted predictions z_i. With their mean zbar and the target y the parts are

    L_equiv = mean_i |z_i - zbar|^2,    L_mean = |zbar - y|^2,    L_mean + L_equiv = mean_i |z_i - y|^2 exactly.

These are plug-in values. Take a group {h g_i k}, with h and k uniform for each sample. The expectation of L_mean then
exceeds the true value by the bias SUM_l q_l alpha_l, and that of L_equiv is too small by the same amount. The
tetrahedral group has alpha_l = 0 for degrees 1 and 2, and 1/7 for degree 3.

A design with small alpha_l needs no correction of the bias, and should have none. Subtracting L_equiv / N makes L_mean
unbiased, but its Hessian indefinite, with negative eigenvalues that belong to L_equiv. Independent rotations (alpha_l =
1/N for every l) are corrected nonetheless, as in the loss split. `mean_plugin` is then the part without the correction,
whose curvature can be interpreted.

Source: Shen et al., arXiv:2512.02303.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from .._typing import Float, Sequence, Tensor
from ..contracts import Batch, Task
from ..geometry import action, so3
from ..losses import inner
from ..runtime.precision import differentiable, duplicate

PARTS = ("mean", "equiv")
LOSSES = (*PARTS, "total", "mean_plugin")


@dataclass(frozen=True)
class Chunk:
    """Some samples in all their rotations; independent of the parameters.

    inputs, rotation: one entry per rotated sample, the rotations of a sample in a row.
    targets, weights: one entry per sample, not rotated.
    share: number of these samples over that of the whole batch.
    """

    inputs: dict[str, Tensor]
    rotation: Float[Tensor, "rotated 3 3"]
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]
    share: float

    def first_sample(self) -> Chunk:
        """Chunk with the first sample only."""
        copies = len(self.rotation) // len(self)
        inputs = {k: v[:copies] for k, v in self.inputs.items()}
        targets, weights = ({k: v[:1] for k, v in d.items()} for d in (self.targets, self.weights))
        return Chunk(inputs, self.rotation[:copies], targets, weights, self.share / len(self))

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))


class Objective:
    """Both parts of the loss as functions of the flat parameter vector, on fixed samples and rotations.

    Dtype and device are those of the model, of which it keeps a copy in evaluation mode. Frozen parameters are left
    out.

    Args:
        task: rotates the samples; holds the terms of the loss and their weights.
        batch: the samples, not rotated; `losses.balanced` where some have no target of a term.
        quaternion: the rotations, from `rotation_sets.sample_rotations`.
        chunk: samples differentiated at once; the result does not depend on it.
        unbiased: split for independent rotations, corrected for the bias of the plug-in values.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        task: Task,
        batch: Batch,
        quaternion: Float[Tensor, "sample rotation 4"],
        chunk: int = 8,
        unbiased: bool = False,
    ):
        self.model, self._task, self._size, self._unbiased = duplicate(model).eval(), task, chunk, unbiased
        named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self._shapes = {n: p.shape for n, p in named.items()}
        self._sizes = [p.numel() for p in named.values()]
        self.parameters = torch.cat([p.detach().flatten() for p in named.values()]).requires_grad_()
        self._place(batch, quaternion)

    def _place(self, batch: Batch, quaternion: Float[Tensor, "sample rotation 4"]) -> None:
        """Take these samples and rotations."""
        self._samples, starts = (batch, quaternion), range(0, len(batch), self._size)
        self.chunks = [self._chunk(batch, quaternion, slice(s, s + self._size)) for s in starts]

    def _chunk(self, batch: Batch, quaternion: Tensor, part: slice) -> Chunk:
        """Chunk of these samples; rotated in float64, so the geometry is the same in every dtype up to rounding."""
        whole, device, dtype = len(batch), self.parameters.device, self.parameters.dtype
        batch = batch.to("cpu", torch.float64).map(lambda t: t[part])
        rotation = so3.matrix(quaternion[part].reshape(-1, 4))
        inputs = self._task.rotate(batch.repeat(quaternion.shape[1]), rotation).to(device, dtype).inputs
        share, batch = len(batch) / whole, batch.to(device, dtype)
        return Chunk(inputs, rotation.to(device, dtype), batch.targets, batch.weights, share)

    def on(self, batch: Batch, quaternion: Float[Tensor, "sample rotation 4"]) -> Objective:
        """The same objective on other samples and rotations, with the same copy of the model."""
        other = copy.copy(self)
        other._place(batch, quaternion)
        return other

    def to(self, dtype: torch.dtype) -> Objective:
        """The same objective in another dtype, with its samples rotated anew."""
        return Objective(duplicate(self.model).to(dtype), self._task, *self._samples, self._size, self._unbiased)

    def on_first_sample(self) -> Objective:
        """The same objective on its first sample only, to try modes and measure memory."""
        small = copy.copy(self)
        small.chunks = [self.chunks[0].first_sample()]
        return small

    def twisted(self, parameters: Float[Tensor, " n"], chunk: Chunk) -> Float[Tensor, " m"]:
        """Twisted predictions of all terms as one vector, of which the loss is a quadratic function."""
        pieces = zip(self._shapes.items(), parameters.split(self._sizes), strict=True)
        named = {name: piece.view(shape) for (name, shape), piece in pieces}
        prediction = torch.func.functional_call(self.model, named, (chunk.inputs,))
        z = (action.twist(t.irreps, chunk.rotation, prediction[t.name]) for t in self._task.terms)
        return torch.cat([t.flatten() for t in z])

    def terms_without_graph(self) -> list[str]:
        """Terms of the loss, with a weight, whose prediction has no graph to any parameter."""
        named = {n: p.detach().requires_grad_() for n, p in self.model.named_parameters() if n in self._shapes}
        with differentiable():
            found = torch.func.functional_call(self.model, named, (self.chunks[0].first_sample().inputs,))
        return [t.name for t in self._task.terms if t.weight and not found[t.name].requires_grad]

    def losses(self, parameters: Float[Tensor, " n"], chunk: Chunk) -> dict[str, Tensor]:
        """Losses named in `LOSSES`: means over the samples of a chunk, weighted sums over the terms.

        `mean` + `equiv` = `total`; `mean_plugin` differs from `mean` if `mean` is corrected for its bias.
        """
        return self._parts(self.twisted(parameters, chunk), chunk)

    def output_hessian_product(self, z: Float[Tensor, " m"], chunk: Chunk, part: str) -> Float[Tensor, " m"]:
        """Q z, with the Hessian Q of a part of the loss with respect to the twisted predictions.

        Q is positive semidefinite, but indefinite for a `mean` that is corrected for its bias.
        """
        z = z.detach().requires_grad_()
        return gradient(self._parts(z, chunk, origin=True)[part], z)  # the gradient of the quadratic form

    def _parts(self, z: Float[Tensor, " m"], chunk: Chunk, origin: bool = False) -> dict[str, Tensor]:
        """Losses of twisted predictions against the targets, or against zero (`origin`)."""
        mean = equiv = plugin = z.new_zeros(())
        copies = len(chunk.rotation) // len(chunk)
        sizes = [copies * chunk.targets[t.name].numel() for t in self._task.terms]
        for term, piece in zip(self._task.terms, z.split(sizes), strict=True):
            y, weights = chunk.targets[term.name], chunk.weights[term.name]
            y = torch.zeros_like(y) if origin else y
            found = _split(piece.reshape(len(y), copies, *y.shape[1:]), y, weights, self._unbiased)
            mean, equiv, plugin = (s + term.weight * f for s, f in zip((mean, equiv, plugin), found, strict=True))
        return {"mean": mean, "equiv": equiv, "total": mean + equiv, "mean_plugin": plugin}

    def values(self, parameters: Float[Tensor, " n"] | None = None) -> dict[str, float]:
        """Losses of the whole batch, at the parameters of the model or at others."""
        parameters = self.parameters if parameters is None else parameters
        with differentiable():
            found = [self.losses(parameters, c) for c in self.chunks]
        return {k: sum(c.share * f[k].item() for c, f in zip(self.chunks, found, strict=True)) for k in found[0]}

    def gradients(self, parameters: Float[Tensor, " n"], parts: Sequence[str] = PARTS) -> Float[Tensor, "part n"]:
        """Gradients of parts of the loss on the whole batch, at these parameters."""
        parameters = parameters.detach().requires_grad_()
        total = parameters.new_zeros(len(parts), len(parameters))
        with differentiable():
            for chunk in self.chunks:
                losses = self.losses(parameters, chunk)
                for row, part in zip(total, parts, strict=True):
                    row += chunk.share * gradient(losses[part], parameters, retain_graph=True)
        return total


def _split(
    z: Float[Tensor, "sample rotation *v c"], y: Float[Tensor, "sample *v c"], weights: Tensor, unbiased: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, equivariance error and plug-in mean of one term, averaged over samples."""
    K = z.shape[1]
    centre = z.mean(1)
    spread = (z - centre[:, None]).flatten(0, 1)
    equiv = inner(spread, spread, weights.repeat_interleave(K, 0)).mean()
    plugin = inner(centre - y, centre - y, weights).mean()
    if not unbiased:
        return plugin, equiv, plugin
    equiv = equiv * (K / (K - 1))
    return plugin - equiv / K, equiv, plugin


def gradient(value: Tensor, at: Tensor, vector: Tensor | None = None, **keys: bool) -> Tensor:
    """Gradient, or vector-Jacobian product; zeros if the value does not depend on `at`."""
    if not value.requires_grad:
        return torch.zeros_like(at)
    return torch.autograd.grad(value, at, vector, materialize_grads=True, **keys)[0]


def rademacher(size: int, probes: int, seed: int) -> Float[Tensor, "n b"]:
    """Probes of independent random signs, in float64 on the CPU, reproducible by their seed."""
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (probes, size), generator=generator).T.double() - 1.0
