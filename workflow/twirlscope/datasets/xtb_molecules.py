"""Small molecules generated from a SMILES list: dynamics with MMFF94, energies and forces from GFN2-xTB.

Geometries come from a cheap classical force field, so that dynamics reach all conformers. Only the labels are quantum
mechanical, and semiempirical. The procedure is that of SPICE with cheaper methods.

Source: Eastman et al., Sci. Data 10, 11 (2023), for the procedure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import xarray as xr
from pydantic import Field

from .._typing import Array, Callable, Float
from ..errors import UserError, needs
from ..geometry import so3
from ..runtime.progress import counted
from ..settings.base import key
from ..settings.prepare import DatasetSettings
from ..sources import Part, Reject
from ..storage import rejects
from .molecular import frames
from .molecular.frames import BOHR, HARTREE, KCAL_PER_MOL, Frame
from .molecular.smiles import SMILES_LIST, Molecule, Unusable, embed_conformers, parse_smiles, read_smiles_list

BOLTZMANN = 8.617333262e-5  # [eV/K] CODATA 2018
ACCELERATION = 9.648533212e-3  # [Å/fs²] of 1 amu under 1 eV/Å, CODATA 2018

Rng = np.random.Generator

Xyz = Float[Array, "run atom xyz"]

Force = Callable[[Array], Array]

Kelvin = Annotated[float, Field(gt=0)]

ATTRIBUTES = {
    "source": "RDKit ETKDGv3 conformers, Langevin dynamics on MMFF94, GFN2-xTB single points",
    "citation": "Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019); Halgren, J. Comput. Chem. 17, 490"
    " (1996); Riniker, Landrum, J. Chem. Inf. Model. 55, 2562 (2015)",
}


class XtbMolecules(frames.Frames):
    """Frames of the molecules of a SMILES list, from Langevin dynamics, labelled by GFN2-xTB.

    The random numbers of a molecule come from the seed and its canonical SMILES: its frames depend neither on the rest
    of the list nor on `parts`. Every frame is rotated at random, so that no direction of space is preferred.
    """

    class Settings(DatasetSettings):
        """Molecules, dynamics, and accuracy of the labels."""

        parts: int = key(8, "jobs of the preparation; the result does not depend on it", shapes=(), ge=1)
        file: str = key("", "file with a SMILES and a name per line, # for comments; empty for the packaged list")
        molecules: int = key(0, "molecules of the list, evenly spread over it; 0 for all", ge=0)
        temperatures: list[Kelvin] = key([300.0, 500.0, 1000.0], "thermostat temperatures", "K", min_length=1)
        frames_per_molecule: int = key(60, "frames per molecule, over all temperatures", ge=1)
        conformers: int = key(4, "trajectories per temperature, each from its own conformer", ge=1)
        time_step: float = key(1.0, "step of the dynamics; hydrogens need about 1", "fs", gt=0, le=4)
        friction: float = key(10.0, "friction of the thermostat", "1/ps", gt=0)
        interval: float = key(200.0, "time between frames of a trajectory", "fs", gt=0)
        equilibration: float = key(400.0, "time before the first frame of a trajectory", "fs", ge=0)
        accuracy: float = key(1.0, "accuracy factor of tblite: smaller is tighter", gt=0, le=1000)

    def files(self) -> list[Path]:
        """SMILES list of the user; the packaged one is part of the code."""
        return [Path(self.settings.file)] if self.settings.file else []

    @property
    def _list(self) -> Path:
        """SMILES list that is read."""
        return Path(self.settings.file) if self.settings.file else SMILES_LIST

    def read(self, part: int) -> Part:
        """Every `parts`-th molecule of the list.

        Raises:
            UserError: the list cannot be read or has no molecule.
        """
        usable, rejected, seen = [], [], set()
        listed = read_smiles_list(self._list, self.settings.molecules)
        for number, (line, smiles) in enumerate(counted(listed, "molecule")):
            try:
                molecule = parse_smiles(smiles)
                if molecule.smiles in seen:
                    raise Unusable("duplicate of an earlier molecule of the list")
                seen.add(molecule.smiles)
                if number % self.settings.parts == part:
                    with one_thread():
                        labelled, unlabelled = self._frames(molecule, number)
                    usable, rejected = usable + labelled, rejected + unlabelled
            except Unusable as reason:
                if number % self.settings.parts == part:
                    rejected.append(Reject(self._list.name, line, str(reason)))
        samples = frames.to_dataset(usable)
        if samples is not None:
            samples.attrs = ATTRIBUTES | {"labels": f"GFN2-xTB (semiempirical), tblite {version('tblite')}"}
        return Part(samples, rejected)

    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """Data as in `Frames.finish`, if enough molecules have frames: one without any counts as one record.

        Raises:
            UserError: more than `max_rejected` of the molecules have no frame.
        """
        usable = len(set(data["sample_molecule"].values.tolist()))
        data = super().finish(data)
        listed = len(read_smiles_list(self._list, self.settings.molecules))
        unusable, limit = listed - usable, self.settings.max_rejected
        if unusable > limit * listed:
            got = f"{unusable} of {listed}: {rejects.summary(rejects.from_dataset(data))}"
            raise UserError(self._list, f"at most {100 * limit:.3g} % of the molecules unusable (max_rejected)", got)
        return data

    def _frames(self, molecule: Molecule, number: int) -> tuple[list[Frame], list[Reject]]:
        """Labelled frames of molecule number `number`, and rejects for those without a label."""
        rng = molecule.rng(self.settings.seed)
        positions, temperatures = self._geometries(molecule, rng)
        label = labeller(molecule, self.settings.accuracy)
        labelled, rejected = [], []
        for k, (x, kelvin) in enumerate(zip(positions, temperatures, strict=True)):
            try:
                energy, forces = label(x)
                order = number * self.settings.frames_per_molecule + k
                frame = Frame(order, molecule.numbers, x, forces, energy, molecule.smiles, kelvin)
                if reason := frames.reject_reason(frame):
                    raise Unusable(reason)
                labelled.append(frame)
            except Unusable as why:
                rejected.append(Reject(molecule.smiles, k, str(why)))
        return labelled, rejected

    def _geometries(self, molecule: Molecule, rng: Rng) -> tuple[Array, Array]:
        """Positions `[frame, atom, 3]` [Å], one frame of each trajectory after another, and temperatures [K]."""
        s = self.settings
        runs = min(len(s.temperatures) * s.conformers, s.frames_per_molecule)
        kelvin = np.resize(s.temperatures, runs)
        found = embed_conformers(molecule, runs, rng)
        x = found[np.arange(runs) % len(found)]
        v = thermal_velocities(molecule.masses, kelvin, rng, x.shape)
        force, rounds, equilibration = mmff_forces(molecule), [], s.equilibration
        for _ in range(math.ceil(s.frames_per_molecule / runs)):
            steps = max(round((equilibration + s.interval) / s.time_step), 1)
            x, v = langevin(x, v, force, molecule.masses, kelvin, s.time_step, s.friction, steps, rng)
            rounds, equilibration = [*rounds, x], 0.0
        x = np.concatenate(rounds)[: s.frames_per_molecule]
        rotation = so3.matrix(torch.from_numpy(rng.normal(size=(len(x), 4)))).numpy()
        x = (x - x.mean(1, keepdims=True)) @ rotation
        x = x.astype(np.float32).astype(np.float64)  # as stored: labels belong to the stored positions
        return x, np.resize(kelvin, len(x))


@contextmanager
def one_thread() -> Iterator[None]:
    """Context with one OpenMP thread: tblite shares the threads of torch and is 3 to 10 times slower with two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def mmff_forces(molecule: Molecule) -> Force:
    """Function of positions `[run, atom, 3]` [Å] that gives MMFF94 forces [eV/Å]; the molecule needs a conformer."""
    with needs("chemistry"):
        from rdkit.Chem import rdForceFieldHelpers

    parameters = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule.mol)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule.mol, parameters)

    def gradient(row: list[float]) -> tuple:
        field.Initialize()  # without it, CalcGrad uses distances of the previous geometry
        return field.CalcGrad(row)

    def force(x: Xyz) -> Xyz:
        return np.array([gradient(row) for row in x.reshape(len(x), -1).tolist()]).reshape(x.shape) * -KCAL_PER_MOL

    return force


