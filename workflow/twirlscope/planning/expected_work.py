"""Expected duration of jobs: work counted from the plan, times speeds measured in this command and in earlier ones."""

from __future__ import annotations

import functools
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from .._typing import Mapping
from ..geometry.rotation_sets import rotation_set
from ..runtime.atomic import write_whole
from ..settings.steps import chosen_steps
from ..settings.train import checkpoint_steps
from .plan import Plan

START = 4.0  # [s] in which a job imports its packages and opens its files
SHORTEST = 1.0  # [s] of that, on any machine
PASS = {"force_field": 0.6e-3, "flow_matching": 2.5e-3, "voxel_denoising": 6e-3}  # [s] of a forward pass of one sample
OTHER_PASS = 1e-3  # [s], of tasks of one's own
GRADIENT = 3  # forward passes that a gradient costs
DERIVATIVES = 20  # forward passes that all derivatives of one sample cost, about: those of features and of every module
HELD_OUT = 300  # held-out samples, where the config takes the whole split: the plan does not know its size
DENSE = 30  # products of a block whose eigenvalues are all computed, since many columns are multiplied at once
TRUST = 20.0  # [s] of work, by which a slowness must be supported to count as much as the more general one
OWN_RUNS = 0.5  # runs for which a machine of ordinary speed counts, beside those that were measured
NETWORKS = (
    "train",
    "twirl",
    "gradient",
    "layers",
    "hessian",
)  # stages that run a network, whose speeds tell of each other
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
    jobs = len(plan.jobs(stage, run)) if stage in NETWORKS[1:] else 1
    return Work(
        stage, run, PASS.get(plan.config.runs[run].task.get("name"), OTHER_PASS) * passes(plan, stage, run) / jobs
    )


def passes(plan: Plan, stage: str, run: str) -> float:
    """Forward passes of one sample that a stage of a run costs, about."""
    train = plan.config.runs[run].train
    if stage == "train":
        return float(GRADIENT * train.steps * train.batch)
    s, kept = plan.config.measure(stage, run)[0], checkpoint_steps(train)
    checkpoints = 1 if plan.is_external(run) else len(kept)
    if stage == "twirl":
        held = (s.samples or HELD_OUT) * (s.rotations + s.reflections)
        panel = s.panel * _order(s.panel_set) * s.panel_replicates if s.panel > 1 else 0
        spectra = chosen_steps(range(checkpoints), [], s.panel_checkpoints, stage)
        return float(checkpoints * held + len(spectra) * panel)
    if stage == "gradient":
        search = GRADIENT * s.nearest * s.nearest_steps * s.batches * s.samples * s.rotations
        checkpoints = len(chosen_steps(kept, [], s.checkpoints, stage))
        return float(checkpoints * 10 * s.batches * s.samples * s.rotations + search)
    if stage == "layers":
        panel = s.panel * _order(s.panel_set) * s.panel_replicates if s.panel > 1 else 0
        passes_of_one = s.samples * s.rotations * DERIVATIVES + panel
        return float(len(chosen_steps(kept, s.steps, s.checkpoints, stage)) * passes_of_one)
    if stage == "hessian":
        rotations = s.rotations if s.rotation_set == "independent" else _order(s.rotation_set)
        products = min(s.probes * s.lanczos_steps, DENSE) * (2 if s.gauss_newton else 1) + DENSE * bool(s.block)
        return float(
            len(chosen_steps(kept, s.steps, s.checkpoints, stage)) * 4 * GRADIENT * s.samples * rotations * products
        )
    return float(2 * s.frames * s.steps)


@functools.cache
def _order(name: str) -> int:
    """Number of rotations of a set."""
    return len(rotation_set(name).quaternion)


class Speeds:
    """Expected durations, from those measured in this command and, in a file, in earlier ones.

    A duration is a start, the same for all jobs, and the work times a slowness. The slowness of a stage of a run is
    learned from its own jobs, from other stages of the run and from all networks, each weighted by its work, since jobs
    of seconds say little of jobs of hours.

    Args:
        path: the file, by job its work and its duration [s]; it is read once, and written by `record`.
    """

    def __init__(self, path: Path):
        self._path = path
        self._measured: dict[str, tuple[float, float]] = {}
        try:
            for name, (work, seconds) in json.loads(path.read_text()).items():
                if work > 0 and 0 < seconds < math.inf:
                    self._measured[name] = float(work), float(seconds)
        except (OSError, ValueError, AttributeError, TypeError):
            pass  # no earlier run, or a damaged file, which is replaced

    def record(self, work: Work, seconds: float) -> None:
        """Keep the duration of a finished job [s]."""
        if work.seconds:
            self._measured[_key(work)] = work.seconds, seconds
            text = json.dumps(self._measured, indent=1, sort_keys=True)
            write_whole(self._path, lambda path: path.write_text(text))

    def knows(self, work: Work) -> bool:
        """True if a job of this stage and subject was measured."""
        return _key(work) in self._measured

    def seconds(self, work: Work, running: Mapping[Work, float] | None = None) -> float:
        """Expected duration [s].

        Args:
            running: durations [s] of jobs that are not finished, as far as their progress foretells them.
        """
        if not work.seconds:
            return 0.0
        known = self._measured | {_key(w): (w.seconds, seconds) for w, seconds in (running or {}).items()}
        own = known.get(_key(work))
        if own and 0.5 <= own[0] / work.seconds <= 2:
            return own[1] * work.seconds / own[0]
        starts = [seconds * START / (START + done) for done, seconds in known.values()]
        start = max(statistics.median(starts or [START]), SHORTEST)
        return start + work.seconds * self._slowness(work, known, start)

    def _slowness(self, work: Work, known: Mapping[str, tuple[float, float]], start: float) -> float:
        """Duration without the start over the work: from all networks, then from the subject, then from the stage."""
        found = _of_all_runs(known, start) if work.stage in NETWORKS else 1.0
        for name in (f" {work.subject}",) * (work.stage in NETWORKS) + (_key(work),):
            some = {k: v for k, v in known.items() if k.endswith(name) and (k == name or _is_network(k))}
            spent, done = _spent(some, start)
            found = (found * TRUST + spent) / (TRUST + done)
        return found


def _of_all_runs(known: Mapping[str, tuple[float, float]], start: float) -> float:
    """Geometric mean of the slowness of all runs: a network that is slow by itself says little of the others."""
    runs = {k.split(" ", 1)[1] for k in known if _is_network(k)}
    logs = weights = 0.0
    for run in runs:
        spent, done = _spent({k: v for k, v in known.items() if _is_network(k) and k.endswith(f" {run}")}, start)
        weight = done / (TRUST + done)
        logs += weight * math.log(max(spent, 1e-3 * done) / done)
        weights += weight
    return math.exp(logs / (OWN_RUNS + weights))


def _spent(known: Mapping[str, tuple[float, float]], start: float) -> tuple[float, float]:
    """Durations without the starts, and work [s], both of all jobs."""
    return math.fsum(max(seconds - start, 0.0) for _, seconds in known.values()), math.fsum(
        work for work, _ in known.values()
    )


def _is_network(key: str) -> bool:
    return key.split(" ")[0] in NETWORKS


def _key(work: Work) -> str:
    return f"{work.stage} {work.subject}"
