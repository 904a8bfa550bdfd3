"""A whole project, its environment, its results and its data in folders with odd names."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import good_files
import numpy as np
import yaml
from copies import ROOT, copy_code

from .fault import Fault, Outcome
from .paths import BRACES, ODD, odd_name

QUOTE = "'\\''"
RUNS = dict.fromkeys(("equivariant", "backbones", "voxels")) | {"augmented": {"dataset": "mine"}}


def environment(folder: Path) -> Path:
    """A Python environment in a folder, which sees the packages of the present one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "outer.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def frames(count: int) -> str:
    """An extended XYZ file of so many different molecules."""
    return "".join(
        good_files.frame(rows=[f"O 0 0 {0.01 * n:.2f} 0.1 0 0", *good_files.ROWS[1:]], name=f"name=m{n}")
        for n in range(count)
    )


def whole(seed: int, folder: Path) -> Outcome:
    """`make run` in a project, with an environment, results, config and data whose folders have odd names."""
    random = np.random.default_rng(seed)
    project, work = folder / f"a é{odd_name(random, ODD)}", folder / f"w ü{odd_name(random, ODD + BRACES)}"
    copy_code(ROOT, project)
    work.mkdir()
    ready = environment(project / ".venv") / "ready"
    ready.touch()  # nothing is to be installed
    data = f"{odd_name(random, ODD)}.xyz"
    (work / data).write_text(frames(30))
    overlay = work / f"{odd_name(random, ODD)}.yaml"
    mine = {"name": "extxyz", "files": [data], "split_by": "frame"}
    overlay.write_text(yaml.safe_dump({"datasets": {"mine": mine}, "runs": RUNS}))
    quoted = [f"'{str(path).replace(chr(39), QUOTE)}'".replace("$", "$$") for path in (work, overlay)]
    words = f"results/data/mine.zarr.zip --directory {quoted[0]} --configfile config/smoke.yaml {quoted[1]}"
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS")}
    done = subprocess.run(
        ["make", "run", "CORES=1", f"ARGS={words}"],
        cwd=project,
        capture_output=True,
        text=True,
        env=clean | {"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    right = done.returncode == 0 and (work / "results/data/mine.zarr.zip").exists()
    return Outcome(right, "the store is there" if right else (done.stdout + done.stderr)[-300:])


FAULTS = [Fault("odd names of project, environment, results, config and data", "`make run` ends well", 3, 1, whole)]
