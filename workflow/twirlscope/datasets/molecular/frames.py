"""Frames: molecules or periodic cells with energy and forces, stored in a row (all atoms of all frames, counts beside).

Shared by every dataset of the kind `frames`; a dataset only has to make `Frame`s.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..._typing import Array, Bool, Float, Int, Iterator, Sequence
from ...contracts import Dataset
from ...errors import UserError
from ...geometry import cells
from ...settings.prepare import DatasetSettings
from . import periodic

HARTREE = 27.211386245988  # [eV] CODATA 2018
BOHR = 0.529177210903  # [Å] CODATA 2018
KCAL_PER_MOL = 4.184 / 96.48533212331  # [eV] CODATA 2018
LARGEST_FORCE = 1e4  # [eV/Å] no bond pulls like this
LARGEST_STRESS = 1e2  # [eV/Å^3] 16,000 GPa
LARGEST_NUMBER = 118
BLOCK = 1 << 17  # frames, or atoms, at a time, where a dataset is gone through as a whole


@dataclass(frozen=True)
class Frame:
    """One molecule in one geometry, as it was found: `fault` says whether shapes and values can be used.

    order: place among all frames of the dataset, whichever part found it.
    numbers: atomic numbers, `[atom]`.
    positions: `[atom, 3]` [Å].
    forces: `[atom, 3]` [eV/Å]; None where only the energy is known, which may be held out but not trained on.
    energy: [eV].
    molecule: its name; frames of one molecule share it.
    temperature: of the thermostat [K], NaN if unknown.
    split: number of the split it belongs to, 0 for train, 1 for test; -1 if that is to be drawn.
    cell: lattice vectors by row, `[3, 3]` [Å]; None for none.
    periodic: whether it repeats along each of them.
    stress: `[3, 3]` [eV/Å^3], positive under tension; None where it is not known.
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

    @property
    def lattice(self) -> Float[Array, "3 3"]:
        """The cell, 0 along axes where the frame does not repeat."""
        return cells.lattice_of(self.cell, self.periodic)


def geometry_fault(
    numbers: Array, positions: Array, cell: Array | None = None, periodic: Sequence[bool] = (False, False, False)
) -> str | None:
    """Why a geometry cannot be used, or None when it can."""
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


def fault(frame: Frame) -> str | None:
    """Why a frame cannot be used, or None when it can."""
    reason = geometry_fault(frame.numbers, frame.positions, frame.cell, frame.periodic)
    if reason:
        return reason
    if not math.isfinite(frame.energy):
        return "the energy is not finite"
    if frame.stress is not None and not np.abs(frame.stress).max() <= LARGEST_STRESS:
        return f"the stress is no symmetric matrix of numbers up to {LARGEST_STRESS:g} eV/Å^3"
    if frame.forces is None:
        return None if frame.split > 0 else "no forces"
    if frame.forces.shape != frame.positions.shape:
        return f"forces have the shape {frame.forces.shape} for {len(frame.numbers)} atoms"
    if not np.isfinite(frame.forces).all():
        return "a force is not finite"
    if np.linalg.norm(frame.forces, axis=1).max() > LARGEST_FORCE:
        return f"a force is above {LARGEST_FORCE:g} eV/Å"
    return None


def table(frames: Sequence[Frame]) -> xr.Dataset | None:
    """Frames as stored variables of a part, before molecules are counted and splits are drawn; None for no frames."""
    if not frames:
        return None
    each = {
        "energy": np.array([f.energy for f in frames], np.float64),
        "atoms": np.array([len(f.numbers) for f in frames], np.int32),
        "temperature": np.array([f.temperature for f in frames], np.float32),
        "sample_molecule": np.array([f.molecule for f in frames], object),
        "split": np.array([f.split for f in frames], np.int8),
    }
    forces = [np.full(f.positions.shape, np.nan) if f.forces is None else f.forces for f in frames]
    positions = [cells.wrapped(f.positions, f.lattice) if any(f.periodic) else f.positions for f in frames]
    return xr.Dataset(
        {name: ("sample", values) for name, values in each.items()}
        | {
            "numbers": ("atom", np.concatenate([f.numbers for f in frames]).astype(np.int16)),
            "positions": (("atom", "xyz"), np.concatenate(positions).astype(np.float32)),
            "forces": (("atom", "xyz"), np.concatenate(forces).astype(np.float32)),
        },
        coords={"sample": ("sample", np.array([f.order for f in frames], np.int64))},
    )


