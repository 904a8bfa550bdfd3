"""Conservative forces: minus the gradient of an energy, for any model of an energy, and stress: its strain derivative.

They turn as the energy does: where it is invariant they are equivariant, and where it is not both are off, so that the
equivariance errors of energy and forces can be compared in one model.
"""

from __future__ import annotations

from typing import Any

import torch

from ..._typing import Callable, Float, Mapping, Tensor
from ...geometry import stress

Inputs = dict[str, Tensor]


def with_forces(
    energy: Callable[[Inputs], Float[Tensor, "sample 1"]], inputs: Inputs, constants: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The prediction of a force field from its energy alone, in the units of the loss: `energy`, `forces`, `stress`.

    The stress is dE/d(strain) over the volume, where positions and cell are strained together, and 0 for what is not
    periodic along all three axes. It is there if `constants` have its unit.

    Works with gradients switched off, as in a measurement, and can be differentiated further, forwards and backwards,
    where they are on: losses of these forces have Hessians that are third derivatives of the energy, which native
    layer norms and fused attention get wrong.

    Args:
        energy: energy per atom in the units of the loss, from `inputs`; samples must not see each other.
        inputs: `numbers` [sample, atom], 0 on padding, `positions` [sample, atom, 3] and `cell` [sample, 3, 3] in Å,
            and what else it needs.
        constants: `energy_scale` [eV], `force_scale` [eV/Å] and `stress_scale` [eV/Å^3], the units of the loss.
    """
    positions, graph = inputs["positions"], torch.is_grad_enabled()
    stressed = "stress_scale" in constants
    with torch.enable_grad():
        if not positions.requires_grad:
            positions = positions.view_as(positions).requires_grad_()  # not detached: that would end forward mode
        moved, strain = inputs | {"positions": positions}, ()
        if stressed:
            strain = (positions.new_zeros(len(positions), 3, 3, requires_grad=True),)
            moved |= {name: moved[name] + moved[name] @ strain[0] for name in ("positions", "cell")}
        found = energy(moved)
        gradient, *strained = torch.autograd.grad(found.sum(), (positions, *strain), create_graph=graph)
    atoms = (inputs["numbers"] > 0).sum(1)[:, None, None]  # the energy is one of an atom
    forces = -(constants["energy_scale"] / constants["force_scale"]) * atoms * gradient
    out = {"energy": found.clone(), "forces": forces}  # in the caller's gradient mode, and with a forward derivative
    if stressed:
        volume = stress.volume(inputs["cell"])[:, None]
        density = atoms[..., 0] * (volume > 0) / torch.where(volume > 0, volume, 1.0)
        unit = constants["energy_scale"] / constants["stress_scale"]
        out["stress"] = unit * density * stress.components(strained[0])
    return out
