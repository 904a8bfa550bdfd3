"""Potentials of several environments in one run of the workflow: one report, with short molecular dynamics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml
from ase.io import read, write

from twirlscope.storage import store
from twirlscope.twirling.potentials.conclusions import rms

ROOT = Path(__file__).parents[3]
FRAMES = 6
TWIRL = {"split": "all", "rotations": 2, "reflections": 2, "panel": 0}
SLOW = ("sevennet",)  # without molecular dynamics, for which a call takes too long
DYNAMICS = {"enabled": True, "split": "all", "frames": 3, "steps": 20, "every": 2}
ENDS = ("", "_low", "_high")


def config(runs: dict[str, dict], frames: Path) -> dict:
    """A config of external runs.

    Args:
        runs: `external` of every run.
    """
    dataset = {"name": "extxyz", "files": [str(frames)], "require_labels": False, "split_by": "frame"}
    external = {name: {"dataset": "frames", "external": {"trust": True, **of}} for name, of in runs.items()}
    for name in set(SLOW) & set(runs):
        external[name]["dynamics"] = {"enabled": False}
    return {"datasets": {"frames": dataset}, "runs": external, "twirl": TWIRL, "dynamics": DYNAMICS}


def run(runs: dict[str, dict], source: Path, folder: Path) -> Path:
    """Results of the workflow on the first frames of a file; what is there is not made again.

    Raises:
        RuntimeError: Snakemake fails; its output.
    """
    frames, chosen = folder / "frames.xyz", folder / "config" / "config.yaml"
    chosen.parent.mkdir(parents=True, exist_ok=True)
    if not frames.exists():
        write(frames, read(source, f":{FRAMES}"), format="extxyz")
    chosen.write_text(yaml.safe_dump(config(runs, frames)), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    command += ["--directory", folder]  # its config takes the place of the default one
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    return folder / "results"


def section(results: Path, words: dict[str, str]) -> str:
    """The tables of the page: versions in the process of every worker, and drifts of the trajectories."""
    workers, drifts = [], []
    for name, label in words.items():
        folder = results / "runs" / name / "seed0"
        twirled = store.load(folder / "twirl.zarr.zip")
        versions = json.loads(twirled.attrs["versions"])
        error = f"{float(rms(twirled.isel(step=-1), 'loss_equiv', 'forces')):.2g}"
        workers.append([label, *(versions.get(package, "not imported") for package in ("e3nn", "torch")), error])
        if name in SLOW:
            continue
        moved = store.load(folder / "dynamics.zarr.zip")
        for orientation in moved["orientation"].values:
            one = moved.sel(orientation=orientation)
            means = [_interval(one, f"mean_{drift}") for drift in ("energy_drift", "force_drift", "torque_drift")]
            drifts.append([label, str(orientation), *means])
    head = ["potential", "orientation", "energy drift [meV/atom/ps]", "momentum drift [meV/Å]", "angular [meV]"]
    frames, femtoseconds = DYNAMICS["frames"], DYNAMICS["steps"] * 0.5
    slow = [label for name, label in words.items() if name in SLOW]
    left_out = f"\nWithout {', '.join(slow)}, whose calls take too long." if slow else ""
    return f"""## Several environments in one report

The potentials above that need no cell, as runs of one workflow on the first {FRAMES} frames: the process of every
potential has the packages of its own environment.

{_table(["potential", "e3nn", "torch", "force error under rotations [meV/Å]"], workers)}
## Molecular dynamics at constant energy

The stage `dynamics` of the same workflow: {frames} frames of {femtoseconds:g} fs each, with a fixed orientation and
with a random rotation before every call. Means over frames with 95 % intervals, which are approximate for so few.
Momentum drift is the mean net force per atom, angular momentum drift the mean net torque per atom.{left_out}

{_table(head, drifts)}"""


def _interval(data, name: str) -> str:
    """A mean with its interval, in thousandths."""
    value, low, high = (1e3 * float(data[f"{name}{end}"]) for end in ENDS)
    return f"{value:.2g} ({low:.2g} to {high:.2g})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
