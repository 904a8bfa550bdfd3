"""Conserved quantities along trajectories: total energy, linear and angular momentum, and their drift.

Units are those of ASE: eV, Å, amu; a time is in Å sqrt(amu / eV), and momenta accordingly. Drifts are per picosecond.

The momentum of a system whose forces do not sum to zero changes by dP/dt = SUM f, its angular momentum by dL/dt =
SUM r x f. So the drift of P per atom is the mean net force per atom [eV/Å] and that of L the mean net torque per atom
[eV], whatever the masses and the time step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Float, Values


class Conserved(NamedTuple):
    """Conserved quantities per atom along a trajectory.

    energy: kinetic and potential energy [eV].
    momentum: linear momentum [amu Å / t], t the unit of time of ASE.
    angular: angular momentum about the centre of mass [amu Å^2 / t].
    """

    energy: Float[Array, " time"]
    momentum: Float[Array, "time 3"]
    angular: Float[Array, "time 3"]


def conserved(
    masses: Float[Array, " atom"],
    positions: Float[Array, "time atom 3"],
    velocities: Float[Array, "time atom 3"],
    potential: Float[Array, " time"],
) -> Conserved:
    """Conserved quantities per atom at every recorded time.

    Args:
        masses: [amu].
        positions: unwrapped [Å].
        velocities: [Å / t].
        potential: of the whole system [eV].
    """
    atoms, momenta = len(masses), masses[:, None] * velocities
    kinetic = (momenta * velocities).sum((-1, -2)) / 2
    arm = positions - (masses @ positions)[:, None] / masses.sum()
    angular = np.cross(arm, momenta).sum(1)
    return Conserved((kinetic + potential) / atoms, momenta.sum(1) / atoms, angular / atoms)


def slope(time: Float[Array, " time"], values: Float[Array, " time *b"]) -> Values:
    """Slope of the least-squares line through values over time.

    Raises:
        ValueError: fewer than two times.
    """
    if len(time) < 2:
        raise ValueError(f"a drift needs at least 2 times, got {len(time)}")
    centred = time - time.mean()
    return np.tensordot(centred, values, 1) / (centred @ centred)


def distance_from_start(values: Float[Array, " time *b"]) -> Float[Array, " time"]:
    """Norm of the change since the first time; the absolute value for scalars."""
    change = values - values[0]
    return np.abs(change) if change.ndim == 1 else np.linalg.norm(change, axis=-1)
