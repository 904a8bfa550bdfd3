"""How tensors turn: the orthogonal action rho(g) on the last axis of a tensor, from an e3nn irreps string.

`0e` does not turn, `1o` is a vector in the order x, y, z, `0e+2e` a symmetric 3x3 tensor (stress), and so on.
"""

from __future__ import annotations

import functools

from .hints import Float, Tensor


@functools.lru_cache
def _parse(irreps: str):
    from e3nn.o3 import Irreps  # here, because importing e3nn takes seconds and scalars and vectors do not need it

    return Irreps(irreps)


def representation(irreps: str, rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b d d"]:
    """The matrices rho(g), block diagonal in the irreps. Source: e3nn, `Irreps.D_from_matrix`."""
    if irreps == "1o":
        return rotation
    return _parse(irreps).D_from_matrix(rotation.double()).to(rotation)


def turn(irreps: str, rotation: Float[Tensor, "sample 3 3"], tensor: Tensor) -> Tensor:
    """rho(g) applied to the last axis; the first axis of both is the sample, axes between are free."""
    if irreps == "0e":
        return tensor
    matrix = representation(irreps, rotation).to(tensor)
    flat = tensor.reshape(len(tensor), -1, tensor.shape[-1])
    return (flat @ matrix.transpose(-1, -2)).reshape(tensor.shape)


def twist(irreps: str, rotation: Float[Tensor, "sample 3 3"], response: Tensor) -> Tensor:
    """The twisted prediction z(g) = rho(g)^-1 f(g x) from the response f(g x)."""
    return turn(irreps, rotation.transpose(-1, -2), response)
