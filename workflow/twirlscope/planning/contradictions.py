"""Mistakes of a run whose sections are right alone and wrong together."""

from __future__ import annotations

from .. import plugins
from ..contracts import Model, Task
from ..errors import UserError
from ..settings.base import LARGEST_SEED, MEASUREMENTS
from ..settings.experiment import Config, RunSettings
from ..settings.train import checkpoint_steps
from ..sources import EVERY, Dataset
from . import external_runs


def contradictions(config: Config, name: str, dataset: Dataset) -> list[UserError]:
    """The mistakes of one run.

    Args:
        config: right but for these mistakes.
        name: of the run.
        dataset: that it uses.
    """
    run, where = config.runs[name], f"runs.{name}"
    if external_runs.is_external(run):
        wrong = dataset.kind != "frames"
        errors = [UserError(f"{where}.dataset", "a dataset of frames", f"one of {dataset.kind}")] if wrong else []
    else:
        errors = _of_training(where, run, dataset) + _of_steps(config, name, run)
    return errors + _of_splits(config, name, run, dataset)


def _of_training(where: str, run: RunSettings, dataset: Dataset) -> list[UserError]:
    """Seeds, and kinds of model, task and dataset that do not fit."""
    task: type[Task] = plugins.find("task", run.task["name"])
    model: type[Model] = plugins.find("model", run.model["name"])
    errors = []
    if len(set(run.seeds)) < len(run.seeds) or min(run.seeds) < 0 or max(run.seeds) > LARGEST_SEED:
        errors.append(UserError(f"{where}.seeds", f"different numbers from 0 to {LARGEST_SEED}", run.seeds))
    if model.task != task.name:
        errors.append(UserError(f"{where}.model.name", f"a model for the task {task.name}", f"one for {model.task}"))
    if dataset.kind != task.dataset_kind:
        errors.append(UserError(f"{where}.dataset", f"a dataset of {task.dataset_kind}", f"one of {dataset.kind}"))
    return errors


def _of_steps(config: Config, name: str, run: RunSettings) -> list[UserError]:
    """Steps that are asked for and have no checkpoint."""
    kept, errors = checkpoint_steps(run.train), []
    for stage in ("hessian", "layers"):
        wrong = [s for s in config.measure(stage, name)[0].steps if s not in kept]
        where = f"runs.{name}.{stage}.steps" if "steps" in getattr(run, stage) else f"{stage}.steps"
        errors += [UserError(where, f"steps of checkpoints of runs.{name}: {kept}", wrong)] if wrong else []
    return errors


def _of_splits(config: Config, name: str, run: RunSettings, dataset: Dataset) -> list[UserError]:
    """Splits that the data do not have; a dataset of a user's file may have any."""
    if ":" in config.datasets[run.dataset]["name"]:
        return []
    external, errors = external_runs.is_external(run), []
    known = [*dataset.splits(), *([EVERY] if external else [])]
    for stage in ("twirl", "dynamics") if external else MEASUREMENTS:
        split = config.measure(stage, name)[0].split
        if split not in known:
            where = f"runs.{name}.{stage}.split" if "split" in getattr(run, stage) else f"{stage}.split"
            errors.append(UserError(where, f"a split of datasets.{run.dataset}", repr(split), known))
    return errors
