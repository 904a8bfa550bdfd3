"""Command `twirl`: equivariance error of a calculator on structures, with floors, and a gate on it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr

from ..datasets.molecular.xyz_files import read_frames
from ..datasets.molecular.xyz_records import Record
from ..errors import UserError, UserErrors, needs
from ..estimators.bootstrap import LEAST_CLUSTERS
from ..external import specification
from ..external.client import Pool
from ..report.inventory import RunFiles
from ..runtime.devices import versions
from ..settings.base import parse
from ..settings.external import ExternalSettings
from ..settings.report import ReportSettings
from ..settings.twirl import TwirlSettings
from ..stages import report as page
from ..storage import store
from ..storage.arrays.twirl import TWIRL
from ..twirling.potentials.calculator import measure_structures
from ..twirling.potentials.conclusions import rms
from ..twirling.potentials.measurement import Options
from ..twirling.potentials.structures import fault, structures_dataset
from .gate import ERROR, Decision, decide, overall
from .twirl_arguments import BOUNDS

with needs("chemistry"):
    from ase import Atoms

SAME = ("python", "batched", "batch", "trust", "reset", "workers", "timeout")  # arguments that are settings
SHOWN = 5  # failed structures that are printed
UNITS = {"forces": "meV/Å", "energy": "meV/atom", "stress": "meV/Å³"}


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write the store; the exit status. A mistake of the user is one line."""
    try:
        return _run(arguments)
    except (UserError, UserErrors) as error:
        print(f"ERROR twirl: {error}", file=sys.stderr)
        return ERROR


def _run(a: argparse.Namespace) -> int:
    external, settings = _settings(a)
    frames, labels, rejects = read_structures([Path(f) for f in a.structures], a)
    if a.samples and a.samples < len(frames):
        chosen = np.sort(np.random.default_rng(a.seed).choice(len(frames), a.samples, replace=False))
        frames = [frames[i] for i in chosen]
        labels = labels and {k: [v[i] for i in chosen] for k, v in labels.items()}
    pool = Pool(specification.spec_of(external, 0, a.checkpoint, "--"), external.workers, external.batch, "--")
    out = Path(a.out) if a.out else None
    if a.report and not out:
        raise UserError("--report", "--out too, the store whose numbers the report shows", "none")
    if out and not out.name.endswith(".zarr.zip"):
        raise UserError("--out", "a name that ends in .zarr.zip", repr(a.out))
    kept = a.cache or (out and out.with_name(f"{out.name.removesuffix('.zarr.zip')}.calls.sqlite"))
    data = measure_structures(
        pool,
        structures_dataset(frames, labels),
        clusters(frames),
        settings,
        Options(a.subtract_noise, where="--", jacobian=a.jacobian),
        a.stress,
        a.max_calls,
        kept or None,
    )
    if out:
        store.save(data, out, TWIRL)
    if a.report:
        _write_page(a, Path(a.out))
    return report(data.isel(step=0), len(frames), rejects, a)


def _write_page(a: argparse.Namespace, out: Path) -> None:
    """The report of a store, with the arguments of the command as its config."""
    name = a.calculator.rpartition(":")[2]
    files = RunFiles(name, 0, None, out, None, "")
    title = f"Equivariance of {name}"
    page.report([files], {}, vars(a), Path(a.report), ReportSettings(title=title, term="forces"), versions())


def _settings(a: argparse.Namespace) -> tuple[ExternalSettings, TwirlSettings]:
    """Checked settings of the calculator and of the measurement. Raises UserError before anything is imported."""
    try:
        arguments = json.loads(a.arguments)
    except json.JSONDecodeError as error:
        raise UserError("--arguments", "an object in JSON", f"{a.arguments!r} ({error})") from error
    given = {
        "calculator": a.calculator,
        "arguments": arguments,
        "checkpoints": {0: a.checkpoint} if a.checkpoint else "",
    }
    same = (
        "python",
        "batched",
        "batch",
        "trust",
        "reset",
        "workers",
        "timeout",
        "stress",
        "subtract_noise",
        "max_calls",
        "jacobian",
    )
    external, errors = parse(ExternalSettings, given | {n: getattr(a, n) for n in same}, "--")
    errors = errors or specification.check(external, "--")
    named = ("rotations", "reflections", "panel", "seed")
    settings, others = parse(TwirlSettings, {n: getattr(a, n) for n in named} | {"split": "all", "losses": []}, "--")
    if errors or others:
        raise UserErrors([UserError(e.where.replace("--.", "--"), e.expected, e.got, e.known) for e in errors + others])
    return external, settings


