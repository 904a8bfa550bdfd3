"""Stage `twirl` of a run that is not trained here: a calculator at all its checkpoints, in workers of its own Python.

Answers of the calculator are kept in `calls.sqlite` beside the store, from which a job that was killed goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

from .._typing import Mapping
from ..external import specification
from ..external.calls import Budget, Cache, Calls
from ..external.client import Pool
from ..runtime.progress import say_found, single
from ..settings.external import ExternalSettings
from ..settings.twirl import TwirlSettings
from ..sources import external_index
from ..storage import made_from, store
from ..storage.arrays.twirl import TWIRL
from ..storage.ragged import open_samples
from ..twirling.heldout import choose_samples
from ..twirling.potentials.attributes import attributes
from ..twirling.potentials.conclusions import rms
from ..twirling.potentials.measurement import Options, design_of, measure_series, planned_calls
from ..twirling.potentials.task import PotentialTask


@single("twirl", "run")
def twirl_external(
    data: Path, out: Path, settings: TwirlSettings, external: ExternalSettings, job: Mapping[str, Any]
) -> None:
    """Measure all checkpoints of an external run, and write `twirl.zarr.zip`.

    Args:
        data: the prepared dataset of frames.
        job: name of the `run`, for errors, fingerprints of its `files`, and hash of the `code`.

    Raises:
        UserError: the calculator cannot be made or fails for every structure, too many calls, or steps with the same
            predictions.
    """
    where, samples = f"runs.{job['run']}.external", open_samples(data)
    options = Options(external.subtract_noise, external.floor_samples, where, external.jacobian)
    task = PotentialTask(samples, external.stress)
    index = choose_samples(external_index(samples, settings.split, "twirl.split"), settings)
    design = design_of(task, index, samples["cluster"].values[index], settings)
    files = specification.series(external, where)
    budget = Budget(planned_calls(task, design, len(files), samples, settings, options), external.max_calls)
    cache, terms = Cache(out.parent / "calls.sqlite"), tuple(t.name for t in task.terms)
    calls = {}
    for step, file in files.items():
        spec = specification.spec_of(external, step, file, where)
        calls[step] = Calls(Pool(spec, external.workers, external.batch, where), terms, cache, budget)
    try:
        result = measure_series(task, samples, design, calls, settings, options)
        found = attributes(task, settings, result, calls[max(calls)])
    finally:
        for each in calls.values():
            each.close()
        cache.close()
    record = made_from.of_external(job, "twirl", settings, external, data)
    labels = {"labels": str(samples.attrs.get("labels", "not stated"))} | made_from.attribute(record)
    store.save(result.assign_attrs(found | labels), out, TWIRL)
    say_found(finding(result))


def finding(result: xr.Dataset) -> str:
    """The equivariance error of the forces at the last checkpoint and its floor, in words."""
    last = result.sel(term="forces").isel(step=-1)
    error, floor = (float(rms(result.isel(step=-1), name, "forces")) for name in ("loss_equiv", "loss_equiv_floor"))
    text = f"equivariance error {error:.3g} meV/Å of the forces, floor {floor:.2g}"
    return f"{text}, at step {int(last['step'])}"
