"""Calculators of ASE with a known symmetry: exact, biased, noisy, broken. Also a factory for workers."""

import os
import signal
import time
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


class Springs(Calculator):
    """All pairs of atoms joined by springs: invariant under O(3) and translations, to rounding.

    Args:
        bias: constant added to the force on every atom [eV/Å], fixed in the lab.
        chiral: [eV/Å] a force that is a pseudo-vector: equivariant to rotations, not to reflections.
        noise: standard deviation of a random number added to every force component [eV/Å].
        single: whether energies are rounded to single precision.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, bias=(0.0, 0.0, 0.0), chiral=0.0, noise=0.0, single=False, seed=0, drift=0.0):
        super().__init__()
        self.bias, self.chiral, self.noise, self.single, self.drift = np.array(bias), chiral, noise, single, drift
        self.random, self.calls = np.random.default_rng(seed), 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        x = self.atoms.positions
        pull = x[None] - x[:, None]
        length = np.linalg.norm(pull, axis=-1) + np.eye(len(x))
        stretch = (length - 1.5) * (1 - np.eye(len(x)))
        forces = (2 * stretch / length)[..., None] * pull
        forces = forces.sum(1)
        axis = np.cross((length[..., None] ** 2 * pull).sum(1), pull.sum(1))
        axis = axis / (np.linalg.norm(axis, axis=1, keepdims=True) + 1e-12)
        forces = forces + self.bias + self.chiral * axis
        forces = forces + self.noise * self.random.normal(size=forces.shape) + self.drift * x
        energy = float((stretch**2).sum() / 2) - 10.0 * float(self.atoms.numbers.sum())
        energy = float(np.float32(energy)) if self.single else energy
        volume = abs(np.linalg.det(self.atoms.cell)) or 1.0
        virial = np.einsum("ij,ija,ijb->ab", 2 * stretch / length, pull, pull) / (2 * volume)
        self.results = {"energy": energy, "forces": forces, "stress": virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]}


class Failing(Springs):
    """Springs that fail in one way for structures with an atom of one element."""

    def __init__(self, how="raise", number=8, **keywords):
        super().__init__(**keywords)
        self.how, self.number = how, number

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.number in self.atoms.numbers and (self.how == "always" or self.atoms.positions[0, 0] > 0):
            if self.how in ("raise", "always"):
                raise ValueError(f"element {self.number} is not supported")
            if self.how == "nan":
                self.results["forces"][0, 0] = np.nan
            if self.how == "hang":
                time.sleep(60)
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "exit":
                os._exit(7)


class Counted(Springs):
    """Springs that add a line to the file `CALLS` at every call, and kill the parent after `KILL_AFTER` of them."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        time.sleep(0.02)
        with open(os.environ["CALLS"], "a+", encoding="utf-8") as file:
            file.write("call\n")
            file.seek(0)
            count = len(file.readlines())
        if count == int(os.environ.get("KILL_AFTER", "-1")):
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)


def from_file(path, **keywords):
    """Springs with the bias along z that a file holds."""
    with open(path, encoding="utf-8") as file:
        return Springs(bias=(0, 0, float(file.read())), **keywords)


def batch(calculator, frames, properties):
    """Batch function of Springs; it prints, as packages do."""
    print("batch of", len(frames))
    found = []
    for frame in frames:
        calculator.calculate(frame, properties, all_changes)
        full = {**calculator.results}
        full["stress"] = full["stress"][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        found.append({name: full[name] for name in properties})
    return found


def structures(count=24, atoms=6, seed=0, periodic=False, numbers=None):
    """Random structures of atoms at distances near 1.5 Å."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        x = random.normal(size=(atoms, 3)) * 1.2 + 0.9 * np.indices((2, 2, 2)).reshape(3, -1).T[:atoms]
        kinds = numbers[i % len(numbers)] if numbers else [6, 1, 1, 7, 1, 6, 1, 1][:atoms]
        cell = random.normal(size=(3, 3)) + 6 * np.eye(3) if periodic else None
        found.append(Atoms(numbers=kinds, positions=x, cell=cell, pbc=periodic))
    return found
