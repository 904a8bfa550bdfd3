"""Base class and storage of datasets of the kind `backbones`: single protein chains as CA traces.

The CA atoms of all chains are stored in one array, with the number per chain in another. A dataset has to make
`Chain`s, the rest is here. Lengths are in nm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import model_validator

from ..._typing import Array, Float, Int, Sequence
from ...errors import UserError
from ...settings.base import key
from ...settings.prepare import DatasetSettings
from ...sources import Dataset
from ..molecular import duplicates, groups
from ..molecular.frames import sorted_by_sample
from . import ca_statistics, sequence_clusters

BREAK_DISTANCE = 0.40  # [nm] consecutive CA atoms are 0.38 apart, or 0.29 across a cis peptide bond
LARGEST_GAP = 8.0  # [nm] across missing residues; a placeholder or another molecule is farther
SMALLEST_DISTANCE = 0.25  # [nm] between CA atoms of a valid structure


@dataclass(frozen=True)
class Chain:
    """One chain before it is checked by `reject_reason`.

    order: rank among all chains of the dataset, whichever part it belongs to.
    name: file and chain, for tables.
    positions: of the CA atoms, `[residue, 3]` in nm.
    sequence: one letter per residue, X for an unknown one; empty for a chain without a sequence.
    """

    order: int
    name: str
    positions: Array
    sequence: str = ""


class BackboneSettings(DatasetSettings):
    """Keys of every dataset of backbones."""

    split_by: Literal["chain", "cluster"] = key(
        "cluster", "unit of the split: single chains, or whole clusters of similar sequences"
    )
    test_fraction: float = key(0.1, "share of the chains that are held out", gt=0, lt=1)
    shortest: int = key(50, "minimum number of residues per chain", ge=4)
    longest: int = key(256, "maximum number of residues per chain", ge=4)

    @model_validator(mode="after")
    def _longest_is_not_below_shortest(self):
        if self.longest < self.shortest:
            raise ValueError(f"longest of at least shortest = {self.shortest}")
        return self


def breaks(positions: Float[Array, "residue 3"]) -> Int[Array, " residue"]:
    """1 where the next residue is farther away than a peptide bond allows: residues in between are missing."""
    step = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return np.append(step > BREAK_DISTANCE, False).astype(np.int8)


def reject_reason(chain: Chain, settings: BackboneSettings, most_breaks: int) -> str | None:
    """Reason why a chain cannot be used; None if it can."""
    count = len(chain.positions)
    if count < settings.shortest:
        return f"shorter than {settings.shortest} residues"
    if count > settings.longest:
        return f"longer than {settings.longest} residues"
    if not np.isfinite(chain.positions).all():
        return "a position is not finite"
    gap = np.linalg.norm(np.diff(chain.positions, axis=0), axis=1).max()
    if gap > LARGEST_GAP:
        return f"two consecutive CA atoms are {gap:.3g} nm apart: no chain break is so wide"
    if breaks(chain.positions).sum() > most_breaks:
        return f"more than {most_breaks} chain breaks"
    square = ((chain.positions[:, None] - chain.positions[None]) ** 2).sum(-1)
    if square[np.triu_indices(count, 1)].min() < SMALLEST_DISTANCE**2:
        return f"two CA atoms are closer than {SMALLEST_DISTANCE} nm"
    return None


def to_dataset(chains: Sequence[Chain]) -> xr.Dataset | None:
    """Chains of a part as stored variables, centred, without clusters and split; None if there are no chains."""
    if not chains:
        return None
    centred = [c.positions - c.positions.mean(0) for c in chains]
    return xr.Dataset(
        {
            "atoms": ("sample", np.array([len(c.positions) for c in chains], np.int32)),
            "chain": ("sample", np.array([c.name for c in chains], object)),
            "sequence": ("sample", np.array([c.sequence for c in chains], object)),
            "ca_positions": (("atom", "xyz"), np.concatenate(centred).astype(np.float32)),
            "chain_break": ("atom", np.concatenate([breaks(c.positions) for c in chains])),
        },
        coords={"sample": ("sample", np.array([c.order for c in chains], np.int64))},
    )


def _as_atoms(data: xr.Dataset) -> xr.Dataset:
    """The CA traces as geometries of carbon atoms [Å], for the search for duplicates."""
    positions = (("atom", "xyz"), 10 * data["ca_positions"].values)
    numbers = ("atom", np.full(data.sizes["atom"], 6, np.int16))
    return xr.Dataset({"positions": positions, "numbers": numbers, "atoms": data["atoms"]})


class Backbones(Dataset):
    """Abstract dataset of backbones; a subclass reads `Part(to_dataset(chains), rejects)`."""

    kind = "backbones"

    def finish(self, data: xr.Dataset) -> xr.Dataset:
        """Chains in order, with clusters, summaries, and a split that keeps clusters together.

        Raises:
            UserError: too few chains or clusters to split.
        """
        data = sorted_by_sample(data)
        letters = [str(s) for s in data["sequence"].values]
        twin, family = duplicates.twins(_as_atoms(data)), sequence_clusters.clusters(letters)
        family = groups.joined(family, twin)
        split = self._random_split(family if self.settings.split_by == "cluster" else twin)
        data["split"] = ("sample", split, {"flag_values": [0, 1], "flag_meanings": "train test"})
        data["cluster"] = ("sample", groups.clusters(family, twin, split))
        traces = np.split(data["ca_positions"].values.astype(np.float64), np.cumsum(data["atoms"].values)[:-1])
        data = data.assign({n: ("sample", v) for n, v in ca_statistics.summaries(traces).items()})
        data = data.assign_coords(sample=np.arange(len(letters)), xyz=np.array(["x", "y", "z"], object))
        return duplicates.checked(data, twin, self.settings.allow_duplicates)

    def _random_split(self, unit: Int[Array, " sample"]) -> Int[Array, " sample"]:
        """1 for held-out chains: those of random units, clusters or chains with their twins, that fit in the share."""
        size = np.bincount(unit)
        wanted = max(self.settings.test_fraction * len(unit), 1)
        test = groups.held_out(size, int(wanted), np.zeros((len(size), 0), bool), self.settings.seed)
        if not 0 < test.sum() < len(size):
            expected = f"{self.settings.split_by}s small enough to hold out {wanted:.3g} of {len(unit)} chains"
            raise UserError("test_fraction", expected, f"{len(size)}, the smallest of {size.min()} chains")
        return test[unit]
