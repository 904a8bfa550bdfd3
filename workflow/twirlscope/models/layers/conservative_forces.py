"""Conservative forces, minus the gradient of an energy, and its strain derivative, the stress.

They rotate as the energy does. Where the energy is invariant, forces are equivariant; where it is not, both have an
error. The equivariance errors of energy and forces can so be compared in one model.
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
    """`energy`, `forces` and, if `constants` have its unit, `stress`, in the units of the loss, from an energy alone.

    The stress is dE/d(strain) over the volume, where positions and cell are strained together. It is 0 for samples that
    are not periodic along all three axes.

    Works with gradients switched off, as in a measurement. With gradients on, the result can be differentiated
    further, forwards and backwards. Losses of these forces have Hessians that are third derivatives of the energy;
    native layer norms and fused attention get those wrong.

    Args:
        energy: energy per atom in the units of the loss, from `inputs`; samples must not depend on each other.
        inputs: `numbers` [sample, atom], 0 on padding, `positions` [sample, atom, 3] and `cell` [sample, 3, 3] in Å,
            and all else that `energy` needs.
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
        per_atom = energy(moved)
        gradient, *strained = torch.autograd.grad(per_atom.sum(), (positions, *strain), create_graph=graph)
    atoms = (inputs["numbers"] > 0).sum(1)[:, None, None]
    forces = -(constants["energy_scale"] / constants["force_scale"]) * atoms * gradient
    out = {"energy": per_atom.clone(), "forces": forces}  # in the caller's gradient mode, and with a forward derivative
    if stressed:
        volume = stress.volume(inputs["cell"])[:, None]
        density = atoms[..., 0] * (volume > 0) / torch.where(volume > 0, volume, 1.0)
        unit = constants["energy_scale"] / constants["stress_scale"]
        out["stress"] = unit * density * stress.components(strained[0])
    return out
