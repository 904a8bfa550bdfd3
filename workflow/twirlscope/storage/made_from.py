"""The record that every store has of what it was made from: settings, code, and the content of stores that were read.

It is a flat mapping from key path to value, as JSON in the attribute `made_from`. The workflow compares it with the
config, the code and the data at hand, whatever Snakemake remembers; jobs compare the records of stores that they open
together. Keys that only say how a machine does the work are left out.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from .. import plugins
from .._typing import Iterable, Mapping, Sequence
from ..errors import UserError
from ..runtime.identity import identity_of, short_hash
from ..settings.base import Settings, keys_apart
from ..settings.external import ExternalSettings
from ..settings.train import TrainSettings
from .store import DAMAGE_ERRORS, damaged

ATTRIBUTE = "made_from"

Record = dict[str, str]


def of_data(job: Mapping[str, Any]) -> Record:
    """The record of a prepared dataset: settings, fingerprints of the files, code."""
    cls = plugins.find("dataset", job["dataset"]["name"]).Settings
    return identity_of(job, without=_paths("dataset", cls, "prepare"))


def of_training(run: Mapping[str, Any], code: str, data: Path) -> Record:
    """The record of a training.

    Args:
        run: `task`, `model`, `train`, `seed`, `dataset`, as the config says it.
        code: hash of the code that shapes it.
        data: the prepared dataset.
    """
    return of_run(run) | identity_of({"code": code, "data": content_hash(data)})


def of_run(run: Mapping[str, Any]) -> Record:
    """The part of the record of a training that the config decides."""
    apart = _paths("run.train", TrainSettings, "train")
    for kind in ("task", "model"):
        apart += _paths(f"run.{kind}", plugins.find(kind, run[kind]["name"]).Settings, "train")
    objective = plugins.find("objective", run["train"]["objective"]["name"]).Settings
    apart += _paths("run.train.objective", objective, "train")
    return identity_of({"run": dict(run)}, without=apart)


def of_measurement(
    stage: str, settings: Settings, task: Mapping[str, Any], code: str, train: Path, data: Path
) -> Record:
    """The record of a measurement of the checkpoints of a training.

    Args:
        stage: `twirl`, `gradient`, `hessian` or `layers`.
        task: keys of the task that shape the measurement and not the training.
        train, data: stores of the training and of its data.
    """
    read = {"checkpoints": attributes(train).get("checkpoints", ""), "data": content_hash(data)}
    return of_settings(stage, settings, task) | identity_of({"code": code} | read)


def of_settings(stage: str, settings: Settings, task: Mapping[str, Any]) -> Record:
    """The part of the record of a measurement that the config decides."""
    return identity_of(
        {"settings": settings.model_dump(), "task": dict(task)}, without=_paths("settings", type(settings), stage)
    )


def of_external(
    job: Mapping[str, Any], stage: str, settings: Settings, external: ExternalSettings, data: Path
) -> Record:
    """The record of a measurement of a model that was not trained here.

    Args:
        job: `files`, the fingerprints of the files that the run names, and `code`.
        stage: `twirl` or `dynamics`.
    """
    rest = {"files": dict(job["files"]), "code": job["code"], "data": content_hash(data)}
    return of_external_settings(stage, settings, external) | identity_of(rest)


def of_external_settings(stage: str, settings: Settings, external: ExternalSettings) -> Record:
    """The part of that record that the config decides."""
    apart = _paths("settings", type(settings), stage) + _paths("external", ExternalSettings, stage)
    parts = {"settings": settings.model_dump(), "external": external.model_dump()}
    return identity_of(parts, without=apart)


def of_report(job: Mapping[str, Any], stores: Iterable[Path], results: Path) -> Record:
    """The record of a report: its parameters, and the content of every store that it can read."""
    found = {str(p.relative_to(results)): content_hash(p) for p in stores if p.exists()}
    return identity_of(dict(job)) | {f"content of {name}": content for name, content in found.items()}


def settings_hash(record: Record) -> str:
    """Hash of the settings in the record of a training or of a measurement, without code and data."""
    return short_hash({k: v for k, v in record.items() if k.split(".")[0] in ("run", "settings", "task", "external")})


def hash_of_checkpoints(run: Record, checkpoints: Iterable[str]) -> str:
    """Hash of what later stages read of a training: its settings and the hashes of its checkpoints and updates."""
    return short_hash({"settings": settings_hash(run), "files": list(checkpoints)})


def attribute(record: Record) -> dict[str, str]:
    """The attribute that holds a record."""
    return {ATTRIBUTE: json.dumps(record, sort_keys=True)}


def recorded(path: str | Path) -> Record | None:
    """The record of a store; None for a store without one.

    Raises:
        UserError: no such file, or a damaged store.
    """
    found = attributes(path).get(ATTRIBUTE)
    return None if found is None else json.loads(found)


def attributes(path: str | Path) -> dict[str, Any]:
    """The attributes of a store, from a single short read.

    Raises:
        UserError: no such file, or a damaged store.
    """
    return _opened(Path(path))[0]


def content_hash(path: str | Path) -> str:
    """Hash of the content of a store, from the checksums of its pieces that the zip file lists; its record is left out.

    Raises:
        UserError: no such file, or a damaged store.
    """
    return _opened(Path(path))[1]


def require_same(paths: Sequence[Path], what: str) -> None:
    """Refuse stores that belong together and were made from different things.

    Raises:
        UserError: the first two that differ, and in which keys.
    """
    first, *others = paths
    for other in others:
        old, new = recorded(first) or {}, recorded(other) or {}
        differing = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        if differing:
            got = f"{first} and {other}, which differ in {', '.join(differing)}; delete them and run again"
            raise UserError(other.parent, f"{what} made from the same settings, code and data", got)


def _paths(section: str, cls: type[Settings], stage: str) -> list[str]:
    """Key paths of a section that the results of a stage do not depend on."""
    return [f"{section}.{name}" for name in keys_apart(cls, stage)]


def _opened(path: Path) -> tuple[dict[str, Any], str]:
    """Attributes and content hash of a store, read once per version of the file."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UserError(path, "a store", "no such file") from error
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1 << 14)
def _read(path: Path, _time: int, _size: int) -> tuple[dict[str, Any], str]:
    """Attributes and content hash of a store."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = json.loads(archive.read("zarr.json"))
            pieces = sorted((i.filename, i.file_size, i.CRC) for i in archive.infolist() if i.filename != "zarr.json")
    except (*DAMAGE_ERRORS, OSError) as error:
        raise damaged(path, error) from error
    found = root.get("attributes", {})
    kept = {k: v for k, v in found.items() if k != ATTRIBUTE}
    return found, hashlib.sha256(json.dumps([pieces, kept], sort_keys=True).encode()).hexdigest()[:16]
