"""Type hints for arrays: `Float[Tensor, "sample atom 3"]` gives dtype and shape; tests check both (jaxtyping).

Axis names are the dimension words of the stored arrays: sample, atom, rotation, xyz, step, probe, ritz.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from jaxtyping import Bool, Float, Int, UInt64
from numpy import ndarray
from torch import Tensor

Array = ndarray
Values = Float[Array, "..."] | float

__all__ = [
    "Array",
    "Bool",
    "Callable",
    "Float",
    "Int",
    "Iterable",
    "Iterator",
    "Mapping",
    "Sequence",
    "Tensor",
    "UInt64",
    "Values",
]
