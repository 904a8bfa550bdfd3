"""Small datasets, a task, and a model whose loss split is known in closed form."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from twirlscope import Model, Settings
from twirlscope.tasks.force_field import ForceField


def frames(samples: int = 40, seed: int = 0, atoms: tuple[int, int] = (3, 6)) -> xr.Dataset:
    """Frames of atoms in a harmonic well: energy = sum r^2 / 2, forces = -r, where r is relative to the mean position.

    Args:
        samples: number of frames.
        seed: of positions and elements.
        atoms: smallest and largest number of atoms.
    """
    random = np.random.default_rng(seed)
    counts = random.integers(*atoms, samples, endpoint=True)
    positions = [r - r.mean(0) for r in (random.normal(size=(n, 3)) for n in counts)]
    split = (np.arange(samples) >= samples * 3 // 4).astype(np.int8)
    stacked = np.concatenate(positions).astype(np.float32)
    return xr.Dataset(
        {
            "numbers": ("atom", random.choice([1, 6], counts.sum()).astype(np.int16)),
            "positions": (("atom", "xyz"), stacked),
            "forces": (("atom", "xyz"), -stacked),
            "energy": ("sample", np.array([(r**2).sum() / 2 for r in positions])),
            "atoms": ("sample", counts.astype(np.int32)),
            "molecule": ("sample", np.zeros(samples, np.int32)),
            "cluster": ("sample", np.arange(samples, dtype=np.int32)),
            "temperature": ("sample", np.full(samples, np.nan, np.float32)),
            "split": ("sample", split, {"flag_values": [0, 1], "flag_meanings": "train test"}),
            "molecule_name": ("molecule_index", np.array(["well"], object)),
            "reference_energy": ("element", np.zeros(2)),
            "force_scale": ((), 1.0),
            "energy_scale": ((), 1.0),
        },
        {"element": np.array([1, 6]), "xyz": np.array(["x", "y", "z"], object)},
        {"labels": "harmonic well (exact)"},
    )


def crystals(samples: int = 40, seed: int = 0) -> xr.Dataset:
    """`frames` in random cells far from orthogonal, every other one left-handed, with random stresses."""
    data, random = frames(samples, seed), np.random.default_rng(seed + 1)
    cells = 4 * np.eye(3) + random.normal(size=(samples, 3, 3)) / 2
    cells[::2, 0] *= -1
    noise = random.normal(size=(samples, 3, 3))
    data["cell"] = (("sample", "lattice", "xyz"), cells.astype(np.float32))
    data["stress"] = (("sample", "xyz", "xyz_other"), (noise + noise.swapaxes(1, 2)).astype(np.float32))
    return data.assign(stress_scale=((), 0.5))


def partly_labelled(samples: int = 40, seed: int = 0) -> tuple[ForceField, np.ndarray]:
    """Force-field task on `frames`, three of every four without forces, and the indices of those with forces."""
    data = frames(samples, seed)
    known = np.arange(samples) % 4 == 0
    data["forces"].values[~np.repeat(known, data["atoms"].values)] = np.nan
    return ForceField(ForceField.Settings(), data), np.flatnonzero(known)


def many_frames(samples: int, atoms: int, seed: int = 0) -> xr.Dataset:
    """Many prepared frames, generated at once, each with between `atoms` / 2 and `atoms` atoms."""
    random = np.random.default_rng(seed)
    counts = random.integers(atoms // 2, atoms + 1, samples).astype(np.int32)
    positions = random.standard_normal((counts.sum(), 3), np.float32)
    split = (random.random(samples) < 0.1).astype(np.int8)
    template = frames(4)
    return template.drop_dims(["atom", "sample"]).assign(
        numbers=("atom", random.integers(0, 2, counts.sum()).astype(np.int16) * 5 + 1),
        positions=(("atom", "xyz"), positions),
        forces=(("atom", "xyz"), -positions),
        energy=("sample", random.standard_normal(samples)),
        atoms=("sample", counts),
        molecule=("sample", np.arange(samples, dtype=np.int32)),
        cluster=("sample", np.arange(samples, dtype=np.int32)),
        temperature=("sample", np.full(samples, np.nan, np.float32)),
        split=("sample", split, template["split"].attrs),
    )


def molecules(samples: int = 40, seed: int = 0) -> xr.Dataset:
    """Prepared geometries of 3 to 6 atoms, all within 2 Å of the mean of their molecule."""
    data = frames(samples, seed)
    sample = np.repeat(np.arange(samples), data["atoms"].values)
    radius = np.array([np.linalg.norm(data["positions"].values[sample == i], axis=1).max() for i in range(samples)])
    data["positions"].values *= (2 / radius[sample, None]).clip(max=1)
    return data.drop_vars(["forces", "energy", "temperature", "reference_energy", "force_scale", "energy_scale"])


def backbones(samples: int = 40, seed: int = 0) -> xr.Dataset:
    """Prepared chains of 8 to 14 residues: centred random walks with steps of 0.38 nm, the first with a chain break."""
    random = np.random.default_rng(seed)
    counts = random.integers(8, 15, samples)
    steps = [random.normal(size=(n, 3)) for n in counts]
    walks = [np.cumsum(0.38 * s / np.linalg.norm(s, axis=1, keepdims=True), 0) for s in steps]
    broken = np.zeros(counts.sum(), np.int8)
    broken[3] = 1
    split = (np.arange(samples) >= samples * 3 // 4).astype(np.int8)
    return xr.Dataset(
        {
            "ca_positions": (("atom", "xyz"), np.concatenate([w - w.mean(0) for w in walks]).astype(np.float32)),
            "chain_break": ("atom", broken),
            "atoms": ("sample", counts.astype(np.int32)),
            "chain": ("sample", np.array([f"walk {i}" for i in range(samples)], object)),
            "sequence": ("sample", np.array([""] * samples, object)),
            "cluster": ("sample", np.arange(samples, dtype=np.int32)),
            "split": ("sample", split, {"flag_values": [0, 1], "flag_meanings": "train test"}),
        },
        {"xyz": np.array(["x", "y", "z"], object)},
        {"labels": "random walks (synthetic)"},
    )


def force_field(samples: int = 40, seed: int = 0) -> ForceField:
    """Force-field task on `frames`."""
    return ForceField(ForceField.Settings(), frames(samples, seed))


class Well(Model):
    """Forces = -stiffness * positions + bias: exact for stiffness 1, exactly equivariant without `bias`."""

    class Settings(Settings):
        """None."""

    task = "force_field"

    def __init__(self, stiffness: float = 1.0, bias: tuple[float, float, float] = (0.0, 0.0, 0.0)):
        super().__init__()
        self.stiffness = torch.nn.Parameter(torch.tensor(stiffness))
        self.register_buffer("bias", torch.tensor(bias))

    def forward(self, inputs):
        positions = inputs["positions"]
        real = (inputs["numbers"] > 0)[..., None]
        forces = torch.where(real, -self.stiffness * positions + self.bias.to(positions), torch.zeros_like(positions))
        energy = 0.5 * self.stiffness * (positions**2).sum((1, 2)) / real.sum((1, 2))
        return {"forces": forces, "energy": energy[:, None]}
