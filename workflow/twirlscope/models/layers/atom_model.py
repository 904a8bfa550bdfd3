"""Base class of models that predict energy, forces and stress from elements and positions of atoms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..._typing import Bool, Float, Sequence, Tensor
from ...contracts import Model
from ...geometry.stress import COMPONENTS
from ...settings.base import Settings
from .conservative_forces import with_forces
from .element_rows import ElementRows
from .neighbours import atom_mean

COLUMNS = {"forces": 3, "energy": 1, "stress": COMPONENTS}  # numbers per atom


class AtomModel(Model, ABC):
    """Abstract model of the task `force_field`; a subclass computes the outputs of its network.

    The energy is the mean over atoms of one number per atom, in the units of the loss. Direct forces, and a direct
    stress, are outputs of the network like the energy. Conservative ones are derivatives of the energy.

    Args:
        settings: sizes, and `forces`: "direct" or "conservative".
        constants: `elements`, the atomic numbers in the training data, and `stress_scale` [eV/Å^3] if the task has a
            stress. Conservative forces also need `energy_scale` [eV] and `force_scale` [eV/Å].
        element_rows: rows of embedding tables that are indexed by atomic number; 0 for one row per element.

    Attributes:
        direct_terms: terms that the network outputs besides the energy; empty for conservative forces.
    """

    task = "force_field"
    optional = frozenset({"cell", "stress"})

    def __init__(self, settings: Settings, constants: dict[str, Any], element_rows: int = 0):
        super().__init__()
        self.settings, self.constants = settings, constants
        self.rows = ElementRows(constants["elements"], element_rows)
        terms = ("forces", "stress") if "stress_scale" in constants else ("forces",)
        self.direct_terms = terms if settings.forces == "direct" else ()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Forces `[sample, atom, 3]` (0 on padding), energy `[sample, 1]`, and stress `[sample, 6]` if the task has it.

        In the units of the loss.

        Args:
            inputs: `numbers` [sample, atom], 0 on padding, `positions` [sample, atom, 3] in Å, and for periodic frames
                `cell` [sample, 3, 3] in Å.

        Raises:
            ValueError: an element that is not among `constants["elements"]`.
        """
        if self.settings.forces == "conservative":
            return with_forces(lambda strained: self.outputs(strained)["energy"], inputs, self.constants)
        return self.outputs(inputs)

    @abstractmethod
    def outputs(self, inputs: dict[str, Tensor]) -> dict[str, Float[Tensor, "sample ..."]]:
        """Energy and `direct_terms`, in the shapes and units of `forward`, which describes the inputs."""


def by_term(
    outputs: Float[Tensor, "sample atom column"], real: Bool[Tensor, "sample atom"], terms: Sequence[str]
) -> dict[str, Float[Tensor, "sample ..."]]:
    """Prediction by term from per-atom outputs: forces as they are, energy and stress averaged over atoms.

    Args:
        outputs: 0 on padding; the number of columns per term is in `COLUMNS`.
        real: False on padding.
        terms: order of the terms along the columns; forces, if any, come first.
    """
    forces = COLUMNS["forces"] if "forces" in terms else 0
    averaged = [term for term in terms if term != "forces"]
    means = atom_mean(outputs[..., forces:], real).split([COLUMNS[term] for term in averaged], -1)
    prediction = {"forces": outputs[..., :forces]} | dict(zip(averaged, means, strict=True))
    return {term: prediction[term] for term in COLUMNS if term in terms}
