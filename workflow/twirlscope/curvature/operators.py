"""Hessian- and Gauss-Newton-vector products of a part of the loss; verify them with `derivative_check.certify` first.

The Hessian H is the Jacobian of the gradient. The Gauss-Newton matrix is J^T Q J, with the Jacobian J of the twisted
predictions and the Hessian Q of the loss with respect to them. The loss is a quadratic function of the twisted
predictions. The Gauss-Newton matrix is positive semidefinite, except for a `mean` that is corrected for its bias.

Five modes (`MODES`) multiply such a Jacobian with a vector. Those that a model supports agree to rounding:

| mode         | method                                             | cost in gradients   | memory                 |
| ------------ | -------------------------------------------------- | ------------------- | ---------------------- |
| `cached`     | reverse over reverse, the first graph is kept      | 1.5 to 2.2          | a graph of all samples |
| `rebuilt`    | the same, a new graph per chunk and block          | 2 / b more          | a graph of a chunk     |
| `vmap`       | forward over reverse, columns together             | 2 to 6              | the same per column    |
| `dual`       | forward over reverse, for an inner `autograd.grad` | 3 to 5              | a graph of a chunk     |
| `difference` | five-point differences of gradients, in float64    | 4, in float64       | that of a gradient     |

The cost is per column, in blocks of b columns; a Gauss-Newton product costs two thirds of it. Both parts could share
J v, but their Lanczos vectors differ.

`torch.func.linearize`, `jacrev` and reverse over forward mode are not used: each is silently wrong on ordinary models.

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
STEP = 3e-4  # length of the differences in parameter space; truncation and rounding errors are both below 1e-11
VMAP_GRAPHS = 4  # memory of a column of forward over reverse, in graphs of the loss

Multiply = Callable[[Tensor], Tensor]  # maps a vector to its product


def operator(
    objective: Objective,
    part: str,
    curvature: str = "hessian",
    mode: str = "auto",
    keep_bytes: float = 2e9,
    together: int = 0,
) -> Operator:
    """Operator that multiplies blocks of columns with the curvature of a part of the loss, in the block's dtype.

    `auto` takes the first mode of `MODES` in which a product on one sample does not raise. It takes `cached` if the
    graph of a chunk fits into `keep_bytes`, else `rebuilt`. In mode `cached`, graphs that do not fit are rebuilt.

    Args:
        objective: the loss.
        part: one of `objective.LOSSES`.
        curvature: `hessian` or `gauss_newton`.
        mode: one of `MODES`, or `auto`.
        keep_bytes: memory [byte] for graphs kept between products, and for columns in mode `vmap`.
        together: columns multiplied at once by a graph, which is faster for small networks and takes as many times the
            memory; 0 for one after the other. A certificate of single columns does not cover it.

    Raises:
        UserError: the part, curvature or mode is unknown.
    """
    for what, name, known in (
        ("part", part, LOSSES),
        ("curvature", curvature, CURVATURES),
        ("mode", mode, ("auto", *MODES)),
    ):
        if name not in known:
            raise UserError(f"operator, {what}", f"a {what}", repr(name), known)
    if mode == "auto":
        mode = _choose_mode(objective, part, curvature, keep_bytes)
    objective = objective.to(torch.float64) if mode == "difference" else objective
    return Operator(objective, part, curvature, mode, keep_bytes, together)


class Operator:
    """Symmetric matrix `[size, size]`, available through its products only; `operator` creates it.

    size: number of parameters.
    mode: one of `MODES`.
    products: number of columns multiplied so far.
    """

    def __init__(
        self, objective: Objective, part: str, curvature: str, mode: str, keep_bytes: float, together: int = 0
    ):
        self._objective, self._part, self._curvature, self._free_bytes = objective, part, curvature, keep_bytes
        self._kept_graphs: list[Multiply | None] = []  # by chunk
        self._columns = 1  # at once, in mode `vmap`
        self._together = together
        self.size, self.mode, self.products = len(objective.parameters), mode, 0

    def __call__(self, block: Float[Tensor, "n b"]) -> Float[Tensor, "n b"]:
        """Products with the columns."""
        vectors = block.to(self._objective.parameters).T.contiguous()
        products = torch.zeros_like(vectors)
        with differentiable():
            self._prepare()
            for chunk, kept in zip(self._objective.chunks, self._kept_graphs, strict=True):
                products += chunk.share * self._multiply(chunk, kept, vectors)
        self.products += block.shape[1]
        return products.T.to(block)

    def _prepare(self) -> None:
        """On the first call: builds the graphs, or sets the number of columns, that fit into the memory allowed."""
        if self._kept_graphs:
            return
        chunks = self._objective.chunks
        self._kept_graphs = [None] * len(chunks)
        if self.mode not in ("cached", "vmap"):
            return
        single, parameters = chunks[0].first_sample(), self._objective.parameters
        if self.mode == "vmap":
            each = VMAP_GRAPHS * graph_bytes(lambda: self._objective.losses(parameters, single), parameters)
            self._columns = max(1, int(self._free_bytes / (each * max(map(len, chunks)))))
            return
        each = graph_bytes(lambda: GRAPHS[self._curvature](self._objective, self._part, single), parameters)
        for i, chunk in enumerate(chunks):
            self._free_bytes -= each * len(chunk)
            if self._free_bytes > 0:
                self._kept_graphs[i] = GRAPHS[self._curvature](self._objective, self._part, chunk)

    def _multiply(self, chunk: Chunk, kept: Multiply | None, vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Products of the vectors with the curvature of one chunk."""
        if self.mode in ("cached", "rebuilt"):
            multiply = kept or GRAPHS[self._curvature](self._objective, self._part, chunk)
            if self._together:
                return torch.cat([multiply(v, is_grads_batched=True) for v in vectors.split(self._together)])
            return torch.stack([multiply(v) for v in vectors])
        if self._curvature == "hessian":
            slope = _gradient_function(self._objective, self._part, chunk, self.mode)
            return self._jacobian_products(slope, vectors)
        parameters = self._objective.parameters
        Jv = self._jacobian_products(lambda p: self._objective.twisted(p, chunk), vectors)
        z = self._objective.twisted(parameters, chunk)
        QJv = [self._objective.output_hessian_product(w, chunk, self._part) for w in Jv]
        return torch.stack([gradient(z, parameters, w, retain_graph=True) for w in QJv])

    def _jacobian_products(self, function: Multiply, vectors: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """Products of the Jacobian of a function of the parameters with vectors."""
        if self.mode == "vmap":
            at = self._objective.parameters.detach()
            one = lambda v: torch.func.jvp(function, (at,), (v,))[1]  # noqa: E731
            return torch.cat([torch.vmap(one)(v) for v in vectors.split(self._columns)])
        one = _forward_mode if self.mode == "dual" else _difference
        return torch.stack([one(function, self._objective.parameters, v).detach() for v in vectors])


def _hessian_graph(objective: Objective, part: str, chunk: Chunk) -> Multiply:
    """Multiplication with the Hessian, from the graph of the gradient."""
    parameters = objective.parameters
    slope = gradient(objective.losses(parameters, chunk)[part], parameters, create_graph=True)
    return lambda vector, **keys: gradient(slope, parameters, vector, retain_graph=True, **keys)


def _gauss_newton_graph(objective: Objective, part: str, chunk: Chunk) -> Multiply:
    """Multiplication with the Gauss-Newton matrix; the derivative of J^T w with respect to w gives J v."""
    parameters = objective.parameters
    z = objective.twisted(parameters, chunk)
    w = torch.zeros_like(z, requires_grad=True)
    pulled = gradient(z, parameters, w, create_graph=True)
    if z.requires_grad and not pulled.requires_grad:
        raise RuntimeError("the derivative of the predictions cannot be differentiated: some function cuts the graph")

    def multiply(vector: Tensor, **keys: bool) -> Tensor:
        Jv = gradient(pulled, w, vector, retain_graph=True, **keys)
        rows = [objective.output_hessian_product(v, chunk, part) for v in Jv.reshape(-1, Jv.shape[-1])]
        return gradient(z, parameters, torch.stack(rows).reshape(Jv.shape), retain_graph=True, **keys)

    return multiply


GRAPHS = {"hessian": _hessian_graph, "gauss_newton": _gauss_newton_graph}


def _gradient_function(objective: Objective, part: str, chunk: Chunk, mode: str) -> Multiply:
    """Gradient as a function of the parameters that the mode can differentiate."""
    loss = lambda p: objective.losses(p, chunk)[part]  # noqa: E731
    if mode == "vmap":
        return torch.func.grad(loss)
    if mode == "dual":
        return lambda p: gradient(loss(p), p, create_graph=True)
    return lambda p: gradient(loss(p), p)


def _forward_mode(function: Multiply, parameters: Tensor, vector: Tensor) -> Tensor:
    """Derivative of a function along a vector, by forward-mode differentiation."""
    with forward_ad.dual_level():
        value = function(forward_ad.make_dual(parameters, vector))
        tangent = forward_ad.unpack_dual(value).tangent
    return torch.zeros_like(value) if tangent is None else tangent


def _difference(function: Multiply, parameters: Tensor, vector: Tensor) -> Tensor:
    """Derivative of a function along a vector from five points; the truncation error is of fourth order."""
    length = vector.norm()
    if length == 0:
        return torch.zeros_like(function(parameters))
    step = (STEP / length) * vector
    at = lambda k: function((parameters + k * step).detach().requires_grad_()).detach()  # noqa: E731
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) * (length / (12 * STEP))


def _choose_mode(objective: Objective, part: str, curvature: str, keep_bytes: float) -> str:
    """First mode in which a product on one sample does not raise; `rebuilt` if the graph of a chunk does not fit."""
    single = objective.on_first_sample()
    vector = torch.ones_like(single.parameters)[:, None].detach()
    for mode in ("rebuilt", "vmap", "dual"):
        try:
            Operator(single, part, curvature, mode, keep_bytes)(vector)
        except RuntimeError as error:
            warnings.warn(f"no products in mode {mode!r}: {str(error).splitlines()[0]}", stacklevel=3)
            continue
        if mode != "rebuilt":
            return mode
        each = graph_bytes(lambda: GRAPHS[curvature](objective, part, single.chunks[0]), objective.parameters)
        return "cached" if each * len(objective.chunks[0]) < keep_bytes else "rebuilt"
    return "difference"


def graph_bytes(make: Callable[[], object], parameters: Tensor) -> int:
    """Memory [byte] of the graph that a function builds, without the parameters."""
    sizes: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with differentiable(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        make()
    sizes.pop(parameters.untyped_storage().data_ptr(), None)
    return sum(sizes.values())
