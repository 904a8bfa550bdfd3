"""Products with the Hessians of the two parts of the loss. Believe none that `certificate.certify` has not seen.

The loss is the squared error, whatever the training loss, and both parts come from one forward pass of the batch with
all rotations g_1..g_N of each sample, twisted predictions z_i, their mean zbar and the target y:

    L_equiv = mean_i |z_i - zbar|^2,    L_mean = |zbar - y|^2,    L_mean + L_equiv = mean_i |z_i - y|^2 exactly.

These are plug-in values. With a group {h g_i k}, h and k uniform for each sample, the expectation of L_mean is the true
one plus SUM_l q_l alpha_l, and what alpha_l does not let through (for the tetrahedral group: nothing of degrees 1, 2,
a seventh of degree 3) is all that L_equiv lacks. So a design with small alpha_l needs no correction of the bias, and
should have none: subtracting L_equiv / N makes L_mean unbiased but its Hessian indefinite, with negative eigenvalues
that belong to L_equiv. Independent rotations (alpha_l = 1/N for every l) are corrected nonetheless, as elsewhere.

Source: Pearlmutter, Neural Computation 6, 147 (1994), for the products; Shen et al.,
arXiv:2512.02303, for the parts.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import action, so3
from .contracts import Batch, Task
from .errors import UserError
from .hints import Float, Tensor
from .losses import inner
from .rotation_sets import randomised, rotation_set, uniform

PARTS = ("mean", "equiv")


def rotations(kind: str, samples: int, count: int, seed: int, group: str = "SO3") -> Float[Tensor, "sample rotation 4"]:
    """Rotations of each sample as unit quaternions: h g_i k for a set, h and k uniform a sample, or independent ones.

    With a uniform rotation on both sides, what twirling over the set leaves is SUM_l q_l alpha_l for any model.

    Args:
        kind: name of a rotation set with equal weights, or `independent`.
        count: number of independent rotations; a set has its own number.
        group: of the rotations that act on the samples; a set must lie in it.

    Raises:
        UserError: no such set, or one with weights.
    """
    generator = torch.Generator().manual_seed(seed)
    if kind == "independent":
        return uniform(group, samples, count, generator=generator)
    chosen = rotation_set(kind)
    if not chosen.equal:
        raise UserError("rotation_set", "a set of rotations with equal weights", repr(kind))
    return randomised(chosen, samples, 1, generator, group)[:, 0]


@contextlib.contextmanager
def differentiable() -> Iterator[None]:
    """Kernels that can be differentiated twice, without TF32, with gradients on."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [f.allow_tf32 for f in flags]
    try:
        for f in flags:
            f.allow_tf32 = False
        with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            yield
    finally:
        for f, value in zip(flags, before, strict=True):
            f.allow_tf32 = value


@dataclass(frozen=True)
class Chunk:
    """Some samples in all their rotations: what stays the same while the parameters change.

    inputs, rotation: one entry a rotated sample, the rotations of a sample in a row.
    targets, weights: one entry a sample, not rotated.
    share: of the samples of the whole batch.
    """

    inputs: dict[str, Tensor]
    rotation: Float[Tensor, "rotated 3 3"]
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]
    share: float

    def first(self) -> Chunk:
        """The first sample alone."""
        copies = len(self.rotation) // len(self)
        inputs = {k: v[:copies] for k, v in self.inputs.items()}
        targets, weights = ({k: v[:1] for k, v in d.items()} for d in (self.targets, self.weights))
        return Chunk(inputs, self.rotation[:copies], targets, weights, self.share / len(self))

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))


