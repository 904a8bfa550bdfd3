"""Trainings that differ in their objective alone, and the words for an objective."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from typing import Any

from .... import plugins
from ...._typing import Sequence
from ....errors import UserError
from ....settings.base import keys_apart
from ....settings.train import TrainSettings
from ...trainings import Training, claims_equivariance

AUGMENTATION = "augment"
LENGTH = {"objective", "steps", "warmup"}  # settings of a training that may differ within a comparison


@dataclass(frozen=True)
class Comparison:
    """Trainings of the same model on the same task and samples, by their objective in words, and the equivariant ones.

    All settings of the training but the objective and the number of updates are the same.

    seeds: by objective, in the order of the trainings; of one length for each.
    built_in: equivariant models on the same task and data, by run.
    """

    task: str
    dataset: str
    seeds: dict[str, list[Training]]
    built_in: dict[str, list[Training]]

    @property
    def reference(self) -> list[Training]:
        """The trainings with plain augmentation; empty without any."""
        return self.seeds.get(AUGMENTATION, [])


def comparisons(trainings: Sequence[Training]) -> list[Comparison]:
    """Groups of trainings with two objectives or more."""
    groups: dict[tuple[str, ...], dict[str, list[Training]]] = {}
    built_in: dict[tuple[str, str], dict[str, list[Training]]] = {}
    for training in (t for t in trainings if t.objective):
        spec, task = training.spec, json.dumps(training.spec["task"], sort_keys=True)
        if claims_equivariance(training):
            built_in.setdefault((training.dataset, task), {}).setdefault(training.run, []).append(training)
            continue
        same = set(spec["train"]) - LENGTH - set(keys_apart(TrainSettings, "train"))
        train = {k: spec["train"][k] for k in same}
        key = (training.dataset, task, *(json.dumps(part, sort_keys=True) for part in (spec["model"], train)))
        groups.setdefault(key, {}).setdefault(words(training.objective), []).append(training)
    return [
        Comparison(str(json.loads(key[1])["name"]), key[0], _of_one_length(seeds), built_in.get(key[:2], {}))
        for key, seeds in groups.items()
        if len(seeds) > 1
    ]


def _of_one_length(seeds: dict[str, list[Training]]) -> dict[str, list[Training]]:
    """Of trainings with one objective and several lengths those whose FLOPs are nearest to the other objectives'.

    If no objective has one length, or FLOPs were not counted, the longest.
    """
    lengths = {name: sorted({updates_of(t) for t in found}) for name, found in seeds.items()}
    single = [flops_of(seeds[name][0]) for name, steps in lengths.items() if len(steps) == 1]
    target = math.exp(statistics.fmean(map(math.log, single))) if single else math.nan
    chosen = {}
    for name, found in seeds.items():
        cost = {steps: next(flops_of(t) for t in found if updates_of(t) == steps) for steps in lengths[name]}
        away = {steps: abs(math.log(flops / target)) for steps, flops in cost.items()}
        known = not any(map(math.isnan, away.values()))
        kept = min(away, key=away.__getitem__) if known else max(away)
        chosen[name] = [t for t in found if updates_of(t) == kept]
    return chosen


def updates_of(training: Training) -> int:
    """Number of updates of a training."""
    return int(training.twirl["step"].values[-1])


def flops_of(training: Training) -> float:
    """FLOPs of the whole training; NaN where none were counted."""
    if training.train is None or "flops_update" not in training.train:
        return math.nan
    return float(training.train["flops_update"]) * updates_of(training) or math.nan


def words(section: dict[str, Any], kind: str = "objective") -> str:
    """An objective, or a plug-in of another kind, in words: its name, and the settings that are not the default."""
    if section["name"] == "schedule":
        return f"{words(section['first'])}, then {words(section['then'])} from {100 * section['at']:g} %"
    try:
        defaults = {n: f.default for n, f in plugins.find(kind, section["name"]).Settings.model_fields.items()}
    except UserError:  # a file that is no longer there
        defaults = {}
    changed = [_setting(k, v, section["name"]) for k, v in section.items() if k != "name" and v != defaults.get(k, v)]
    return " ".join([section["name"], *changed])


def _setting(key: str, value: Any, name: str) -> str:
    """A key and its value, without `True` and without a key that repeats the name of the plug-in."""
    if isinstance(value, bool):
        return key if value else f"no {key}"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return shown if key == name else f"{key} {shown}"
