"""Notes on the clusters that intervals resample: too few of them, or held-out samples of a single molecule."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .._typing import Mapping, Sequence
from ..estimators.bootstrap import FEW_CLUSTERS
from ..twirling.activation_degrees import MAX_SAMPLES
from .trainings import Training
from .wording import listed


def cluster_notes(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> list[str]:
    """One sentence on all datasets with few clusters, and one per dataset whose held-out samples are of one molecule.

    Args:
        data: the prepared datasets by name.
    """
    notes, few = [], {}
    for training in trainings:
        name = f"Dataset {training.dataset}" if training.dataset else f"Run {training.run}"
        for place, count in _counts(training.twirl).items():
            if count < FEW_CLUSTERS:
                few.setdefault(name, {}).setdefault(place, set()).add(count)
        if training.dataset in data and _of_one_molecule(training.twirl, data[training.dataset]):
            notes.append(
                f"{name}: all held-out samples are of one molecule. Intervals take them for independent, and do not "
                "tell how the network would do on other molecules."
            )
    if few:
        places = [
            f"{name[0].lower()}{name[1:]} {listed([f'{_range(counts)} ({place})' for place, counts in found.items()])}"
            for name, found in few.items()
        ]
        notes.insert(
            0,
            "Intervals and standard errors over samples are approximate, and may be too narrow, where there are few "
            f"independent clusters of samples, such as molecules: {'; '.join(places)}.",
        )
    return list(dict.fromkeys(notes))


def _range(counts: set[int]) -> str:
    """The count, or the smallest and the largest of several."""
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _counts(twirl: xr.Dataset) -> dict[str, int]:
    """Number of clusters of the held-out samples, of the panel, and of every other test set."""
    found = {"held-out samples": len(np.unique(twirl["cluster"]))} if "cluster" in twirl else {}
    if "panel_cluster" in twirl:
        found["panel"] = len(np.unique(twirl["panel_cluster"]))
    if "degree_share" in twirl:
        found["samples behind degrees of features"] = len(np.unique(twirl["cluster"].values[:MAX_SAMPLES]))
    if "set_cluster" in twirl:
        for number, name in enumerate(twirl["test_set"].values):
            if name != twirl.attrs.get("split"):
                mine = twirl["set_number"].values == number
                found[f"test set {name}"] = len(np.unique(twirl["set_cluster"].values[mine]))
    return found


def _of_one_molecule(twirl: xr.Dataset, data: xr.Dataset) -> bool:
    """True if there is more than one held-out sample, and all are of the same molecule."""
    if "molecule" not in data or twirl.sizes["sample"] < 2:
        return False
    held = np.isin(np.arange(data.sizes["sample"]), twirl["sample"].values)
    return len(np.unique(data["molecule"].values[held])) == 1
