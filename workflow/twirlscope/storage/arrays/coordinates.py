"""Coordinates that several kinds of store share, and the cluster of a sample."""

from __future__ import annotations

from .declaration import declared as _v

COORDINATES = {
    "step": _v("step", "int64", "1", "training step: number of optimiser updates before this checkpoint"),
    "sample": _v("sample", "int64", "1", "index of the sample in the dataset"),
    "cluster": _v(
        "sample",
        "int32",
        "1",
        "index of the group of samples that are not independent: frames of a molecule, chains of similar sequence",
    ),
    "term": _v("term", "str", "1", "term of the loss; `weighted` is the weighted sum of all terms"),
    "degree": _v("degree", "int64", "1", "degree l of the Wigner matrices"),
    "xyz": _v("xyz", "str", "1", "Cartesian axis"),
    "element": _v("element", "int64", "1", "atomic number"),
    "part": _v(
        "part", "str", "1", "part of the loss: mean (twirled prediction error), equiv (equivariance error) or total"
    ),
}
