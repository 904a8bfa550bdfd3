"""Molecular dynamics at constant energy with any calculator of ASE, and how far conserved quantities drift.

A model that is not equivariant exerts a net torque, and one that is not conservative changes the energy. A random
rotation of the frame before every call of the model makes the error of every step independent of the last one, so that
systematic drifts become random walks.

Source: Langer, Pozdnyakov and Ceriotti, Mach. Learn.: Sci. Technol. 5, 04LT01 (2024), arXiv:2406.17747, for random
rotations in every step.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from .._typing import Array, Float, Sequence
from ..errors import needs
from ..estimators import conservation

with needs("chemistry"):
    from ase import Atoms, units
    from ase.calculators.calculator import Calculator, all_changes
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation
    from ase.md.verlet import VelocityVerlet

PICOSECOND = 1000 * units.fs
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])  # rows and columns of the six components of a stress in ASE


class RandomlyRotated(Calculator):
    """A calculator under a new uniform rotation of the structure in every call; its results are turned back.

    Molecules turn about their mean position, periodic structures with their cell.

    Args:
        calculator: any calculator of ASE.
        seed: of the rotations.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, calculator: Calculator, seed: int | Sequence[int] = 0):
        super().__init__()
        self.calculator, self.random = calculator, np.random.default_rng(seed)

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=all_changes) -> None:
        """Energy [eV], forces [eV/Å] and, if asked for, stress [eV/Å^3] of a structure."""
        super().calculate(atoms, properties, system_changes)
        turn = Rotation.random(rng=self.random).as_matrix()
        rotated = self.atoms.copy()
        centre = 0 if any(rotated.pbc) else rotated.positions.mean(0)
        rotated.positions = (rotated.positions - centre) @ turn.T + centre
        rotated.set_cell(np.asarray(rotated.cell) @ turn.T)
        rotated.calc = self.calculator
        self.results = {"forces": rotated.get_forces() @ turn, "energy": rotated.get_potential_energy()}
        if "stress" in properties:
            self.results["stress"] = (turn.T @ rotated.get_stress(voigt=False) @ turn)[VOIGT]


class Trajectory(NamedTuple):
    """Conserved quantities of one trajectory, per atom, at the recorded times.

    time: since the start [ps].
    energy: total energy less that at the start [eV/atom].
    momentum: norm of the change of the linear momentum, over the number of atoms [eV ps/Å].
    angular: the same of the angular momentum about the centre of mass, NaN for periodic structures [eV ps].
    energy_drift: slope of the total energy [eV/atom/ps].
    force: norm of the slope of the linear momentum: the mean net force per atom [eV/Å].
    torque: norm of the slope of the angular momentum: the mean net torque per atom [eV].
    """

    time: Float[Array, " time"]
    energy: Float[Array, " time"]
    momentum: Float[Array, " time"]
    angular: Float[Array, " time"]
    energy_drift: float
    force: float
    torque: float


def trajectory(
    frame: Atoms,
    calculator: Any,
    steps: int,
    timestep: float = 0.5,
    temperature: float = 300.0,
    every: int = 1,
    seed: int = 0,
    rotate: bool = False,
) -> Trajectory:
    """Trajectory at constant energy from one structure, by velocity Verlet.

    Velocities at the start are those of a Maxwell distribution without linear and angular momentum. The same seed gives
    the same velocities with and without rotations.

    Args:
        frame: the structure; it is not changed.
        calculator: of ASE.
        steps: number of time steps.
        timestep: [fs].
        temperature: of the velocities at the start [K].
        every: steps between two records.
        seed: of the velocities, and of the rotations.
        rotate: whether the structure is rotated at random before every call of the calculator.
    """
    atoms = started(frame, temperature, seed)
    atoms.calc = RandomlyRotated(calculator, [seed, 1]) if rotate else calculator
    records = []

    def record() -> None:
        records.append((atoms.positions.copy(), atoms.get_velocities(), atoms.get_potential_energy()))

    integrator = VelocityVerlet(atoms, timestep=timestep * units.fs)
    integrator.attach(record, interval=every)
    integrator.run(steps)
    x, v, potential = (np.array(part, np.float64) for part in zip(*records, strict=True))
    time = np.arange(len(x)) * every * timestep * units.fs
    return summarised(time, conservation.conserved(atoms.get_masses(), x, v, potential), bool(any(atoms.pbc)))


def started(frame: Atoms, temperature: float, seed: int) -> Atoms:
    """A copy of a structure with Maxwell velocities [K], without linear and, if not periodic, angular momentum."""
    atoms = frame.copy()
    atoms.set_constraint()
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=np.random.default_rng([seed, 0]))
    Stationary(atoms, preserve_temperature=False)
    if not any(atoms.pbc):
        ZeroRotation(atoms, preserve_temperature=False)
    return atoms


def summarised(time: Float[Array, " time"], found: conservation.Conserved, periodic: bool) -> Trajectory:
    """Changes and drifts of conserved quantities.

    Args:
        time: in ASE's unit.
        found: conserved quantities per atom.
        periodic: angular momentum is not conserved in a periodic structure.
    """
    unknown = np.nan if periodic else 1.0
    return Trajectory(
        time / PICOSECOND,
        found.energy - found.energy[0],
        conservation.distance_from_start(found.momentum) / PICOSECOND,
        conservation.distance_from_start(found.angular) / PICOSECOND * unknown,
        float(conservation.slope(time / PICOSECOND, found.energy)),
        float(np.linalg.norm(conservation.slope(time, found.momentum))),
        float(np.linalg.norm(conservation.slope(time, found.angular))) * unknown,
    )
