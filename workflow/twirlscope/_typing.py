"""Type hints for arrays: `Float[Tensor, "sample atom 3"]` gives dtype and shape; tests check both (jaxtyping).

Torch, which takes seconds and 200 MB, is imported with the name `Tensor` only, by modules that compute with it.

Axis names are the dimension words of the stored arrays: sample, atom, rotation, xyz, step, probe, ritz.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Bool, Float, Int, Real, UInt
from numpy import ndarray

if TYPE_CHECKING:
    from torch import Tensor

Array = ndarray
Values = Float[Array, "..."] | float
Index = object  # indices of samples as an array, tensor, list or range, or a mask with one boolean per sample
Irreps = object  # a string such as "0e+1o", or an e3nn `Irreps`, whose import takes seconds

__all__ = [
    "Array",
    "Bool",
    "Callable",
    "Float",
    "Index",
    "Int",
    "Irreps",
    "Iterable",
    "Iterator",
    "Mapping",
    "Real",
    "Sequence",
    "Tensor",
    "UInt",
    "Values",
]


def __getattr__(name: str) -> type:
    """`Tensor`, on first use."""
    if name != "Tensor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torch import Tensor

    return Tensor
