"""The stores of all trainings that a report can use, and the reasons for those that are missing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..storage import made_from

SHOWN = 12  # most runs with figures and sentences of their own: more lines cannot be read in one figure
STAGES = ("train", "twirl", "gradient", "hessian", "layers", "dynamics")  # in the order of the workflow
REQUIRED = ("train", "twirl")
TAIL = 4096  # bytes at the end of a log


@dataclass(frozen=True)
class RunFiles:
    """The stores of one run; all but `twirl` are None if they were not requested.

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
    layers: Path | None = None
    dynamics: Path | None = None
    swept: bool = False


@dataclass(frozen=True)
class Inventory:
    """The stores that a report can use.

    datasets: by name.
    missing: one sentence per training or store that is missing.
    record: of what the report is made from.
    """

    runs: Sequence[RunFiles]
    datasets: Mapping[str, Path]
    missing: Sequence[str]
    record: made_from.Record


def available(plan: Mapping[str, Any], results: Path, logs: Path) -> Inventory:
    """The stores in the results folder, of all that the plan of a report names.

    A training without its train or twirl store is left out. Stores that do not belong together count as missing, and
    for a partial report also stores with other settings than those of the plan.
    """
    runs, missing, waiting = [], [], []
    for spec in plan["runs"]:
        files = _files(spec, results)
        label = f"Run {files.run}, seed {files.seed}"
        absent = {s: _reason(s, files, logs) for s, path in _stages(files).items() if not path.exists()}
        absent |= _unusable(files, spec["settings"] if plan["partial"] else {}, results, absent)
        if first := next((s for s in REQUIRED if s in absent), None):
            if absent[first]:
                missing.append(f"{label} is not in this report: {absent[first]}.")
            else:
                waiting.append(f"{files.run} (seed {files.seed})")
        else:
            runs.append(replace(files, **dict.fromkeys(absent)))
            missing += [f"{label}: {stage} is missing ({why or 'not run yet'})." for stage, why in absent.items()]
    if waiting:
        missing.append(f"Not run yet, and not in this report: {', '.join(waiting)}.")
    datasets = {name: results / "data" / f"{name}.zarr.zip" for name in plan["datasets"]}
    record = made_from.of_report(plan, stores_of(plan, results), results)
    return Inventory(runs, {name: path for name, path in datasets.items() if path.exists()}, missing, record)


def _unusable(files: RunFiles, settings: Mapping[str, str], results: Path, absent: Collection[str]) -> dict[str, str]:
    """By stage, why an existing store of a training is not used.

    Args:
        settings: by stage, the hash of the settings that are wanted; stages that are not named may have any.
        absent: stages without a store.
    """
    found, data = {}, results / "data" / f"{files.dataset}.zarr.zip"
    read = {"data": made_from.content_hash(data)} if data.exists() else {}
    if files.train is not None and "train" not in absent:
        read["checkpoints"] = made_from.attributes(files.train).get("checkpoints")
    for stage, path in _stages(files).items():
        if stage in absent:
            continue
        record, made = made_from.recorded(path) or {}, "trained" if stage == "train" else "measured"
        if settings and made_from.settings_hash(record) != settings[stage]:
            found[stage] = f"what is there was {made} with other settings"
        elif other := [k for k, v in read.items() if k in record and json.loads(record[k]) != v]:
            found[stage] = f"what is there was {made} on other {' and '.join(other)}"
    return found


def shown_runs(files: Sequence[RunFiles]) -> set[str]:
    """The runs with figures and sentences of their own: all up to `SHOWN`, else the first ones that no sweep made."""
    runs = list(dict.fromkeys(f.run for f in files))
    if len(runs) > SHOWN:
        own = {f.run for f in files if not f.swept}
        runs = [run for run in runs if run in own or not own][:SHOWN]
    return set(runs)


def stores_of(plan: Mapping[str, Any], results: Path) -> list[Path]:
    """The stores that a report reads if they exist."""
    data = [results / "data" / f"{name}.zarr.zip" for name in plan["datasets"]]
    return data + [path for spec in plan["runs"] for path in _stages(_files(spec, results)).values()]


def _files(spec: Mapping[str, Any], results: Path) -> RunFiles:
    """The paths of the stores of one training."""
    folder = results / "runs" / spec["run"] / f"seed{spec['seed']}"
    paths = {s: folder / f"{s}.zarr.zip" for s in STAGES if spec.get(s, s in REQUIRED)}
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
    last = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    return f"{stage} did not finish ({last})"
