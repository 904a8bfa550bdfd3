"""Base class and storage of datasets of the kind `frames`: molecules or periodic cells with energy and forces.

The atoms of all frames are stored in one array, with the number per frame in another. A dataset has to make `Frame`s,
the rest is here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..._typing import Array, Callable, Float, Int, Iterable, Sequence
from ...errors import UserError
from ...geometry import cells
from ...settings.prepare import DatasetSettings
from ...sources import Dataset
from . import duplicates, electrons, groups, identity, periodic, scales

HARTREE = 27.211386245988  # [eV] CODATA 2018
BOHR = 0.529177210903  # [Å] CODATA 2018
KCAL_PER_MOL = 4.184 / 96.48533212331  # [eV] CODATA 2018
LARGEST_FORCE = 1e4  # [eV/Å] beyond any chemical bond
LARGEST_STRESS = 1e2  # [eV/Å^3] 16,000 GPa
FRAMES_IN_BLOCK = 1 << 12  # converted to arrays at a time
LARGEST_NUMBER = 118  # of the known elements


@dataclass(frozen=True)
class Frame:
    """One molecule in one geometry, before it is checked by `reject_reason`.

    order: rank among all frames of the dataset, whichever part it belongs to.
    numbers: atomic numbers, `[atom]`.
    positions: `[atom, 3]` [Å].
    forces: `[atom, 3]` [eV/Å]; None if only the energy is known: such frames can be held out, not trained on.
    energy: [eV]; NaN if unknown, which only `optional` labels may be.
    molecule: name that its source gives to the molecule; empty if it gives none.
    temperature: of the thermostat [K], NaN if unknown.
    split: number of its split, 0 for train, 1 for test; -1 if the split is random.
    cell: lattice vectors by row, `[3, 3]` [Å]; None without a cell.
    periodic: True for each periodic lattice vector.
    stress: `[3, 3]` [eV/Å^3], positive under tension; None if unknown.
    charge, spin: total charge [e] and spin multiplicity; NaN if unknown.
    optional: whether energy and forces may be unknown, in any split.
    """

    order: int
    numbers: Array
    positions: Array
    forces: Array | None
    energy: float
    molecule: str
    temperature: float = math.nan
    split: int = -1
    cell: Array | None = None
    periodic: tuple[bool, bool, bool] = (False, False, False)
    stress: Array | None = None
    charge: float = math.nan
    spin: float = math.nan
    optional: bool = False

    @property
    def lattice(self) -> Float[Array, "3 3"]:
        """Lattice vectors, 0 along axes that are not periodic."""
        return cells.lattice_of(self.cell, self.periodic)


def geometry_reject_reason(
    numbers: Array, positions: Array, cell: Array | None = None, periodic: Sequence[bool] = (False, False, False)
) -> str | None:
    """Reason why a geometry cannot be used; None if it can."""
    if not len(numbers):
        return "no atoms"
    if positions.shape != (len(numbers), 3):
        return f"positions have the shape {positions.shape} for {len(numbers)} atoms"
    if numbers.min() < 1 or numbers.max() > LARGEST_NUMBER:
        return "an atom is not a chemical element"
    if not np.isfinite(positions).all():
        return "a position is not finite"
    if any(periodic) and (reason := cells.fault(cell, periodic)):
        return reason
    return cells.overlap(positions, cells.lattice_of(cell, periodic))


def reject_reason(frame: Frame) -> str | None:
    """Reason why a frame cannot be used; None if it can."""
    reason = geometry_reject_reason(frame.numbers, frame.positions, frame.cell, frame.periodic)
    if reason:
        return reason
    if len(frame.numbers) == 1 and not any(frame.periodic):
        return "a single atom: it has no forces to learn, and its energy would set the scale of all others"
    if not math.isfinite(frame.energy) and not (frame.optional and math.isnan(frame.energy)):
        return "the energy is not finite"
    if frame.stress is not None and not np.abs(frame.stress).max() <= LARGEST_STRESS:
        return f"the stress is no symmetric matrix of numbers up to {LARGEST_STRESS:g} eV/Å^3"
    if frame.forces is None:
        return None if frame.split > 0 or frame.optional else "no forces"
    if frame.forces.shape != frame.positions.shape:
        return f"forces have the shape {frame.forces.shape} for {len(frame.numbers)} atoms"
    if not np.isfinite(frame.forces).all():
        return "a force is not finite"
    if np.linalg.norm(frame.forces, axis=1).max() > LARGEST_FORCE:
        return f"a force is above {LARGEST_FORCE:g} eV/Å"
    return None


def to_dataset(frames: Sequence[Frame]) -> xr.Dataset | None:
    """Frames of a part as stored variables, before molecules are numbered and split; None if there are no frames."""
    if not frames:
        return None
    per_frame = {
        "energy": np.array([f.energy for f in frames], np.float64),
        "atoms": np.array([len(f.numbers) for f in frames], np.int32),
        "temperature": np.array([f.temperature for f in frames], np.float32),
        "sample_molecule": np.array([f.molecule for f in frames], object),
        "split": np.array([f.split for f in frames], np.int8),
    }
    forces = [np.full(f.positions.shape, np.nan) if f.forces is None else f.forces for f in frames]
    positions = [cells.wrapped(f.positions, f.lattice) if any(f.periodic) else f.positions for f in frames]
    return xr.Dataset(
        {name: ("sample", values) for name, values in per_frame.items()}
        | {
            "numbers": ("atom", np.concatenate([f.numbers for f in frames]).astype(np.int16)),
            "positions": (("atom", "xyz"), np.concatenate(positions).astype(np.float32)),
            "forces": (("atom", "xyz"), np.concatenate(forces).astype(np.float32)),
        },
        coords={"sample": ("sample", np.array([f.order for f in frames], np.int64))},
    )


def in_blocks(frames: Iterable[Frame], convert: Callable[[list[Frame]], xr.Dataset] = to_dataset) -> xr.Dataset | None:
    """Frames of a part as `convert` stores them, from blocks of frames, of which one at a time is in memory."""
    frames = iter(frames)
    blocks = iter(lambda: list(itertools.islice(frames, FRAMES_IN_BLOCK)), [])
    made = [convert(block) for block in blocks]
    if not made:
        return None
    joined = {name: np.concatenate([data[name].values for data in made]) for name in made[0].variables}
    return xr.Dataset({name: (made[0][name].dims, values) for name, values in joined.items()}).set_coords("sample")


class Frames(Dataset):
    """Abstract dataset of frames; a subclass reads `Part(to_dataset(frames), rejects)`."""

    kind = "frames"

    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """Frames in order, with molecules, split, element references and scales.

        Raises:
            UserError: too few frames or molecules to split, an element without training data, or no force at all.
        """
        return electrons.finish(
            periodic.finish(scales.scaled(*assign_splits(data, self.settings, self.extra_splits())))
        )

    def splits(self) -> list[str]:
        """Names of the splits, by their numbers."""
        return ["train", "test", *self.extra_splits()]

    def extra_splits(self) -> list[str]:
        """Names of the splits besides train and test, numbered from 2."""
        return []


def assign_splits(
    data: xr.Dataset, settings: DatasetSettings, extra_splits: Sequence[str] = ()
) -> tuple[xr.Dataset, xr.DataArray]:
    """Samples of all parts in order, with molecules, clusters and split, and the atoms per element of each sample.

    Args:
        data: samples of all parts.
        settings: seed, unit and share of the random split.
        extra_splits: names of the splits from number 2 on.

    Raises:
        UserError: too few samples or molecules to split, an element without training data, or samples on both sides.
    """
    data = sorted_by_sample(data)
    composition = _composition(data)
    twin = duplicates.twins(data).astype(np.int32)
    molecule, molecule_names = identity.molecules(data, composition)
    names = ["train", "test", *extra_splits]
    split = data["split"].values.copy() if "split" in data else np.full(len(molecule), -1, np.int8)
    if (random := split < 0).any():
        unit = groups.joined(molecule, twin) if settings.split_by == "molecule" else twin
        split[random] = _random_split(unit[random], composition[random], settings)
    _check_splits(split, names, composition)
    data["split"] = ("sample", split, {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)})
    data["molecule"] = ("sample", molecule)
    data["cluster"] = ("sample", groups.clusters(groups.joined(molecule, twin), twin, split))
    data["molecule_name"] = ("molecule_index", np.array(molecule_names, object))
    data = data.drop_vars("sample_molecule").assign_coords(
        sample=np.arange(data.sizes["sample"]),
        xyz=np.array(["x", "y", "z"], object),
        element=composition["element"].values,
    )
    return duplicates.checked(data, twin, settings.allow_duplicates), composition


def _check_splits(split: Int[Array, " sample"], names: Sequence[str], composition: xr.DataArray) -> None:
    """Refuses a split without samples, and elements that are in held-out splits only."""
    counts = dict(zip(names, np.bincount(split, minlength=len(names)).tolist(), strict=True))
    if not all(counts.values()):
        raise UserError("split", "samples in every split", ", ".join(f"{n} in {name}" for name, n in counts.items()))
    missing = composition["element"].values[~(composition.values[split == 0] > 0).any(0)]
    if len(missing):
        raise UserError(
            "split", "every element in the train split", f"atomic numbers {missing.tolist()} in other splits only"
        )


def _random_split(unit: Int[Array, " sample"], composition: xr.DataArray, settings: DatasetSettings) -> Array:
    """1 for held-out samples: random units, such that every element stays in the train split.

    The share is one of molecules, or one of frames, whose unit is a frame with its twins.

    Raises:
        UserError: fewer than two units, or too few that can be held out.
    """
    by, group = settings.split_by, groups.numbered(unit)
    size = np.bincount(group)
    has = np.zeros((len(size), composition.sizes["element"]), bool)
    np.logical_or.at(has, group, composition.values > 0)
    if len(size) < 2:
        advice = "; set split_by: frame, or name files for the split test" if by == "molecule" else ""
        raise UserError(f"split_by {by}", f"at least two different {by}s", f"1{advice}")
    weight = np.ones_like(size) if by == "molecule" else size
    total = int(weight.sum())
    wanted = min(max(round(settings.test_fraction * total), 1), total - 1)
    test = groups.held_out(weight, wanted, has, settings.seed)
    held = int(weight[test == 1].sum())
    if not held or (weight[test == 0] <= wanted - held).any():  # one that fits is refused for its elements only
        expected = f"{wanted} of {total} {by}s to hold out without losing an element from training"
        raise UserError("test_fraction", expected, f"{held}; lower it or split by frame")
    return test[group]


def sorted_by_sample(data: xr.Dataset) -> xr.Dataset:
    """Samples sorted by their `sample` number, with their atoms."""
    numbers = data["sample"].values
    if (np.diff(numbers) > 0).all():
        return data
    order = np.argsort(numbers, kind="stable")
    counts, ends = data["atoms"].values[order], np.cumsum(data["atoms"].values)[order]
    atoms = np.repeat(ends - np.cumsum(counts), counts) + np.arange(counts.sum())
    return data.isel(sample=order, atom=atoms)


def _composition(data: xr.Dataset) -> xr.DataArray:
    """Number of atoms per frame and element, elements ascending."""
    numbers, atoms = data["numbers"].variable, data["atoms"].values
    elements = np.unique(np.concatenate([np.unique(numbers[part].values) for _, part in scales.blocks(data)]))
    counts = np.zeros((data.sizes["sample"], len(elements)), np.int16)
    for frames, part in scales.blocks(data):
        row = np.repeat(np.arange(frames.start, frames.stop), atoms[frames])
        np.add.at(counts, (row, np.searchsorted(elements, numbers[part].values)), 1)
    return xr.DataArray(counts, dims=("sample", "element"), coords={"element": elements.astype(np.int64)})
