"""Expected duration of jobs: work counted from the plan, times speeds measured in this command and in earlier ones."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

from .._typing import Iterable, Mapping
from ..geometry.rotation_sets import rotation_set
from ..runtime.atomic import write_whole
from ..settings.hessian import chosen_steps
from ..settings.train import checkpoint_steps
from .plan import Plan

START = 4.0  # [s] in which a job imports its packages and opens its files
PASS = 1e-3  # [s] of a forward pass of one sample, until a job of the run was measured
GRADIENT = 3  # forward passes that a gradient costs
HELD_OUT = 300  # held-out samples, where the config takes the whole split: the plan does not know its size
DENSE = 300  # parameters of a block whose eigenvalues are all computed
PART, GATHERED, PAGE, PAGE_OF_RUN = 12.0, 3.0, 20.0, 3.0  # [s] of jobs without a network


@dataclass(frozen=True)
class Work:
    """Work of a job.

    stage: its rule, `twirl_part` as `twirl`.
    subject: the run or dataset, whose jobs have one speed.
    seconds: expected duration without the start, on a machine of ordinary speed.
    """

    stage: str
    subject: str
    seconds: float


def work_of(plan: Plan, rule: str, wildcards: Mapping[str, str]) -> Work:
    """Work of a job; 0 seconds for rules that only collect files."""
    stage, run = rule.removesuffix("_part").removesuffix("_external"), wildcards.get("run", "")
    if rule in ("prepare", "prepare_part"):
        return Work(rule, wildcards["dataset"], PART if rule == "prepare_part" else GATHERED)
    if stage in ("report", "partial_report"):
        return Work("report", "", PAGE + PAGE_OF_RUN * len(plan.runs))
    if stage == "gather":
        return Work(stage, run, GATHERED)
    if not run:
        return Work(stage, "", 0.0)
    jobs = len(plan.jobs(stage, run)) if stage in ("twirl", "gradient", "hessian") else 1
    return Work(stage, run, PASS * passes(plan, stage, run) / jobs)


def passes(plan: Plan, stage: str, run: str) -> float:
    """Forward passes of one sample that a stage of a run costs, about."""
    train = plan.config.runs[run].train
    if stage == "train":
        return GRADIENT * train.steps * train.batch
    s, kept = plan.config.measure(stage, run)[0], checkpoint_steps(train)
    checkpoints = 1 if plan.is_external(run) else len(kept)
    if stage == "twirl":
        held = (s.samples or HELD_OUT) * (s.rotations + s.reflections)
        panel = s.panel * _order(s.panel_set) * s.panel_replicates if s.panel > 1 else 0
        return checkpoints * (held + panel)
    if stage == "gradient":
        search = GRADIENT * s.nearest * s.nearest_steps * s.batches * s.samples * s.rotations
        return checkpoints * 10 * s.batches * s.samples * s.rotations + search
    if stage == "hessian":
        rotations = s.rotations if s.rotation_set == "independent" else _order(s.rotation_set)
        products = min(s.probes * s.lanczos_steps, DENSE) * (2 if s.gauss_newton else 1) + DENSE * bool(s.block)
        return len(chosen_steps(kept, s)) * 4 * GRADIENT * s.samples * rotations * products
    return 2 * s.frames * s.steps


@functools.cache
def _order(name: str) -> int:
    """Number of rotations of a set."""
    return len(rotation_set(name).quaternion)


class Speeds:
    """Measured durations of jobs as multiples of their work, in this command and, from a file, in earlier ones.

    Args:
        path: the file; it is read once, and written by `record`.
    """

    def __init__(self, path: Path):
        self._path = path
        self._measured: dict[str, float] = {}
        try:
            known = json.loads(path.read_text())
            self._measured = {str(k): float(v) for k, v in known.items() if 0 < float(v) < math.inf}
        except (OSError, ValueError, AttributeError, TypeError):
            pass  # no earlier run, or a damaged file, which is replaced

    def record(self, work: Work, seconds: float) -> None:
        """Keep the duration of a finished job [s]."""
        if work.seconds:
            self._measured[_key(work)] = slowness(work, seconds)
            text = json.dumps(self._measured, indent=1, sort_keys=True)
            write_whole(self._path, lambda path: path.write_text(text))

    def knows(self, work: Work) -> bool:
        """True if a job of this stage and subject was measured."""
        return _key(work) in self._measured

    def seconds(self, work: Work, running: Mapping[Work, float] | None = None) -> float:
        """Expected duration [s]: at the speed of the stage and subject, else of the subject, else of all networks.

        Args:
            running: slowness of jobs that are not finished, as far as they have come.
        """
        if not work.seconds:
            return 0.0
        known = self._measured | {_key(w): value for w, value in (running or {}).items()}
        stage, subject = work.stage, work.subject
        own = [known[_key(work)]] if _key(work) in known else []
        alike = [v for k, v in known.items() if k.endswith(f" {subject}") and is_network(k) and is_network(stage)]
        others = [v for k, v in known.items() if is_network(k) and is_network(stage)]
        return START + work.seconds * _mean(own or alike or others)


def slowness(work: Work, seconds: float) -> float:
    """Duration of a job without its start, over its work."""
    return max(seconds - START, 0.1 * START) / work.seconds


def is_network(key: str) -> bool:
    """True for the stages that run a network, whose speeds tell of each other."""
    return key.split(" ")[0] in ("train", "twirl", "gradient", "hessian")


def _key(work: Work) -> str:
    return f"{work.stage} {work.subject}"


def _mean(values: Iterable[float]) -> float:
    """Geometric mean; 1 of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else 1.0
