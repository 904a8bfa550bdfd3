"""Numbers that other tools would report for the predictions of external potentials."""

from __future__ import annotations

import math

import pandas as pd

from ...._typing import Sequence
from ...numbers import Column, numbers
from ...tables import Table
from ...trainings import Training

COLUMNS = {  # variable: words, unit on the page, factor
    "peg_energy_mean": ("ml-peg: mean |ΔE|", "meV/atom", 1e3),
    "peg_energy_max": ("ml-peg: max |ΔE|", "meV/atom", 1e3),
    "peg_force_mean": ("ml-peg: mean ΔF", "meV/Å", 1e3),
    "peg_force_max": ("ml-peg: max ΔF", "meV/Å", 1e3),
    "arena_pass_rate": ("MLIP Arena: pass rate", "%", 100),
    "arena_force_rate": ("MLIP Arena: pass rate of ΔF", "%", 100),
    "arena_cosine_rate": ("MLIP Arena: pass rate of directions", "%", 100),
    "arena_sample_rate": ("MLIP Arena: structures that always pass", "%", 100),
    "net_force": ("net force", "meV/Å", 1e3),
    "net_torque": ("net torque", "meV", 1e3),
    "jacobian_mean": ("antisymmetric share of the force Jacobian, mean", "1", 1),
    "jacobian_max": ("antisymmetric share of the force Jacobian, largest", "1", 1),
}
SPREAD = {"": "metatomic: forces_rot_std without inversion", "o3_": "metatomic: forces_rot_std"}


def table(trainings: Sequence[Training]) -> Table | None:
    """One row per potential at its last step; None for stores without these numbers."""
    rows = [_row(t) for t in trainings if "peg_force_mean" in t.twirl]
    if not rows:
        return None
    columns = [Column(name, words, unit) for name, (words, unit, _) in COLUMNS.items()]
    columns += [Column(f"{group}rot_std", words, "meV/Å") for group, words in SPREAD.items()]
    caption = (
        "The same predictions as other tools report them, at the last step, over all held-out samples. Pairs of "
        "orientations are all pairs of independent uniform rotations of a sample. ml-peg: change of the energy per "
        "atom and mean absolute change of the force components; its own orientations include 14 small steps of 114. "
        "MLIP Arena: share of pairs whose mean absolute force change is below 1 meV/Å and in which no force turns by a "
        "cosine below 0.999; a twelfth of its own rotations are by 360 degrees. metatomic: standard deviation of a "
        "force component over orientations, as root mean square over samples. Net force and torque: mean norm of the "
        "sums over all atoms. Antisymmetric share of the force Jacobian (lambda): 0 for the forces of an energy."
    )
    return Table("potentials_other_tools", caption, numbers(pd.DataFrame(rows), columns))


def _row(training: Training) -> dict[str, float | str]:
    """The numbers of one potential in the units of the page."""
    last = training.twirl.isel(step=-1)
    row = {"run": training.run}
    row |= {name: factor * float(last[name]) for name, (_, _, factor) in COLUMNS.items() if name in last}
    forces, scale = training.last("forces"), 1e3 * float(training.twirl.attrs["scale_forces"])
    for group in SPREAD:
        if (name := f"{group}loss_equiv") in forces:
            row[f"{group}rot_std"] = scale * math.sqrt(max(float(forces[name]), 0.0))
    return row
