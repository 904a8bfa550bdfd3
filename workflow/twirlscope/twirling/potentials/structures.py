"""Structures in memory as a dataset of frames, in float64, with their labels."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..._typing import Array, Mapping, Sequence
from ...errors import UserError, needs
from ...geometry import cells
from .task import STATE

with needs("chemistry"):
    from ase import Atoms

LABELS = ("energy", "forces", "stress")
Labels = Mapping[str, Sequence] | Sequence[Atoms] | None


def structures_dataset(frames: Sequence[Atoms], labels: Labels = None) -> xr.Dataset:
    """Dataset of structures; charge and spin multiplicity are those in `Atoms.info`.

    Args:
        labels: by name (`energy` [eV], `forces` [eV/Å], `stress` [eV/Å^3], 3 x 3), one entry per structure; or
            structures with results of a calculator; or None.

    Raises:
        UserError: no structures, a structure that cannot be used, or labels that do not fit or are not finite.
    """
    if not frames:
        raise UserError("frames", "one structure or more", "none")
    for i, frame in enumerate(frames):
        if reason := fault(frame):
            raise UserError(f"frames, structure {i}", "a structure of atoms", reason)
    lattices = np.array([cells.lattice_of(np.asarray(f.cell), f.pbc.tolist()) for f in frames], np.float64)
    found = {
        "atoms": ("sample", np.array([len(f) for f in frames], np.int32)),
        "numbers": ("atom", np.concatenate([f.numbers for f in frames]).astype(np.int16)),
        "positions": (("atom", "xyz"), np.concatenate([f.positions for f in frames]).astype(np.float64)),
    }
    if lattices.any():
        found["cell"] = (("sample", "lattice", "xyz"), lattices)
    for name in STATE:
        if any(name in f.info for f in frames):
            found[name] = ("sample", np.array([f.info.get(name, np.nan) for f in frames], np.float64))
    return xr.Dataset(found | _labels(frames, labels))


def fault(frame: Atoms) -> str | None:
    """Reason why a structure cannot be used; None if it can."""
    if not len(frame):
        return "no atoms"
    if not np.isfinite(frame.positions).all():
        return "a position is not finite"
    if frame.numbers.min() < 1:
        return "an atom is not a chemical element"
    return cells.fault(np.asarray(frame.cell), frame.pbc.tolist()) if frame.pbc.any() else None


def _labels(frames: Sequence[Atoms], labels: Labels) -> dict[str, tuple]:
    """Variables of the labels."""
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        results = [f.calc.results if f.calc else {} for f in labels]
        names = [n for n in LABELS if all(n in r for r in results)]
        labels = {n: [_full(r[n]) if n == "stress" else r[n] for r in results] for n in names}
    found = {}
    for name, values in labels.items():
        if name not in LABELS:
            raise UserError("labels", "names of labels", repr(name), LABELS)
        shapes = [{"energy": (), "forces": (len(f), 3), "stress": (3, 3)}[name] for f in frames]
        if [np.shape(v) for v in values] != shapes:
            raise UserError(f"labels, {name}", "an entry of the right shape for each structure", "others")
        wrong = [i for i, v in enumerate(values) if not np.isfinite(v).all()]
        if wrong:
            raise UserError(f"labels, {name}", "finite numbers", f"NaN or infinity in structure {wrong[0]}")
        if name == "forces":
            found[name] = (("atom", "xyz"), np.concatenate(list(values)).astype(np.float64))
        else:
            dims = ("sample",) if name == "energy" else ("sample", "xyz", "xyz_other")
            found[name] = (dims, np.array(list(values), np.float64))
    return found


def _full(stress: Array) -> Array:
    """The 3 x 3 stress of six components in Voigt order."""
    stress = np.asarray(stress)
    return stress if stress.shape == (3, 3) else stress[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
