"""Stores that were made from other settings, code or data than those at hand: the workflow makes them again.

Snakemake compares parameters only where it remembers them (`.snakemake`), not for results that were copied or cloned.
Every store says itself what it was made from, so the comparison needs nothing else. It is made once per command, for
the stores that the command needs.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from .._typing import Callable
from ..errors import UserError
from ..report.inventory import stores_of
from ..runtime.code_hash import code_hash
from ..runtime.identity import changes
from ..settings.external import ExternalSettings
from ..storage import made_from
from ..storage.made_from import Record
from .plan import Plan

SHOWN = 4  # changes named per store
LONGEST = 100  # characters of a change


class Reruns:
    """Input functions of rules. They add no file; they force the jobs of stores that are not what would be made now.

    Args:
        plan: the checked config.
        workflow: Snakemake's.
        results: folder of the results.
        say: prints a line.
    """

    def __init__(self, plan: Plan, workflow: Any, results: Path, say: Callable[[str], None]):
        self._plan, self._workflow, self._results, self._say = plan, workflow, results, say
        self._seen: set[str] = set()

    def of(self, stage: str) -> Callable[[Any], list[str]]:
        """The input function of the rule that makes the stores of a stage; `gather` makes those of several."""
        return functools.partial(self._force, stage)

    def trainings(self) -> dict[str, Any]:
        """Parameters of the job that keeps trainings across a change of their code."""
        jobs = [
            self._plan.train(run, seed)
            | {
                "out": str(paths("train", self._results, run=run, seed=str(seed))[1]),
                "data": str(paths("prepare", self._results, dataset=self._plan.dataset_of(run))[1]),
            }
            for run, seed in self._plan.runs
        ]
        return {"trainings": jobs, "code": code_hash(self._plan.sources("keep_trainings"))}

    def _force(self, stage: str, wildcards: Any) -> list[str]:
        """Force the job of these wildcards if its store is stale, and say why. Jobs themselves do not compare."""
        if self._workflow.is_main_process:
            names = dict(wildcards.items())
            stage = names.pop("stage", stage)
            output, store = paths(stage, self._results, **names)
            if str(output) not in self._seen:
                self._seen.add(str(output))
                if why := stale(self._plan, stage, store, self._results, **names):
                    self._workflow.dag.forcefiles.add(str(output))
                    self._say(f"{output} is made again: {why}")
        return []


def paths(
    stage: str, results: Path, dataset: str = "", run: str = "", seed: str = "", part: str = ""
) -> tuple[Path, Path]:
    """The output of a job, and the store in it that says what it was made from."""
    if stage in ("report", "partial_report"):
        return results / stage, results / stage / "summary.zarr.zip"
    base = results / "data" / dataset if stage == "prepare" else results / "runs" / run / f"seed{seed}" / stage
    name = f"{base.name}.parts/{part}.zarr.zip" if part else f"{base.name}.zarr.zip"
    return base.parent / name, base.parent / name


def stale(
    plan: Plan,
    stage: str,
    store: Path,
    results: Path,
    dataset: str = "",
    run: str = "",
    seed: str = "",
    part: str = "",
) -> str:
    """Why a store is not what would be made now; empty if it is, if it is missing, or if what it is made of is missing.

    A store whose inputs are missing, or are made again, is made again with them.
    """
    if not store.exists():
        return ""
    try:
        now = record(plan, stage, results, dataset, run, seed)
    except UserError:
        return ""
    try:
        then = made_from.recorded(store)
    except UserError as error:
        return str(error)
    if then is None:
        return "it does not say what it was made from"
    lines = [line if len(line) <= LONGEST else f"{line[:LONGEST]}..." for line in changes(then, now)]
    more = f", and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return ", ".join(lines[:SHOWN]) + more


def record(plan: Plan, stage: str, results: Path, dataset: str = "", run: str = "", seed: str = "") -> Record:
    """The record (`storage/made_from.py`) of a store that is made now.

    Args:
        stage: `prepare`, `train`, `twirl`, `gradient`, `hessian`, `layers`, `dynamics`, `report` or `partial_report`.
        results: folder of the results, with the stores that are read.

    Raises:
        UserError: a store that is read is missing or damaged.
    """
    if stage == "prepare":
        return made_from.of_data(plan.prepare(dataset))
    if stage in ("report", "partial_report"):
        job = plan.report(partial=stage == "partial_report")
        return made_from.of_report(job, stores_of(job, results), results)
    data = results / "data" / f"{plan.dataset_of(run)}.zarr.zip"
    if stage == "train":
        return made_from.of_training(**plan.train(run, int(seed)), data=data)
    settings = plan.config.measure(stage, run)[0]
    if plan.is_external(run):
        external = plan.external_job(stage, run)
        return made_from.of_external(external, stage, settings, ExternalSettings(**external["external"]), data)
    job, train = plan.measure(stage, run), results / "runs" / run / f"seed{seed}" / "train.zarr.zip"
    return made_from.of_measurement(stage, settings, job["task"], job["code"], train, data)
