"""Mistakes of a run whose sections are right alone and wrong together."""

from __future__ import annotations

from typing import Any

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
        errors = _of_training(where, run, dataset) + _of_steps(config, name, run) + _of_layers(config, name, run)
        errors += _of_objective(where, run, run.train.objective)
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


def _of_objective(where: str, run: RunSettings, section: dict[str, Any]) -> list[UserError]:
    """Rows, points and compilation that an objective needs; of both objectives of a schedule."""
    inner = [value for value in section.values() if isinstance(value, dict) and "name" in value]
    if inner:
        return [error for one in inner for error in _of_objective(where, run, one)]
    cls, settings = plugins.find("objective", section["name"]), plugins.settings_of("objective", section, "")[0]
    (views, compiles), train, errors = cls.traits(settings), run.train, []
    try:
        cls.samples_of(settings, train.batch)
    except UserError as error:
        errors.append(error.at(f"{where}.{error.where}"))
    if 0 < train.micro_batch < views:
        expected = f"at least the {views} rows of a sample, or 0"
        errors.append(UserError(f"{where}.train.micro_batch", expected, train.micro_batch))
    if train.compile == "always" and not compiles:
        errors.append(UserError(f"{where}.train.compile", f"never for the objective {section['name']}", "always"))
    task: type[Task] = plugins.find("task", run.task["name"])
    if cls.needs_points(settings) and task.points is None:
        expected = "an objective for samples on a grid, which have no principal axes"
        errors.append(UserError(f"{where}.train.objective", expected, section["name"]))
    return errors


def _of_layers(config: Config, name: str, run: RunSettings) -> list[UserError]:
    """The stage `layers` of a run on a grid."""
    if not config.measure("layers", name)[0].enabled or not plugins.find("task", run.task["name"]).on_grid:
        return []
    where = f"runs.{name}.layers.enabled" if "enabled" in run.layers else "layers.enabled"
    expected = f"false for runs.{name}: no matrix rotates the features of a grid, whose points move"
    return [UserError(where, expected, True)]


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
