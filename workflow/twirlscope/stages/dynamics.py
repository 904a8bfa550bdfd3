"""Stage `dynamics`: molecular dynamics at constant energy with the last checkpoint of an external model.

Every structure starts two trajectories with the same velocities: one with the model as it is, one with a random
rotation before every call. The drifts of energy and momenta stand beside the spectrum of the equivariance error.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .._typing import Array, Int, Mapping, Sequence
from ..errors import UserError, needs
from ..estimators import bootstrap
from ..external import dynamics as library
from ..external.remote import RemoteCalculator
from ..external.specification import series, spec_of
from ..external.worker import structure
from ..runtime.progress import Progress, say_found
from ..settings.dynamics import DynamicsSettings
from ..settings.external import ExternalSettings
from ..sources import external_index
from ..storage import made_from, store
from ..storage.arrays.dynamics import DYNAMICS
from ..storage.ragged import Ragged, open_samples

with needs("chemistry"):
    from ase import Atoms

ORIENTATIONS = ("fixed", "random")
STATE = ("charge", "spin")
SERIES = {"energy_change": "energy", "momentum_change": "momentum", "angular_change": "angular"}
DRIFTS = {"energy_drift": "energy_drift", "force_drift": "force", "torque_drift": "torque"}
MEANS = {"energy_drift": "mean_energy_drift", "force_drift": "mean_force_drift", "torque_drift": "mean_torque_drift"}


def dynamics(
    data: Path, out: Path, settings: DynamicsSettings, external: ExternalSettings, job: Mapping[str, Any]
) -> None:
    """Run all trajectories of the last checkpoint of a run and write `dynamics.zarr.zip`.

    A structure whose trajectory fails in either orientation is left out, listed and counted.

    Args:
        data: store of the dataset.
        out: store to write.
        settings: of the stage.
        external: the external model.
        job: name of the `run`, for errors, fingerprints of its `files`, and hash of the `code`.

    Raises:
        UserError: the data have no such split, the calculator cannot be made, or every trajectory fails.
    """
    where = f"runs.{job['run']}.external"
    step, checkpoint = list(series(external, where).items())[-1]
    samples = open_samples(data)
    index = chosen_samples(samples, settings)
    calculator = RemoteCalculator(spec_of(external, step, checkpoint, where))
    found, failures = all_trajectories(calculator, structures(samples, index), index.tolist(), settings)
    if not found:
        raise UserError("dynamics", "a calculator that completes a trajectory", next(iter(failures.values())))
    kept = np.array(list(found), np.int64)
    result = summarised(list(found.values()), kept, samples["cluster"].values[kept], settings)
    about = {
        "settings": json.dumps(settings.model_dump()),
        "step": step,
        "versions": json.dumps(calculator.worker.versions),
    }
    about["failures"] = json.dumps(failures)
    record = made_from.of_external(job, "dynamics", settings, external, data)
    store.save(result.assign_attrs(about | made_from.attribute(record)), out, DYNAMICS)
    say_found(f"{len(found)} of {len(index)} structures, 2 trajectories each")


def all_trajectories(
    calculator: RemoteCalculator, frames: Sequence[Atoms], index: Sequence[int], settings: DynamicsSettings
) -> tuple[dict[int, list[library.Trajectory]], dict[str, str]]:
    """Trajectories by sample, and why samples have none. The calculator is closed at the end."""
    found, failures = {}, {}
    with closing(calculator), Progress("dynamics", len(index), "structure") as progress:
        calculator.worker.start()  # a calculator that cannot be made is no failure of a structure
        for sample, frame in zip(index, frames, strict=True):
            try:
                found[sample] = both_orientations(frame, calculator, settings, sample)
            except RuntimeError as error:
                failures[str(sample)] = str(error)
                print(f"dynamics: structure {sample} is left out: {error}", flush=True)
            progress.advance(f"structure {sample}")
    return found, failures


def chosen_samples(samples: xr.Dataset, settings: DynamicsSettings) -> Int[Array, " sample"]:
    """Random samples of the split, ascending; all of them if there are fewer. Raises UserError for no such split."""
    index = external_index(samples, settings.split, "dynamics.split")
    chosen = np.random.default_rng([settings.seed, 2]).permutation(index)[: settings.frames]
    return np.sort(chosen).astype(np.int64)


def structures(samples: xr.Dataset, index: Int[Array, " sample"]) -> list[Atoms]:
    """The samples as structures of ASE, with cells, charge and spin where the data have them."""
    atoms = Ragged(samples, "numbers", "positions")
    ends = np.cumsum(atoms.counts(index))[:-1]
    numbers, positions = (np.split(rows, ends) for rows in atoms.rows(index))
    cells = samples["cell"].values[index] if "cell" in samples else np.zeros((len(index), 3, 3))
    known = {k: samples[k].values[index] for k in STATE if k in samples}
    found = []
    for i in range(len(index)):
        state = {k: int(v[i]) for k, v in known.items() if np.isfinite(v[i])}
        cell = cells[i].astype(np.float64)
        found.append(structure(numbers[i], positions[i].astype(np.float64), cell, cell.any(1), state))
    return found


def both_orientations(
    frame: Atoms, calculator: RemoteCalculator, settings: DynamicsSettings, sample: int
) -> list[library.Trajectory]:
    """Trajectories of one structure with a fixed orientation and with random ones."""
    chosen = {name: getattr(settings, name) for name in ("steps", "timestep", "temperature", "every")}
    seed = int(np.random.SeedSequence([settings.seed, sample]).generate_state(1)[0])
    return [library.trajectory(frame, calculator, **chosen, seed=seed, rotate=n == "random") for n in ORIENTATIONS]


def summarised(
    found: Sequence[Sequence[library.Trajectory]],
    sample: Int[Array, " trajectory"],
    cluster: Int[Array, " trajectory"],
    settings: DynamicsSettings,
) -> xr.Dataset:
    """All trajectories as a dataset, with mean drifts and their intervals over clusters."""

    def column(field: str) -> Array:
        return np.array([[getattr(t, field) for t in pair] for pair in found]).swapaxes(0, 1)

    names = ("orientation", "trajectory")
    result = {name: ((*names, "time"), column(field)) for name, field in SERIES.items()}
    for name, field in DRIFTS.items():
        values = column(field)
        result[name] = (names, values)
        low, high = bootstrap.interval(values, None, settings.resamples, settings.seed, cluster)
        parts = {"": values.mean(-1), "_low": low, "_high": high}
        result |= {f"{MEANS[name]}{end}": (("orientation",), part) for end, part in parts.items()}
    result["trajectory_sample"] = (("trajectory",), sample)
    result["trajectory_cluster"] = (("trajectory",), cluster.astype(np.int32))
    return xr.Dataset(result, {"orientation": np.array(ORIENTATIONS, object), "time": found[0][0].time})
