"""Loss split of a calculator of ASE on structures, without a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..._typing import Array, Int, Sequence
from ...errors import needs
from ...external.calls import Budget, Cache, Calls
from ...external.client import Local, Pool
from ...settings.twirl import TwirlSettings
from .attributes import attributes
from .measurement import Options, design_of, measure_series, planned_calls
from .structures import Labels, structures_dataset
from .task import PotentialTask

with needs("chemistry"):
    from ase import Atoms


def twirl_calculator(
    calculator: Any,
    frames: Sequence[Atoms],
    labels: Labels = None,
    settings: TwirlSettings | None = None,
    cluster: Int[Array, " sample"] | None = None,
    *,
    stress: bool = False,
    reset: bool = True,
    max_calls: int = 0,
    cache: str | Path | None = None,
    options: Options | None = None,
) -> xr.Dataset:
    """Loss split, spectrum and floors of a calculator: a dataset with the variables of the stage `twirl`.

    Args:
        calculator: a calculator of ASE, called in this process; or a `Pool` of workers.
        frames: structures. Molecules turn about their mean position; cells turn with the positions.
        labels: see `structures_dataset`; without labels there is no loss, and errors are told in percent of the
            predicted signal.
        settings: None takes the defaults.
        cluster: number of the cluster of each structure, such as its molecule: intervals resample clusters. None if
            all structures are independent.
        stress: whether stresses are measured too.
        reset: whether `reset()` of the calculator is called before every structure.
        max_calls: calls of the calculator above which nothing is started; 0 for no limit.
        cache: file of the answers, with which a measurement that was stopped goes on; None for none.
        options: None takes the defaults.

    Raises:
        UserError: structures or labels that cannot be used; more calls than `max_calls`; a calculator without a
            property, or that fails for every structure.
    """
    backend = calculator if isinstance(calculator, Pool) else Local(calculator, reset)
    chosen = settings or TwirlSettings(), options or Options(where="calculator")
    data = structures_dataset(frames, labels)
    return measure_structures(backend, data, cluster, *chosen, stress, max_calls, cache).isel(step=0)


def measure_structures(
    backend: Pool | Local,
    data: xr.Dataset,
    cluster: Int[Array, " sample"] | None,
    settings: TwirlSettings,
    options: Options,
    stress: bool = False,
    max_calls: int = 0,
    cache: str | Path | None = None,
) -> xr.Dataset:
    """The measurement of `twirl_calculator` with the dimension `step`, as it is stored.

    Args:
        data: as `structures_dataset` makes it.
    """
    task, index = PotentialTask(data, stress), np.arange(data.sizes["sample"])
    design = design_of(task, index, index if cluster is None else np.asarray(cluster), settings)
    budget = Budget(planned_calls(task, design, 1, None, settings, options), max_calls)
    kept = Cache(None if cache is None else Path(cache))
    calls = Calls(backend, tuple(t.name for t in task.terms), kept, budget)
    try:
        result = measure_series(task, None, design, {0: calls}, settings, options)
        return result.assign_attrs(attributes(task, settings, result, calls))
    finally:
        calls.close()
        kept.close()
