"""The stores of all trainings that a report can use, and the reasons for those that are missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.identity import short_hash
from ..storage import store

SHOWN = 12  # most runs with figures and sentences of their own: more lines cannot be read in one figure
STAGES = ("train", "twirl", "gradient", "hessian", "dynamics")  # in the order of the workflow
TAIL = 4096  # bytes at the end of a log


@dataclass(frozen=True)
class RunFiles:
    """The stores of one run; `train`, `hessian`, `gradient` and `dynamics` are None if they were not requested.

    dataset: name of the dataset.
    swept: True if a sweep made the run, and not the user.
    """

    run: str
    seed: int
    train: Path | None
    twirl: Path
    hessian: Path | None
    dataset: str
    gradient: Path | None = None
    dynamics: Path | None = None
    swept: bool = False


@dataclass(frozen=True)
class Inventory:
    """The stores that a report can use.

    datasets: by name.
    missing: one sentence per training or store that is missing.
    """

    runs: Sequence[RunFiles]
    datasets: Mapping[str, Path]
    missing: Sequence[str]


def available(plan: Mapping[str, Any], results: Path, logs: Path) -> Inventory:
    """The stores in the results folder, of all that the plan of a report names.

    A training without its train or twirl store is left out. A partial report also leaves out trainings with other
    settings than those of the plan.
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
        elif plan["partial"] and _settings(files) != spec["settings"]:
            missing.append(f"{label} is not in this report: what is there was made with other settings.")
        else:
            runs.append(replace(files, **dict.fromkeys(absent)))
            missing += [f"{label}: {s} is missing ({_reason(s, files, logs) or 'not run yet'})." for s in absent]
    if waiting:
        missing.append(f"Not run yet, and not in this report: {', '.join(waiting)}.")
    datasets = {name: results / "data" / f"{name}.zarr.zip" for name in plan["datasets"]}
    return Inventory(runs, {name: path for name, path in datasets.items() if path.exists()}, missing)


def shown_runs(files: Sequence[RunFiles]) -> set[str]:
    """The runs with figures and sentences of their own: all up to `SHOWN`, else the first ones that no sweep made."""
    runs = list(dict.fromkeys(f.run for f in files))
    if len(runs) > SHOWN:
        own = {f.run for f in files if not f.swept}
        runs = [run for run in runs if run in own or not own][:SHOWN]
    return set(runs)


def modification_hash(plan: Mapping[str, Any], results: Path) -> str:
    """Hash of the stores' modification times; a change makes the partial report again."""
    paths = [path for spec in plan["runs"] for path in _stages(_files(spec, results)).values()]
    return short_hash({str(path): path.stat().st_mtime_ns for path in paths if path.exists()})


def _settings(files: RunFiles) -> str:
    """Hash of the settings of a run, as the plan has it."""
    if files.train is None:
        with store.open_store(files.twirl) as data:
            return str(data.attrs.get("identity", ""))
    with store.open_store(files.train) as data:
        return short_hash(json.loads(data.attrs["run"]))


def _files(spec: Mapping[str, Any], results: Path) -> RunFiles:
    """The paths of the stores of one training."""
    folder = results / "runs" / spec["run"] / f"seed{spec['seed']}"
    paths = {s: folder / f"{s}.zarr.zip" for s in STAGES if spec.get(s, s != "dynamics")}
    return RunFiles(
        **{"train": None, "hessian": None} | paths, **{key: spec[key] for key in ("run", "seed", "dataset", "swept")}
    )


def _stages(files: RunFiles) -> dict[str, Path]:
    """The requested stores by stage, in the order of the workflow."""
    found = {stage: getattr(files, stage) for stage in STAGES}
    return {stage: path for stage, path in found.items() if path is not None}


def _reason(stage: str, files: RunFiles, logs: Path) -> str:
    """The last line of the log of the job that makes a store; empty if the job never began."""
    log = logs / stage / f"{files.run}.seed{files.seed}.log"
    if not log.exists():
        return ""
    lines = log.read_bytes()[-TAIL:].decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
