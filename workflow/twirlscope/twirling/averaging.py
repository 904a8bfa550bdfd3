"""Test-time twirling: averaging over a set of rotations makes a model equivariant up to the degree of the set.

In the example, a vector is predicted for each point of a cloud. Every prediction is off by the same vector, fixed in
the lab:

    >>> import torch, twirlscope
    >>> def predict(inputs):
    ...     return {"arrow": -inputs["points"] + torch.tensor([0.0, 0.0, 0.1])}
    >>> better = twirlscope.twirled(predict, "D2", irreps_in={"points": "1o"}, irreps_out={"arrow": "1o"})
    >>> points = torch.randn(8, 5, 3)
    >>> print((better({"points": points})["arrow"] + points).abs().max() < 1e-6)  # four passes remove the bias
    tensor(True)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .._typing import Callable, Float, Irreps, Iterable, Mapping, Tensor
from ..errors import UserError
from ..geometry import action, rotation_sets, so3
from ..geometry.rotation_sets import RotationSet

Tensors = dict[str, Tensor]


def twirled(
    predict: Callable[[Tensors], Tensors],
    rotations: RotationSet | str,
    irreps_in: Mapping[str, Irreps],
    irreps_out: Mapping[str, Irreps],
    inversion: bool = False,
    generator: torch.Generator | None = None,
    chunk: int = 256,
) -> Callable[[Tensors], Tensors]:
    """Callable like `predict` that averages over a set of rotations: SUM_i w_i rho(g_i)^-1 f(g_i x).

    The average is the twirled prediction T, and equivariant, if the set is exact to the degree of the twisted
    prediction. That degree is the degree of f in the rotation plus the degree of the output (0 for a scalar, 1 for a
    vector). A trained network has all degrees: at random orientations the equivariance error SUM_l q_l alpha_l remains
    (`rotation_sets`). A call costs one pass per rotation of the set, two with inversion. The module docstring has an
    example.

    Args:
        predict: maps inputs to predictions; the first axis of every tensor is the sample.
        rotations: a set or its name; `rotation_sets.smallest(degree)` is the cheapest set that is exact to a degree.
        irreps_in: irreps of the last axis of each input, strings or e3nn `Irreps`; inputs not named do not turn.
        irreps_out: irreps of the last axis of each prediction, none left out; `0e` for a scalar.
        inversion: average over O(3), each rotation with and without inversion, instead of SO(3).
        generator: draws a new random orientation of the set for every sample of every call, so that errors average
            out. Without it the set is fixed in the lab, and equal inputs give equal predictions.
        chunk: rotated samples in one call of `predict`. Recorded gradients keep all chunks in memory.

    Raises:
        UserError: no set has that name; at a call: inputs, predictions and irreps that do not fit.
    """
    chosen = rotation_sets.rotation_set(rotations) if isinstance(rotations, str) else rotations
    return Twirled(predict, irreps_in, irreps_out, chunk, chosen, inversion, generator)


@dataclass(frozen=True)
class Averaged:
    """Base of callables that average a prediction over rotations; `twirled` describes the fields."""

    predict: Callable[[Tensors], Tensors]
    irreps_in: Mapping[str, Irreps]
    irreps_out: Mapping[str, Irreps]
    chunk: int

    def average(self, inputs: Tensors, rotation: Float[Tensor, "sample n 3 3"], weight: Float[Tensor, " n"]) -> Tensors:
        """Weighted mean of the twisted predictions; a call of `predict` takes as many rotations as fit into a chunk."""
        total, size = {}, max(1, self.chunk // len(rotation))
        for start in range(0, len(weight), size):
            some = slice(start, start + size)
            for name, z in self._twisted(inputs, rotation[:, some]).items():
                z = z if z.is_floating_point() or z.is_complex() else z.to(torch.get_default_dtype())
                part = torch.tensordot(weight[some].to(z), z, ([0], [1]))  # in integers, weights would be cut to 0
                total[name] = total[name] + part if name in total else part
        return total

    def _twisted(self, inputs: Tensors, rotation: Float[Tensor, "sample n 3 3"]) -> Tensors:
        """Twisted predictions `[sample, n, ...]` of every sample under each of its rotations."""
        shape, flat = rotation.shape[:2], rotation.flatten(0, 1)
        copies = {k: v.repeat_interleave(shape[1], 0) for k, v in inputs.items()}
        response = self.predict({k: action.rotate(self.irreps_in.get(k, "0e"), flat, v) for k, v in copies.items()})
        check_names("irreps_out", "the name of a prediction", self.irreps_out, response)
        check_names("predictions", "predictions whose irreps are given", response, self.irreps_out)
        return {k: action.twist(self.irreps_out[k], flat, v).unflatten(0, shape) for k, v in response.items()}


@dataclass(frozen=True)
class Twirled(Averaged):
    """Callable that averages over a set of rotations; `twirled` creates it and describes the fields."""

    rotations: RotationSet
    inversion: bool
    generator: torch.Generator | None

    def __call__(self, inputs: Tensors) -> Tensors:
        """Averaged prediction, with the names, shapes and dtypes of `predict`; the mean of integers is not one."""
        check_names("irreps_in", "the name of an input", self.irreps_in, inputs)
        samples, parities = len(next(iter(inputs.values()))), (1, -1) if self.inversion else (1,)
        (before, after), parts = self._orientation(samples), []
        for start in range(0, samples, self.chunk):
            some = slice(start, start + self.chunk)
            quaternion = so3.product(after[some], so3.product(self.rotations.quaternion, before[some]))
            rotation = torch.cat([so3.matrix(quaternion, p) for p in parities], 1)
            weight = self.rotations.weight.repeat(len(parities)) / len(parities)
            parts.append(self.average({k: v[some] for k, v in inputs.items()}, rotation, weight))
        return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}

    def _orientation(self, samples: int) -> Float[Tensor, "2 sample 1 4"]:
        """Rotations of each sample before and after those of the set: random, or the identity without a generator."""
        if self.generator is None:
            return torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(2, samples, 1, 4)
        return so3.haar(2, samples, 1, generator=self.generator)


def check_names(where: str, expected: str, names: Iterable[str], known: Mapping) -> None:
    """Refuses names that are not known, since the tensors meant would not turn."""
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        raise UserError(f"averaging, {where}", expected, repr(wrong), known)
