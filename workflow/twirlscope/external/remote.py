"""Calculator of ASE that forwards every structure to a worker: molecular dynamics with a model of another Python."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import needs
from .client import Failure, Spec, Worker
from .worker import PROPERTIES

with needs("chemistry"):
    from ase import Atoms
    from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes


class RemoteCalculator(Calculator):
    """A calculator of a worker; a structure that fails there raises RuntimeError here.

    Args:
        spec: the calculator and its process.
        properties: computed in every call.
    """

    implemented_properties: ClassVar[list[str]] = list(PROPERTIES)

    def __init__(self, spec: Spec, properties: tuple[str, ...] = ("energy", "forces"), **keywords: Any):
        super().__init__(**keywords)
        self.worker, self._properties = Worker(spec), properties

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=all_changes) -> None:
        """Energy [eV], forces [eV/Å] and, if chosen, stress [eV/Å^3] of a structure."""
        super().calculate(atoms, properties, system_changes)
        if missing := set(properties) - set(self._properties):
            raise PropertyNotImplementedError(f"{sorted(missing)} not among {self._properties}")
        (result,) = self.worker.evaluate([self.atoms], self._properties)
        if isinstance(result, Failure):
            raise RuntimeError(result)
        self.results = {k: float(v) if k == "energy" else v for k, v in result.items()}
        if "stress" in self.results:
            self.results["stress"] = self.results["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]

    def close(self) -> None:
        """End the worker."""
        self.worker.close()