class Frames(Dataset):
    """A dataset of frames: `read` gives `Part(table(frames), rejects)`, the rest is here."""

    kind = "frames"

    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """Frames in order, with molecules, split, element references and scales.

        Raises:
            UserError: too few frames or molecules to split, an element without training data, or no force at all.
        """
        return periodic.finished(_scaled(*gathered(data, self.settings, self.held_out())))

    def held_out(self) -> list[str]:
        """Names of the splits beyond train and test, numbered from 2."""
        return []


def gathered(
    data: xr.Dataset, settings: DatasetSettings, others: Sequence[str] = ()
) -> tuple[xr.Dataset, xr.DataArray]:
    """The samples of all parts in order, with molecules and split, and the number of atoms of each element in each.

    Args:
        others: names of the splits from number 2 on.

    Raises:
        UserError: too few samples or molecules to split, or an element without training data.
    """
    data = ordered(data)
    molecule, molecule_names = _numbered(data["sample_molecule"].values)
    composition = _composition(data)
    names = ["train", "test", *others]
    split = data["split"].values.copy() if "split" in data else np.full(len(molecule), -1, np.int8)
    drawn = split < 0  # the others have theirs
    if drawn.any():
        split[drawn] = _held_out(molecule[drawn], composition[drawn], settings)
    counts = dict(zip(names, np.bincount(split, minlength=len(names)).tolist(), strict=True))
    if not all(counts.values()):
        raise UserError("split", "samples in every split", ", ".join(f"{n} in {name}" for name, n in counts.items()))
    missing = composition["element"].values[~(composition.values[split == 0] > 0).any(0)]
    if len(missing):
        raise UserError(
            "split", "every element in the train split", f"atomic numbers {missing.tolist()} elsewhere only"
        )
    data["split"] = ("sample", split, {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)})
    data["molecule"] = ("sample", molecule)
    data["molecule_name"] = ("molecule_index", np.array(molecule_names, object))
    data = data.drop_vars("sample_molecule").assign_coords(
        sample=np.arange(data.sizes["sample"]),
        xyz=np.array(["x", "y", "z"], object),
        element=composition["element"].values,
    )
    return data, composition


def _held_out(molecule: Int[Array, " sample"], composition: xr.DataArray, settings: DatasetSettings) -> Array:
    """1 for samples held out: an exact share, drawn so that every element stays in the train split."""
    group = np.unique(molecule, return_inverse=True)[1] if settings.split_by == "molecule" else np.arange(len(molecule))
    has = np.zeros((group.max() + 1, composition.sizes["element"]), bool)
    np.logical_or.at(has, group, composition.values > 0)
    if len(has) < 2:
        raise UserError(f"split_by {settings.split_by}", f"at least two {settings.split_by}s", len(has))
    wanted = min(max(round(settings.test_fraction * len(has)), 1), len(has) - 1)
    left, test, held = has.sum(0), np.zeros(len(has), np.int8), 0
    for g in np.random.default_rng([settings.seed, 0x5B117]).permutation(len(has)):
        if held < wanted and (left[has[g]] > 1).all():
            left, test[g], held = left - has[g], 1, held + 1
    if held < wanted:
        expected = f"{wanted} of {len(has)} {settings.split_by}s to hold out without losing an element from training"
        raise UserError("test_fraction", expected, f"{held}; lower it or split by frame")
    return test[group]


