"""The stores of every training by where the rules put them: which are there, which are not, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.identity import short_hash
from ..storage import store

DRAWN = 12  # runs; more lines than that tell nothing in one figure
TAIL = 4096  # bytes at the end of a log


@dataclass(frozen=True)
class RunFiles:
    """The stores of one training; `hessian` and `gradient` are None where they were not asked for.

    `dataset` is a key of `datasets`; `swept` says whether a sweep made the run, and not the user.
    """

    run: str
    seed: int
    train: Path
    twirl: Path
    hessian: Path | None
    dataset: str
    gradient: Path | None = None
    swept: bool = False


@dataclass(frozen=True)
class There:
    """What a report can be made from.

    missing: a sentence for every training that is not there, or not whole.
    """

    runs: Sequence[RunFiles]
    datasets: Mapping[str, Path]
    missing: Sequence[str]


def there(plan: Mapping[str, Any], results: Path, logs: Path) -> There:
    """What lies in the results folder of all that the plan of a report names.

    A training without its curve or its twirled checkpoints is left out; one that was made with other settings than the
    plan's is left out, too, where the plan is that of a partial report.
    """
    runs, missing, waiting = [], [], []
    for spec in plan["runs"]:
        files = _files(spec, results)
        label = f"Run {files.run}, seed {files.seed}"
        absent = [stage for stage, path in _stages(files).items() if not path.exists()]
        if {"train", "twirl"} & set(absent):
            reason = _reason(absent[0], files, logs)
            if reason:
                missing.append(f"{label} is not in this report: {absent[0]} did not finish ({reason}).")
            else:
                waiting.append(f"{files.run} (seed {files.seed})")
        elif plan["partial"] and _settings(files.train) != spec["settings"]:
            missing.append(f"{label} is not in this report: what is there was trained with other settings.")
        else:
            runs.append(replace(files, **dict.fromkeys(absent)))
            missing += [f"{label}: {s} is missing ({_reason(s, files, logs) or 'not run yet'})." for s in absent]
    if waiting:
        missing.append(f"Not run yet, and not in this report: {', '.join(waiting)}.")
    datasets = {name: results / "data" / f"{name}.zarr.zip" for name in plan["datasets"]}
    return There(runs, {name: path for name, path in datasets.items() if path.exists()}, missing)


def drawn(files: Sequence[RunFiles]) -> set[str]:
    """The runs that figures and sentences of single runs are about: all of them if they are few; else those that no
    sweep made, the first ones if these are many, too."""
    runs = list(dict.fromkeys(f.run for f in files))
    if len(runs) > DRAWN:
        own = {f.run for f in files if not f.swept}
        runs = [run for run in runs if run in own or not own][:DRAWN]
    return set(runs)


def times(plan: Mapping[str, Any], results: Path) -> str:
    """A short name for when the stores that are there were last changed: a partial report is made again with it."""
    paths = [path for spec in plan["runs"] for path in _stages(_files(spec, results)).values()]
    return short_hash({str(path): path.stat().st_mtime_ns for path in paths if path.exists()})


def _settings(train: Path) -> str:
    """The same of a training that is there."""
    with store.open_store(train) as data:
        return short_hash(json.loads(data.attrs["run"]))


def _files(spec: Mapping[str, Any], results: Path) -> RunFiles:
    folder = results / "runs" / spec["run"] / f"seed{spec['seed']}"
    paths = {s: folder / f"{s}.zarr.zip" for s in ("train", "twirl", "hessian", "gradient") if spec.get(s, True)}
    return RunFiles(**{"hessian": None} | paths, **{key: spec[key] for key in ("run", "seed", "dataset", "swept")})


def _stages(files: RunFiles) -> dict[str, Path]:
    """The stores that were asked for, by stage, in the order in which they are made."""
    found = {stage: getattr(files, stage) for stage in ("train", "twirl", "gradient", "hessian")}
    return {stage: path for stage, path in found.items() if path is not None}


def _reason(stage: str, files: RunFiles, logs: Path) -> str:
    """The last line of the log of the job that should have made a store; empty where it never began."""
    log = logs / stage / f"{files.run}.seed{files.seed}.log"
    if not log.exists():
        return ""
    lines = log.read_bytes()[-TAIL:].decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
