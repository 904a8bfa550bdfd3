"""The whole config: what it may say, and the checks that need no plug-in."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .base import Settings, key, parse
from .gradient import GradientSettings
from .hessian import HessianSettings
from .report import ReportSettings
from .sweep import SweepSettings
from .train import TrainSettings
from .twirl import TwirlSettings


class RunSettings(Settings):
    """One run: a model, trained on a task and a dataset, from one or several seeds."""

    dataset: str = key(..., "name of one of the `datasets`")
    task: dict[str, Any] = key(..., "`name` of a task (or `file.py:Class`) and its settings")
    model: dict[str, Any] = key(
        ...,
        "`name` of a model (or `file.py:Class`) and its settings; `match: {model: {name: ...}, by: parameters}` in "
        "place of its `width` takes the one nearest in parameters, or in `cost`, to that other model",
    )
    train: TrainSettings = key(TrainSettings(), "how it is trained")
    seeds: list[int] = key([0], "seeds of weights, order and rotations; one training each", min_length=1)
    twirl: dict[str, Any] = key({}, "keys of the section `twirl` that differ for this run")
    gradient: dict[str, Any] = key({}, "keys of the section `gradient` that differ for this run")
    hessian: dict[str, Any] = key({}, "keys of the section `hessian` that differ for this run")


MEASURES = {"twirl": TwirlSettings, "gradient": GradientSettings, "hessian": HessianSettings}


class Config(Settings):
    """Facts of the experiment; threads, memory and GPUs live in `profiles/`."""

    datasets: dict[str, dict[str, Any]] = key(
        ..., "by a name of your choice: `name` of a dataset (or `file.py:Class`) and its settings", min_length=1
    )
    runs: dict[str, RunSettings] = key(..., "by a name of your choice: the trainings", min_length=1)
    sweeps: dict[str, SweepSettings] = key({}, "by a name of your choice: many runs from one")
    twirl: TwirlSettings = key(TwirlSettings(), "how checkpoints are measured")
    gradient: GradientSettings = key(GradientSettings(), "how gradients are measured")
    hessian: HessianSettings = key(HessianSettings(), "how curvature is measured")
    report: ReportSettings = key(ReportSettings(), "the report")

    def measure(self, stage: str, run: str) -> tuple[Settings | None, list[UserError]]:
        """Settings of a stage that measures checkpoints, those of the run over those of all; or every mistake."""
        own = getattr(self.runs[run], stage)
        merged = dict(getattr(self, stage)) | own
        return parse(MEASURES[stage], merged, f"runs.{run}.{stage}")