class Objective:
    """Both parts of the loss as functions of the flat parameter vector, on fixed samples and rotations.

    Dtype and device are those of the model; a copy of it is kept, in evaluation mode. Frozen parameters are left out.

    Args:
        task: says how samples turn, and the terms of the loss and their weights.
        batch: the samples, not rotated.
        quaternion: the rotations, `rotations` makes them.
        chunk: samples differentiated at once; the result does not depend on it.
        unbiased: split for independent rotations, without the plug-in's bias.
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
        self._model, self._task, self._unbiased = copy.deepcopy(model).eval(), task, unbiased
        named = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        self._shapes = {n: p.shape for n, p in named.items()}
        self._sizes = [p.numel() for p in named.values()]
        self.parameters = torch.cat([p.detach().flatten() for p in named.values()]).requires_grad_()
        starts = range(0, len(batch), chunk)
        self.chunks = [self._chunk(batch, quaternion, slice(s, s + chunk)) for s in starts]

    def _chunk(self, batch: Batch, quaternion: Tensor, part: slice) -> Chunk:
        """Turned in float64, so that every dtype sees the same geometry to its rounding."""
        whole, device, dtype = len(batch), self.parameters.device, self.parameters.dtype
        batch = batch.to("cpu", torch.float64).map(lambda t: t[part])
        rotation = so3.matrix(quaternion[part].reshape(-1, 4))
        inputs = self._task.rotate(batch.repeat(quaternion.shape[1]), rotation).to(device, dtype).inputs
        share, batch = len(batch) / whole, batch.to(device, dtype)
        return Chunk(inputs, rotation.to(device, dtype), batch.targets, batch.weights, share)

    def losses(self, parameters: Float[Tensor, " n"], chunk: Chunk) -> dict[str, Tensor]:
        """`mean`, `equiv` and `total`, their sum: means over the samples of a chunk, weighted sums of the terms."""
        pieces = zip(self._shapes.items(), parameters.split(self._sizes), strict=True)
        named = {name: piece.view(shape) for (name, shape), piece in pieces}
        prediction = torch.func.functional_call(self._model, named, (chunk.inputs,))
        mean = equiv = parameters.new_zeros(())
        for term in self._task.terms:
            y, weights = chunk.targets[term.name], chunk.weights[term.name]
            z = action.twist(term.irreps, chunk.rotation, prediction[term.name])
            one, other = _split(z.reshape(len(y), -1, *y.shape[1:]), y, weights, self._unbiased)
            mean, equiv = mean + term.weight * one, equiv + term.weight * other
        return {"mean": mean, "equiv": equiv, "total": mean + equiv}

    def values(self) -> dict[str, float]:
        """The losses of the whole batch at the parameters of the model."""
        with differentiable():
            found = [self.losses(self.parameters, c) for c in self.chunks]
        return {k: sum(c.share * f[k].item() for c, f in zip(self.chunks, found, strict=True)) for k in found[0]}

    def gradients(self, parameters: Float[Tensor, " n"]) -> Float[Tensor, "part n"]:
        """Gradients of both parts at any parameters, on the whole batch."""
        parameters = parameters.detach().requires_grad_()
        total = parameters.new_zeros(len(PARTS), len(parameters))
        with differentiable():
            for chunk in self.chunks:
                losses = self.losses(parameters, chunk)
                for row, part in zip(total, PARTS, strict=True):
                    row += chunk.share * _gradient(losses[part], parameters, retain_graph=True)
        return total


def _split(
    z: Float[Tensor, "sample rotation *v c"], y: Float[Tensor, "sample *v c"], weights: Tensor, unbiased: bool
) -> tuple[Tensor, Tensor]:
    """Mean and equivariance error of one term, means over samples."""
    K = z.shape[1]
    centre = z.mean(1)
    spread = (z - centre[:, None]).flatten(0, 1)
    equiv = inner(spread, spread, weights.repeat_interleave(K, 0)).mean()
    mean = inner(centre - y, centre - y, weights).mean()
    if unbiased:
        equiv = equiv * (K / (K - 1))
        mean = mean - equiv / K
    return mean, equiv


def _gradient(value: Tensor, parameters: Tensor, vector: Tensor | None = None, **keys: bool) -> Float[Tensor, " n"]:
    """Gradient, or vector-Jacobian product; zeros where nothing depends on the parameters."""
    if not value.requires_grad:
        return torch.zeros_like(parameters)
    return torch.autograd.grad(value, parameters, vector, materialize_grads=True, **keys)[0]


class HessianOperator:
    """The Hessian of a part of the loss: a block of columns in, the products with them out, in the block's dtype.

    Reverse over reverse. The graphs of the gradients are kept from the first product on, for as many chunks as fit;
    a kept graph makes a product cost two gradients instead of four.

    Args:
        objective: the loss.
        part: `mean`, `equiv` or `total`.
        keep_bytes: memory that kept graphs may take.
    """

    def __init__(self, objective: Objective, part: str, keep_bytes: float = 2e9):
        self._objective, self._part, self._free = objective, part, keep_bytes
        self._kept: list[Tensor | None] = []
        self.size = len(objective.parameters)

    def __call__(self, block: Float[Tensor, "n b"]) -> Float[Tensor, "n b"]:
        """The products of the columns."""
        parameters = self._objective.parameters
        vectors = block.to(parameters).T.contiguous()
        products = torch.zeros_like(vectors)
        with differentiable():
            self._keep()
            for chunk, kept in zip(self._objective.chunks, self._kept, strict=True):
                gradient = self._graph(chunk) if kept is None else kept
                for product, vector in zip(products, vectors, strict=True):
                    product += chunk.share * _gradient(gradient, parameters, vector, retain_graph=True)
        return products.T.to(block)

    def _graph(self, chunk: Chunk) -> Float[Tensor, " n"]:
        """The gradient, with the graph that makes it differentiable."""
        parameters = self._objective.parameters
        return _gradient(self._objective.losses(parameters, chunk)[self._part], parameters, create_graph=True)

    def _keep(self) -> None:
        """On the first call: the graphs that fit into the memory allowed."""
        if self._kept:
            return
        each = self._graph_bytes() if self._free else math.inf
        for chunk in self._objective.chunks:
            self._free -= each * len(chunk)
            self._kept.append(self._graph(chunk) if self._free > 0 else None)

    def _graph_bytes(self) -> int:
        """Memory of the graph of one sample."""
        sizes: dict[int, int] = {}

        def count(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            self._graph(self._objective.chunks[0].first())
        return sum(sizes.values())
