"""Arrays of the store `dynamics`: drift of conserved quantities along trajectories at constant energy.

Dimensions beside the shared ones: `orientation` (`fixed`, or `random`: a new rotation before every call of the model),
`trajectory` (one per structure at the start), `time`. All numbers are per atom.
"""

from __future__ import annotations

from .coordinates import COORDINATES
from .declaration import declared as _v

RANDOM = "Langer, Pozdnyakov and Ceriotti, arXiv:2406.17747"
SERIES, ONE = "orientation trajectory time", "orientation trajectory"

DYNAMICS = COORDINATES | {
    "orientation": _v(
        "orientation", "str", "1", "fixed, or random: a new rotation before every call of the model", RANDOM
    ),
    "time": _v("time", "float64", "ps", "time since the start of a trajectory"),
    "trajectory_sample": _v("trajectory", "int64", "1", "index in the dataset of the structure at the start"),
    "trajectory_cluster": _v("trajectory", "int32", "1", "cluster of the structure at the start"),
    "energy_change": _v(SERIES, "float64", "eV/atom", "total energy less that at the start"),
    "momentum_change": _v(SERIES, "float64", "eV ps/Å", "norm of the change of the linear momentum, per atom"),
    "angular_change": _v(
        SERIES, "float64", "eV ps", "norm of the change of the angular momentum, per atom; NaN for periodic structures"
    ),
    "energy_drift": _v(ONE, "float64", "eV/atom/ps", "slope of the total energy over time"),
    "force_drift": _v(
        ONE, "float64", "eV/Å", "norm of the slope of the linear momentum, per atom: mean net force over atoms"
    ),
    "torque_drift": _v(
        ONE, "float64", "eV", "norm of the slope of the angular momentum, per atom; NaN for periodic structures"
    ),
}

for _name in ("energy_drift", "force_drift", "torque_drift"):
    DYNAMICS[f"mean_{_name}"] = _v("orientation", "float64", DYNAMICS[_name].unit, f"mean of {_name} over trajectories")
    for _end in ("low", "high"):
        DYNAMICS[f"mean_{_name}_{_end}"] = _v(
            "orientation",
            "float64",
            DYNAMICS[_name].unit,
            f"{_end} end of the 95 % interval of mean_{_name}, by bootstrap over clusters of samples",
        )
