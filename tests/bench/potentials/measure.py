"""Published potentials on test frames of acetylacetone: their equivariance errors, by the command of the package.

    make potentials ENVIRONMENTS=~/environments            (envs/external/ says what each environment holds)
    python tests/bench/potentials/measure.py --environments ~/environments --only sevennet chgnet

An environment that is not there is left out, and the page says so. Answers are kept in the work folder, so that a
measurement that was stopped goes on. MACE and PET are trained first, on the 500 frames of the training set.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "workflow"))

import page
import symmetrized
import workflow_run
from ase.io import read, write

HERE = Path(__file__).parent
PACKAGE = HERE.parents[2] / "workflow"
DESIGN = {"samples": 24, "rotations": 4, "reflections": 2, "panel": 6}
BOX = 20.0  # [Å] cell of molecules for a model that needs one; its cutoff is below 10 Å


@dataclass(frozen=True)
class Entry:
    """A potential of the page.

    environment: folder of the environment; empty for that of the package itself.
    labels: whether the model was trained on data of the frames' own level of theory.
    trained: script that makes its checkpoints, and their pattern.
    """

    name: str
    words: str
    environment: str
    calculator: str
    arguments: dict = field(default_factory=dict)
    batched: str = ""
    box: bool = False
    labels: bool = False
    trained: tuple[str, str] | None = None


ENTRIES = [
    Entry("tblite", "GFN2-xTB (tblite)", "", "tblite.ase:TBLite", {"method": "GFN2-xTB", "verbosity": 0}),
    Entry(
        "sevennet", "SevenNet-0", "sevenn", "sevenn.calculator:SevenNetCalculator", {"model": "7net-0", "device": "cpu"}
    ),
    Entry(
        "chgnet",
        "CHGNet",
        "chgnet",
        "chgnet.model.dynamics:CHGNetCalculator",
        {"use_device": "cpu"},
        batched="chgnet",
        box=True,
    ),
    Entry(
        "mace",
        "MACE, trained for two minutes",
        "mace",
        "mace.calculators:MACECalculator",
        {"model_paths": "{checkpoint}", "device": "cpu", "default_dtype": "float32"},
        batched="mace",
        labels=True,
        trained=("train_mace.py", "step_*.model"),
    ),
    Entry(
        "pet",
        "PET, trained for 8 epochs",
        "metatrain",
        "metatomic_ase:MetatomicCalculator",
        {"model": "{checkpoint}", "device": "cpu"},
        batched="metatomic",
        labels=True,
        trained=("train_pet.py", "epoch_*.pt"),
    ),
]


def frames_of(data: Path, work: Path, box: bool) -> Path:
    """File of the test frames, in a periodic box if the model needs a cell."""
    path = work / ("boxed.xyz" if box else "frames.xyz")
    if not path.exists():
        with gzip.open(data / "test_MD_300K.xyz.gz", "rt") as file:
            frames = read(file, ":", format="extxyz")
        for frame in frames:
            frame.set_cell([BOX] * 3 if box else None)
            frame.pbc = box
        write(path, frames, format="extxyz")
    return path


def checkpoints(entry: Entry, python: Path, data: Path, work: Path) -> dict[int, str]:
    """Checkpoint by step; trained now if there are none."""
    if entry.trained is None:
        return {0: ""}
    script, pattern = entry.trained
    folder = work / entry.name
    if not list(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        with gzip.open(data / "train_300K.xyz.gz", "rb") as file:
            (folder / "train.xyz").write_bytes(file.read())
        subprocess.run([python, HERE / script, folder / "train.xyz", folder], check=True)
    before, after = pattern.split("*")
    steps = {int(p.name[len(before) : -len(after)]): str(p) for p in folder.glob(pattern)}
    return dict(sorted(steps.items()))


def measure(entry: Entry, python: Path, checkpoint: str, frames: Path, out: Path) -> None:
    """One run of the command, if its store is not there yet; its time is kept beside it."""
    if out.exists():
        return
    command = [sys.executable, "-m", "twirlscope", "twirl", "--trust", "--calculator", entry.calculator]
    command += ["--arguments", json.dumps(entry.arguments), "--python", python, "--structures", frames, "--out", out]
    command += ["--batched", entry.batched, "--checkpoint", checkpoint]
    command += ["--labels", "optional" if entry.labels else "none"]
    for name, value in DESIGN.items():
        command += [f"--{name}", str(value)]
    start = time.time()
    print(*command, flush=True)
    subprocess.run(list(map(str, command)), check=True, env=os.environ | {"PYTHONPATH": str(PACKAGE)})
    if not (told := out.with_suffix(".seconds")).exists():  # a second run finds the answers of the first
        told.write_text(str(time.time() - start))


def external(entry: Entry, python: Path, data: Path, work: Path) -> dict:
    """The last checkpoint of a potential, as a run of the workflow names it."""
    step, checkpoint = list(checkpoints(entry, python, data, work).items())[-1]
    series = {"checkpoints": {step: str(Path(checkpoint).resolve())}} if checkpoint else {}
    named = {"calculator": entry.calculator, "arguments": entry.arguments, "python": str(python.absolute())}
    return named | series | ({"batched": entry.batched} if entry.batched else {})


def python_of(entry: Entry, environments: Path) -> Path:
    """The Python that has the package."""
    return environments / entry.environment / "bin/python" if entry.environment else Path(sys.executable)


def of_workflow(pythons: dict[str, Path], a: argparse.Namespace) -> str:
    """Section of the potentials that need no cell, as runs of one workflow."""
    chosen = {e.name: e for e in ENTRIES if e.name in pythons and not e.box}
    runs = {name: external(entry, pythons[name], a.data, a.work) for name, entry in chosen.items()}
    results = workflow_run.run(runs, frames_of(a.data, a.work, False), a.work.resolve() / "workflow")
    return workflow_run.section(results, {name: entry.words for name, entry in chosen.items()})


def of_metatomic(pythons: dict[str, Path], a: argparse.Namespace) -> str:
    """Section that compares PET with metatomic's own average; empty without its environment."""
    if "pet" not in pythons:
        return ""
    entry = next(e for e in ENTRIES if e.name == "pet")
    model = Path(list(checkpoints(entry, pythons["pet"], a.data, a.work).values())[-1])
    kept = a.work / "symmetrized.json"
    if not kept.exists():
        frames = symmetrized.molecules(frames_of(a.data, a.work, False), a.work / "symmetrized.xyz")
        kept.write_text(json.dumps(symmetrized.compared(pythons["pet"], model, frames)))
    return symmetrized.section([symmetrized.Quantity(*q) for q in json.loads(kept.read_text())], entry.words)


