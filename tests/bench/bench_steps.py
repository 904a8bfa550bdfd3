"""Cost of an update of a training beside those of MACE and NequIP, each in its own environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write
from bench_twirl import conformers
from performance import Given, Section, alone
from timing import median, ratio, table

WORKERS = Path(__file__).parent / "step_workers"
OURS = ("tensor_product", "vector_attention", "escaip")
OTHERS = {"MACE, 16x0e + 16x1o, 2 interactions": "mace", "NequIP, 16 features, l up to 2, 2 layers": "nequip"}
BATCH, ROUNDS, UPDATES = 16, 7, 2


class Steps:
    """A process that makes updates; `missing` says why there is none.

    parameters: of its model.
    """

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.missing, self.parameters = "", 0
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        answer = self._answer()
        if answer.startswith("ready "):
            self.parameters = int(answer.split()[1])
        else:
            said = self._process.communicate()[1].strip().splitlines()
            self.missing = said[-1] if said else f"status {self._process.returncode}"

    def seconds(self, updates: int) -> float:
        """CPU seconds of one of so many updates."""
        self._process.stdin.write(f"{updates}\n")
        self._process.stdin.flush()
        return float(self._answer()) / updates

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        """The next line that is an answer; a library may print others."""
        for line in self._process.stdout:
            if line.startswith("ready ") or line.strip().replace(".", "").replace("e-", "").isdigit():
                return line
        return ""


def begun(frames: Path, environments: Path) -> dict[str, Steps]:
    """Processes by name; those of other packages by the Python of `environments/{package}`."""
    paths = [*sys.path, os.environ.get("PYTHONPATH", "")]
    own = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    script = str(WORKERS / "twirlscope_step.py")
    found = {f"{name}, its defaults": Steps([sys.executable, script, str(frames), name], own) for name in OURS}
    for name, package in OTHERS.items():
        python = environments / package / "bin" / "python"
        if python.exists():
            found[name] = Steps([str(python), str(WORKERS / f"{package}_step.py"), str(frames)], bare)
    return found


def section(given: Given) -> Section:
    """Section of the page."""
    molecules = conformers()[:BATCH]
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.xyz"
        write(frames, [Atoms(numbers, positions) for numbers, positions in molecules], format="extxyz")
        processes = begun(frames, given.environments)
        try:
            working = {name: steps for name, steps in processes.items() if not steps.missing}
            rounds = [[s.seconds(UPDATES) for s in working.values()] for _ in range(given.rounds(ROUNDS))]
        finally:
            for steps in processes.values():
                steps.end()
    seconds = dict(zip(working, np.array(rounds).T, strict=True))
    first = next(iter(seconds))
    rows = [
        [name, f"{processes[name].parameters:,}", f"{median(1e3 * taken):.0f}", f"{ratio(taken, seconds[first]):.2f}"]
        for name, taken in seconds.items()
    ]
    refused = [f"{name}: {steps.missing}" for name, steps in processes.items() if steps.missing]
    absent = {name: package for name, package in OTHERS.items() if name not in processes}
    refused += [f"{name}: no `{package}` in the folder of environments" for name, package in absent.items()]
    missing = f"\nNot measured. {'. '.join(refused)}.\n" if refused else ""
    text = f"""One update on {BATCH} molecules of 10 to 30 atoms. Ours are whole updates of the training loop: rotated
batch, forward, loss, backward, clipping, optimiser, records. Those of MACE and NequIP use their models in small
reference sizes with conservative forces on a batch made before: forward, forces, backward, clipping, Adam. The sizes
differ, so this is no comparison of architectures.

{table(("model", "parameters", "CPU ms per update", "CPU seconds / tensor_product"), rows)}{missing}"""
    return Section("An update of a training", text)


if __name__ == "__main__":
    sys.exit(alone(section, __file__))
