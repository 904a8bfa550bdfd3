"""Runs that are not trained here: their mistakes, and the parameters of their job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError
from ..external import specification
from ..runtime.identity import fingerprint
from ..settings.base import parse
from ..settings.experiment import RunSettings
from ..settings.external import ExternalSettings

TRAINED = ("task", "model", "train", "gradient", "layers", "hessian")  # keys of runs that are trained


def is_external(run: dict[str, Any] | RunSettings) -> bool:
    """True for a run with a calculator of another package."""
    return bool(run.external) if isinstance(run, RunSettings) else "external" in run


def errors(where: str, run: dict[str, Any]) -> list[UserError]:
    """Mistakes of an external run, found without importing its code."""
    expected = "no such key beside `external`: a model that is not trained here has no"
    reasons = {"gradient": "gradients by parameter", "hessian": "Hessian by parameter"}
    found = [
        UserError(f"{where}.{key}", f"{expected} {reasons.get(key, key)}", run[key])
        for key in TRAINED
        if run.get(key) not in (None, {})
    ]
    if len(run.get("seeds", [0])) != 1:
        found.append(UserError(f"{where}.seeds", "one seed, as nothing is trained", run["seeds"]))
    settings, wrong = parse(ExternalSettings, run["external"], f"{where}.external")
    return found + wrong + (specification.check(settings, f"{where}.external") if settings else [])


def settings_of(run: RunSettings) -> ExternalSettings:
    """Checked settings of the calculator of a run."""
    return ExternalSettings(**run.external)


def processes(run: RunSettings) -> int:
    """Threads of all workers of a calculator together."""
    settings = settings_of(run)
    return settings.workers * settings.threads


def files(run: RunSettings, where: str) -> dict[str, str]:
    """Fingerprints of the files that a run names: checkpoints, factory, batch function; a change measures again."""
    settings, found = settings_of(run), {}
    for step, checkpoint in specification.series(settings, where).items():
        spec = specification.spec_of(settings, step, checkpoint, where)
        found |= {name: _print(Path(name)) for name in specification.named_files(spec)}
    return found


def _print(path: Path) -> str:
    if path.is_dir():
        return str(sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in path.rglob("*") if p.is_file()))
    return fingerprint(path)


def only_external(where: str, run: dict[str, Any]) -> list[UserError]:
    """Mistakes of a run that is trained here and names what only external runs have."""
    if not run.get("dynamics"):
        return []
    return [UserError(f"{where}.dynamics", "no such key: only a run with `external` has dynamics", run["dynamics"])]