def main(a: argparse.Namespace) -> None:
    a.work.mkdir(parents=True, exist_ok=True)
    found, absent, pythons = {}, [], {}
    for entry in ENTRIES:
        python = python_of(entry, a.environments)
        if a.only and entry.name not in a.only:
            stores = sorted(a.work.glob(f"{entry.name}.*.zarr.zip"))
        elif not python.exists():
            absent.append(entry.environment)
            continue
        else:
            stores = []
            for step, checkpoint in checkpoints(entry, python, a.data, a.work).items():
                out = a.work / f"{entry.name}.{step}.zarr.zip"
                measure(entry, python, checkpoint, frames_of(a.data, a.work, entry.box), out)
                stores.append(out)
        if stores:
            found[entry.words] = {int(p.name.split(".")[1]): p for p in stores}
            pythons |= {entry.name: python} if python.exists() else {}
    sections = [of_metatomic(pythons, a), of_workflow(pythons, a)]
    page.write(found, absent, DESIGN, [text for text in sections if text], a.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--environments", type=Path, required=True, help="folder with one environment per package")
    parser.add_argument("--data", type=Path, required=True, help="folder of the acetylacetone files")
    parser.add_argument("--work", type=Path, default=Path("results/potentials"), help="folder of models and stores")
    parser.add_argument("--out", type=Path, default=Path("docs/potentials.md"), help="page to write")
    parser.add_argument("--only", nargs="*", help="potentials to measure; the page shows what others left")
    main(parser.parse_args())