def _numbered(names: Array) -> tuple[Int[Array, " sample"], list[str]]:
    """Numbers for names, in the order of their first appearance, and the names."""
    place: dict[str, int] = {}
    number = np.empty(len(names), np.int32)
    for start in range(0, len(names), BLOCK):
        part = names[start : start + BLOCK].tolist()
        number[start : start + BLOCK] = [place.setdefault(name, len(place)) for name in part]
    return number, list(place)


def ordered(data: xr.Dataset) -> xr.Dataset:
    """The frames by their `sample` number, with their atoms."""
    numbers = data["sample"].values
    if (np.diff(numbers) > 0).all():
        return data
    order = np.argsort(numbers, kind="stable")
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
    atoms = np.concatenate([np.arange(first[i], first[i + 1]) for i in order])
    return data.isel(sample=order, atom=atoms)


def _blocks(data: xr.Dataset) -> Iterator[tuple[slice, slice]]:
    """Some frames at a time and their atoms, so that arrays of atoms need not be in memory as a whole."""
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
    ends = np.searchsorted(first, np.arange(0, first[-1] + BLOCK, BLOCK)).clip(max=len(first) - 1)
    for start, stop in itertools.pairwise(np.unique(ends).tolist()):
        yield slice(start, stop), slice(int(first[start]), int(first[stop]))


def _composition(data: xr.Dataset) -> xr.DataArray:
    """Number of atoms of each element in each frame, elements ascending."""
    numbers, atoms = data["numbers"].variable, data["atoms"].values
    elements = np.unique(np.concatenate([np.unique(numbers[part].values) for _, part in _blocks(data)]))
    counts = np.zeros((data.sizes["sample"], len(elements)), np.int16)
    for frames, part in _blocks(data):
        row = np.repeat(np.arange(frames.start, frames.stop), atoms[frames])
        np.add.at(counts, (row, np.searchsorted(elements, numbers[part].values)), 1)
    return xr.DataArray(counts, dims=("sample", "element"), coords={"element": elements.astype(np.int64)})


def _scaled(data: xr.Dataset, composition: xr.DataArray) -> xr.Dataset:
    """The data with element references and scales of the train split.

    References are fitted to the energy per atom, so that the residual has mean 0 and its standard deviation is the loss
    of predicting nothing; where compositions leave them open (one molecule), they are the smallest ones.
    """
    train = data["split"].values == 0
    reference, spread = _references(composition.values, data["energy"].values, data["atoms"].values, train)
    squares = components = 0
    for frames, part in _blocks(data):
        mine = np.repeat(train[frames], data["atoms"].values[frames])
        forces = data["forces"].variable[part].values[mine].astype(np.float64)
        squares, components = squares + (forces**2).sum(), components + forces.size
    if not squares:
        raise UserError("forces", "some force that is not zero in the train split", "none")
    data["reference_energy"] = ("element", reference)
    data["force_scale"] = ((), math.sqrt(squares / components))
    data["energy_scale"] = ((), spread if spread > 1e-9 else 1.0)  # no spread: nothing to scale by
    return data


def _references(
    composition: Int[Array, "sample element"],
    energy: Float[Array, " sample"],
    atoms: Int[Array, " sample"],
    train: Bool[Array, " sample"],
) -> tuple[Float[Array, " element"], float]:
    """Energy per atom of each element by least squares over the train split, and what is left as a standard deviation.

    Solved from the triangular factor of the equations, which takes them block by block.
    """
    places, factor = np.flatnonzero(train), np.zeros((0, composition.shape[1] + 1))
    blocks = [places[i : i + BLOCK] for i in range(0, len(places), BLOCK)]

    def equations(block: Array) -> Float[Array, "n column"]:
        return np.column_stack([composition[block], energy[block]]) / atoms[block, None]

    for block in blocks:
        factor = np.linalg.qr(np.concatenate([factor, equations(block)]), mode="r")
    rank_below = np.finfo(np.float64).eps * max(len(places), composition.shape[1])
    reference = np.linalg.lstsq(factor[:, :-1], factor[:, -1], rcond=rank_below)[0]
    left = np.concatenate([equations(block) @ np.append(-reference, 1) for block in blocks])
    return reference, float(left.std())