def read_structures(files: list[Path], a: argparse.Namespace) -> tuple[list[Atoms], dict[str, list] | None, list[str]]:
    """Structures, their labels where all have them, and why the others cannot be used.

    Raises:
        UserError: a file cannot be read, no structure can be used, or a label is not finite.
    """
    records, rejects = [], []
    for path in files:
        for index, record in read_frames(path):
            reason = record if isinstance(record, str) else fault(_atoms(record))
            if reason:
                rejects.append(f"{path}, frame {index}: {reason}")
            else:
                records.append(record)
    if not records:
        raise UserError("--structures", "a structure that can be used", "; ".join(rejects[:SHOWN]) or "none")
    keys = {"energy": a.energy_key, "forces": a.forces_key, "stress": "stress"}
    found = [{n: r.values.get(k, r.arrays.get(k)) for n, k in keys.items()} for r in records]
    names = [n for n in keys if a.labels != "none" and all(f[n] is not None for f in found)]
    if "stress" in names and not (a.stress and all(np.size(f["stress"]) == 9 for f in found)):
        names.remove("stress")
    labels = {n: [np.reshape(f[n], (3, 3)) if n == "stress" else f[n] for f in found] for n in names}
    return [_atoms(r) for r in records], labels or None, rejects


def _atoms(record: Record) -> Atoms:
    """The structure of a record, with charge and spin if it has them."""
    state = {
        k: int(record.values[k])
        for k in ("charge", "spin")
        if np.size(record.values.get(k)) == 1 and k in record.values
    }
    return Atoms(record.numbers, record.positions, cell=record.cell, pbc=record.periodic, info=state)


def clusters(frames: list[Atoms]) -> np.ndarray:
    """Cluster of each structure: its formula if there are several, else the structure itself."""
    names = [f.get_chemical_formula() for f in frames]
    number = np.unique(names, return_inverse=True)[1]
    return number if number.max() + 1 >= LEAST_CLUSTERS else np.arange(len(frames))


def report(data: xr.Dataset, count: int, rejects: list[str], a: argparse.Namespace) -> int:
    """Print errors, floors and decisions; the exit status."""
    failed = list(zip(data["failed_sample"].values, data["failed_reason"].values, strict=True))
    lines = [f"structure {i}: {reason}" for i, reason in failed] + rejects
    print(f"{data.sizes['sample']} structures in {data.attrs['clusters']} clusters; {len(lines)} left out")
    for line in lines[:SHOWN]:
        print(f"  left out, {line}")
    for term in [str(t) for t in data["term"].values if t != "weighted"]:
        for name, group in (("loss_equiv", "rotations"), ("o3_loss_equiv", "rotations and reflections")):
            if name in data:
                print(sentence(data, term, name, group))
    decisions = []
    for option, (term, name, unit) in BOUNDS.items():
        if (bound := getattr(a, option)) is not None:
            decisions.append(_decision(data, option, term, name, bound))
            print(f"--{option.replace('_', '-')}: {decisions[-1].reason} {unit}")
    return overall(decisions, len(lines) / max(count + len(rejects), 1), a.max_failed)


def sentence(data: xr.Dataset, term: str, name: str, group: str) -> str:
    """One error with its interval, its floors, and its percentage if it is above them."""
    value, low, high = (float(rms(data, f"{name}{end}", term)) for end in ("", "_low", "_high"))
    floors = {n: float(rms(data, f"floor_{n}", term)) for n in ("noise", "rounding", "spacing")}
    text = f"{term} under {group}: {value:.3g} {UNITS[term]} (95 %: {low:.3g} to {high:.3g}); floors: "
    text += ", ".join(f"{n} {v:.2g}" for n, v in floors.items())
    at_floor = bool(data["o3_at_floor" if name.startswith("o3") else "at_floor"].sel(term=term))
    if data.attrs["noise_subtracted"]:
        text += "; noise subtracted"
    if at_floor:
        return f"{text}; at its floor"
    percent, of = (
        ("percent_equiv", "loss")
        if term in data.attrs["labelled"].split()
        else ("percent_of_signal", "predicted signal")
    )
    percent = percent if name == "loss_equiv" else f"o3_{percent}"
    share = float(data[percent].sel(term=term)) if percent in data else np.nan
    return text if np.isnan(share) else f"{text}; {share:.3g} % of the {of}"


def _decision(data: xr.Dataset, option: str, term: str, name: str, bound: float) -> Decision:
    """Decision on one bound. Raises UserError for an error that was not measured."""
    if name not in data or term not in data["term"].values:
        needed = "--reflections of 2 or more" if name.startswith("o3") else "--stress"
        raise UserError(f"--{option.replace('_', '-')}", f"a measured error ({needed})", "none")
    value, low, high = (float(rms(data, f"{name}{end}", term)) for end in ("", "_low", "_high"))
    return decide(value, low, high, float(rms(data, "loss_equiv_floor", term)), bound)
