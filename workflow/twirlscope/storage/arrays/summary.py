"""Arrays of the store `summary` of a report: the pooled numbers of the stores `twirl`, trainings side by side.

There is a group for each task, and one for potentials that were not trained. Every array has the dimension `training`
before its own, and NaN where a training has no such checkpoint, term or degree.
"""

from __future__ import annotations

from dataclasses import replace

from .declaration import declared as _v
from .twirl import TWIRL

# dimensions of numbers that are pooled over samples
POOLED = {"step", "term", "degree", "irrep", "merit", "element", "rotation_set", "convex"}
POOLED |= {"activation", "activation_degree"}

SUMMARY = {
    name: v if name in POOLED else replace(v, dims=("training", *v.dims), dtype="float64")
    for name, v in TWIRL.items()
    if set(v.dims) <= POOLED
} | {
    "run": _v("training", "str", "1", "name of the run"),
    "seed": _v("training", "int64", "1", "seed of the training"),
}
