"""Products with the curvature of a part of the loss. Believe none that `certificate.certify` has not seen.

Two matrices, each from the Jacobian of something: the Hessian H is that of the gradient; the Gauss-Newton matrix is
J^T Q J with the Jacobian J of the twisted predictions and Q the Hessian of the loss with respect to them, as the loss
is a quadratic function of them. It is positive semidefinite but for a `mean` that is corrected for its bias.

Five ways to such a Jacobian times a vector (`MODES`), which agree to rounding where a model allows them:

| mode         | how                                                | gradients a product | memory                 |
| ------------ | -------------------------------------------------- | ------------------- | ---------------------- |
| `cached`     | reverse over reverse, the first graph is kept      | 1.5 to 2.2          | a graph of all samples |
| `rebuilt`    | the same, a graph for each chunk and block         | 2 / b more          | a graph of a chunk     |
| `vmap`       | forward over reverse, columns together             | 2 to 6              | the same, each column  |
| `dual`       | forward over reverse, for an inner `autograd.grad` | 3 to 5              | a graph of a chunk     |
| `difference` | five-point differences of gradients, in float64    | 4, in float64       | that of a gradient     |

A Gauss-Newton product costs two thirds of that. Both parts could share J v, but Lanczos has other vectors in each.

Never `torch.func.linearize` or `jacrev`, and never reverse over forward: each is silently wrong on ordinary models.

Source: Pearlmutter, Neural Computation 6, 147 (1994); Schraudolph, Neural Computation 14, 1723 (2002).
"""

from __future__ import annotations

import warnings

import torch
from torch.autograd import forward_ad

from .._typing import Callable, Float, Tensor
from ..errors import UserError
from ..runtime.precision import differentiable
from .objective import LOSSES, Chunk, Objective, gradient

CURVATURES = ("hessian", "gauss_newton")
MODES = ("cached", "rebuilt", "vmap", "dual", "difference")
STEP = 3e-4  # length of the move in parameter space: its fourth power and rounding over it are both below 1e-11
VMAP_GRAPHS = 4  # a column of forward over reverse takes about this many graphs of the loss

Multiply = Callable[[Tensor], Tensor]  # a vector in, the product out


def operator(
    objective: Objective, part: str, curvature: str = "hessian", mode: str = "auto", keep_bytes: float = 2e9
) -> Operator:
    """The curvature of a part of the loss as an operator on blocks of columns, in the block's dtype.

    `auto` takes the first mode of `MODES` that a product on one sample does not raise in: `cached` if the graph of a
    chunk fits into `keep_bytes` (as many as fit are kept, the others rebuilt), else `rebuilt`.

    Args:
        objective: the loss.
        part: one of `curvature.LOSSES`.
        curvature: `hessian` or `gauss_newton`.
        mode: one of `MODES`, or `auto`.
        keep_bytes: memory [byte] that graphs kept between products may take, and that columns may take in `vmap`.

    Raises:
        UserError: no such part, curvature or mode.
    """
    for what, name, known in (
        ("part", part, LOSSES),
        ("curvature", curvature, CURVATURES),
        ("mode", mode, ("auto", *MODES)),
    ):
        if name not in known:
            raise UserError(f"operator, {what}", f"a {what}", repr(name), known)
    if mode == "auto":
        mode = _choose(objective, part, curvature, keep_bytes)
    return Operator(
        objective.to(torch.float64) if mode == "difference" else objective, part, curvature, mode, keep_bytes
    )


