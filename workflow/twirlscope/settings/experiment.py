"""The whole config: all its keys, and the checks that need no plug-in."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .base import Settings, key, parse
from .dynamics import DynamicsSettings
from .gradient import GradientSettings
from .hessian import HessianSettings
from .layers import LayersSettings
from .report import ReportSettings
from .sweep import SweepSettings
from .train import TrainSettings
from .twirl import TwirlSettings


class RunSettings(Settings):
    """One run: a model, trained on a task and a dataset, from one or several seeds."""

    dataset: str = key(..., "name of one of the `datasets`")
    task: dict[str, Any] = key({}, "`name` of a task (or `file.py:Class`) and its settings")
    model: dict[str, Any] = key(
        {},
        "`name` of a model (or `file.py:Class`) and its settings; `match: {model: {name: ...}, by: parameters}` in "
        "place of its `width` takes the width whose parameters, or `cost`, are closest to those of that other model",
    )
    external: dict[str, Any] = key(
        {}, "in place of `task`, `model` and `train`: a calculator of another package, and how it is run"
    )
    train: TrainSettings = key(TrainSettings(), "settings of the training")
    seeds: list[int] = key([0], "seeds of weights, order and rotations; one training each", min_length=1)
    twirl: dict[str, Any] = key({}, "keys of the section `twirl` that differ for this run")
    gradient: dict[str, Any] = key({}, "keys of the section `gradient` that differ for this run")
    hessian: dict[str, Any] = key({}, "keys of the section `hessian` that differ for this run")
    layers: dict[str, Any] = key({}, "keys of the section `layers` that differ for this run")
    dynamics: dict[str, Any] = key({}, "keys of the section `dynamics` that differ for this run")


MEASURES = {"twirl": TwirlSettings, "gradient": GradientSettings, "hessian": HessianSettings}
MEASURES |= {"layers": LayersSettings, "dynamics": DynamicsSettings}


class Config(Settings):
    """The experiment. Threads, memory and GPUs are set in `profiles/`."""

    datasets: dict[str, dict[str, Any]] = key(
        ..., "by a name of your choice: `name` of a dataset (or `file.py:Class`) and its settings", min_length=1
    )
    runs: dict[str, RunSettings] = key(
        ..., "by a name of your choice: a model, a task and a dataset, and the settings of the training", min_length=1
    )
    sweeps: dict[str, SweepSettings] = key({}, "by a name of your choice: many runs derived from one run")
    twirl: TwirlSettings = key(TwirlSettings(), "measurement of the checkpoints")
    gradient: GradientSettings = key(GradientSettings(), "measurement of gradients")
    hessian: HessianSettings = key(HessianSettings(), "measurement of curvature")
    layers: LayersSettings = key(LayersSettings(), "measurement of symmetry inside the networks")
    dynamics: DynamicsSettings = key(DynamicsSettings(), "molecular dynamics of external models")
    report: ReportSettings = key(ReportSettings(), "the report")

    def measure(self, stage: str, run: str) -> tuple[Settings | None, list[UserError]]:
        """Settings of a stage that measures checkpoints, and all errors in them.

        Keys of the run replace those of the section of the stage. With errors the settings are None.
        """
        own = getattr(self.runs[run], stage)
        merged = dict(getattr(self, stage)) | own
        return parse(MEASURES[stage], merged, f"runs.{run}.{stage}")