def thermal_velocities(masses: Array, kelvin: Array, rng: Rng, shape: tuple) -> Xyz:
    """Velocities [Å/fs] of the Maxwell-Boltzmann distribution, one temperature [K] per run."""
    return np.sqrt(BOLTZMANN * ACCELERATION * kelvin[:, None, None] / masses[:, None]) * rng.normal(size=shape)


def langevin(
    x: Xyz, v: Xyz, force: Force, masses: Array, kelvin: Array, time_step: float, friction: float, steps: int, rng: Rng
) -> tuple[Xyz, Xyz]:
    """Positions [Å] and velocities [Å/fs] after `steps` steps of Langevin dynamics, splitting BAOAB.

    In a harmonic potential the positions have the exact variance at every stable time step; the velocities do not.

    Args:
        x, v: positions [Å] and velocities [Å/fs] at the start.
        force: function of positions [Å] that gives forces [eV/Å].
        masses: of the atoms [amu].
        kelvin: temperature of each run [K].
        time_step: [fs].
        friction: [1/ps].
        steps: number of time steps.
        rng: random numbers of the thermostat.

    Source: Leimkuhler and Matthews, J. Chem. Phys. 138, 174102 (2013).
    """
    kick = 0.5 * time_step * ACCELERATION / masses[:, None]
    keep = math.exp(-1e-3 * friction * time_step)
    f = force(x)
    for _ in range(steps):
        x = x + 0.5 * time_step * (v := v + kick * f)
        v = keep * v + math.sqrt(1 - keep**2) * thermal_velocities(masses, kelvin, rng, v.shape)
        x = x + 0.5 * time_step * v
        f = force(x)
        v = v + kick * f
    return x, v


def labeller(molecule: Molecule, accuracy: float) -> Callable[[Array], tuple[float, Array]]:
    """Function of positions [Å] that gives GFN2-xTB energy [eV] and forces [eV/Å].

    It raises Unusable for positions without a converged calculation.

    Source: Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
    """
    with needs("chemistry"):
        from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError
        from tblite.interface import Calculator

    def label(x: Float[Array, "atom 3"]) -> tuple[float, Float[Array, "atom 3"]]:
        if reason := frames.geometry_reject_reason(molecule.numbers, x):
            raise Unusable(reason)
        try:
            calculator = Calculator("GFN2-xTB", molecule.numbers, x / BOHR, molecule.charge, molecule.unpaired)
            calculator.set("verbosity", 0)
            calculator.set("accuracy", accuracy)
            result = calculator.singlepoint()
        except (TBLiteRuntimeError, TBLiteValueError) as error:
            raise Unusable(f"GFN2-xTB: {' '.join(str(error).split())}") from error
        return float(result.get("energy")) * HARTREE, -result.get("gradient") * HARTREE / BOHR

    return label