class Operator:
    """A symmetric matrix `[size, size]` that is only ever multiplied; made by `operator`.

    size: number of parameters.
    mode: how products are made.
    products: columns multiplied so far.
    """

    def __init__(self, objective: Objective, part: str, curvature: str, mode: str, keep_bytes: float):
        self._objective, self._part, self._curvature, self._free = objective, part, curvature, keep_bytes
        self._kept: list[Multiply | None] = []
        self._columns = 1
        self.size, self.mode, self.products = len(objective.parameters), mode, 0

    def __call__(self, block: Float[Tensor, "n b"]) -> Float[Tensor, "n b"]:
        """The products of the columns."""
        vectors = block.to(self._objective.parameters).T.contiguous()
        products = torch.zeros_like(vectors)
        with differentiable():
            self._prepare()
            for chunk, kept in zip(self._objective.chunks, self._kept, strict=True):
                products += chunk.share * self._multiply(chunk, kept, vectors)
        self.products += block.shape[1]
        return products.T.to(block)

    def _prepare(self) -> None:
        """On the first call: the graphs that fit into the memory allowed, or how many columns do."""
        if self._kept:
            return
        chunks = self._objective.chunks
        self._kept = [None] * len(chunks)
        if self.mode not in ("cached", "vmap"):
            return
        alone, parameters = chunks[0].first_sample(), self._objective.parameters
        if self.mode == "vmap":
            each = VMAP_GRAPHS * graph_bytes(lambda: self._objective.losses(parameters, alone), parameters)
            self._columns = max(1, int(self._free / (each * max(map(len, chunks)))))
            return
        each = graph_bytes(lambda: GRAPHS[self._curvature](self._objective, self._part, alone), parameters)
        for i, chunk in enumerate(chunks):
            self._free -= each * len(chunk)
            if self._free > 0:
                self._kept[i] = GRAPHS[self._curvature](self._objective, self._part, chunk)

    def _multiply(self, chunk: Chunk, kept: Multiply | None, vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Products with the curvature of one chunk."""
        if self.mode in ("cached", "rebuilt"):
            multiply = kept or GRAPHS[self._curvature](self._objective, self._part, chunk)
            return torch.stack([multiply(v) for v in vectors])
        if self._curvature == "hessian":
            return self._push(_slope(self._objective, self._part, chunk, self.mode), vectors)
        parameters = self._objective.parameters
        pushed = self._push(lambda p: self._objective.twisted(p, chunk), vectors)
        z = self._objective.twisted(parameters, chunk)
        curved = [self._objective.output_hessian_product(w, chunk, self._part) for w in pushed]
        return torch.stack([gradient(z, parameters, w, retain_graph=True) for w in curved])

    def _push(self, function: Multiply, vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """The Jacobian of a function of the parameters times vectors."""
        if self.mode == "vmap":
            at = self._objective.parameters.detach()
            one = lambda v: torch.func.jvp(function, (at,), (v,))[1]  # noqa: E731
            return torch.cat([torch.vmap(one)(v) for v in vectors.split(self._columns)])
        one = _dual if self.mode == "dual" else _difference
        return torch.stack([one(function, self._objective.parameters, v).detach() for v in vectors])


def _hessian_graph(objective: Objective, part: str, chunk: Chunk) -> Multiply:
    """Products from the graph of the gradient."""
    parameters = objective.parameters
    slope = gradient(objective.losses(parameters, chunk)[part], parameters, create_graph=True)
    return lambda vector: gradient(slope, parameters, vector, retain_graph=True)


def _gauss_newton_graph(objective: Objective, part: str, chunk: Chunk) -> Multiply:
    """Products from the graphs of the predictions and of J^T w, whose derivative with respect to w gives J v."""
    parameters = objective.parameters
    z = objective.twisted(parameters, chunk)
    w = torch.zeros_like(z, requires_grad=True)
    pulled = gradient(z, parameters, w, create_graph=True)
    if z.requires_grad and not pulled.requires_grad:
        raise RuntimeError("the derivative of the predictions cannot be differentiated: some function cuts the graph")

    def multiply(vector: Tensor) -> Tensor:
        pushed = gradient(pulled, w, vector, retain_graph=True)
        return gradient(z, parameters, objective.output_hessian_product(pushed, chunk, part), retain_graph=True)

    return multiply


GRAPHS = {"hessian": _hessian_graph, "gauss_newton": _gauss_newton_graph}


def _slope(objective: Objective, part: str, chunk: Chunk, mode: str) -> Multiply:
    """The gradient as a function of the parameters, such that the mode can differentiate it."""
    loss = lambda p: objective.losses(p, chunk)[part]  # noqa: E731
    if mode == "vmap":
        return torch.func.grad(loss)
    if mode == "dual":
        return lambda p: gradient(loss(p), p, create_graph=True)
    return lambda p: gradient(loss(p), p)


def _dual(function: Multiply, parameters: Tensor, vector: Tensor) -> Tensor:
    with forward_ad.dual_level():
        value = function(forward_ad.make_dual(parameters, vector))
        tangent = forward_ad.unpack_dual(value).tangent
    return torch.zeros_like(value) if tangent is None else tangent


def _difference(function: Multiply, parameters: Tensor, vector: Tensor) -> Tensor:
    """Five points: what is left of the truncation is of fourth order."""
    length = vector.norm()
    if length == 0:
        return torch.zeros_like(function(parameters))
    move = (STEP / length) * vector
    at = lambda k: function((parameters + k * move).detach().requires_grad_()).detach()  # noqa: E731
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) * (length / (12 * STEP))


def _choose(objective: Objective, part: str, curvature: str, keep_bytes: float) -> str:
    """The first mode in which a product on one sample does not raise; `rebuilt` where no graph of a chunk fits."""
    alone = objective.on_first_sample()
    vector = torch.ones_like(alone.parameters)[:, None].detach()
    for mode in ("rebuilt", "vmap", "dual"):
        try:
            Operator(alone, part, curvature, mode, keep_bytes)(vector)
        except RuntimeError as error:
            warnings.warn(f"no products in mode {mode!r}: {str(error).splitlines()[0]}", stacklevel=3)
            continue
        if mode != "rebuilt":
            return mode
        each = graph_bytes(lambda: GRAPHS[curvature](objective, part, alone.chunks[0]), objective.parameters)
        return "cached" if each * len(objective.chunks[0]) < keep_bytes else "rebuilt"
    return "difference"


def graph_bytes(make: Callable[[], object], parameters: Tensor) -> int:
    """Memory [byte] of the graph that a function makes, without the parameters."""
    sizes: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with differentiable(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        make()
    sizes.pop(parameters.untyped_storage().data_ptr(), None)
    return sum(sizes.values())
