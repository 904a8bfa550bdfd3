"""Cost of reading when a dataset of a million frames is trained on, and the memory that it takes.

The frames are random, as many atoms each as drug-like molecules have, in a store as `prepare` writes it. A process of
its own trains the default model on them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import toys
from performance import Given, Section, alone
from timing import cpu_seconds, median, table

from twirlscope.plugins import make_task
from twirlscope.settings.train import TrainSettings
from twirlscope.sources import split_index
from twirlscope.storage import registry
from twirlscope.storage.ragged import open_samples
from twirlscope.training.batches import batch_index
from twirlscope.training.loop import Loop

FRAMES, ATOMS, BATCH, UPDATES = 1_000_000, 40, 32, 60
MOST_MEMORY, MOST_SHARE = 100, 0.05  # MB, without the model's; of the time of an update


def peak() -> float:
    """The largest memory of this process so far [MB]."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def seconds(function: Callable[[int], object]) -> list[float]:
    """Processor time of the function for every update."""
    return [cpu_seconds(lambda step=step: function(step)) for step in range(UPDATES)]


def trained(path: Path) -> dict[str, object]:
    """Numbers of reading, then of training, in a process of its own."""
    torch.set_num_threads(1)
    settings = TrainSettings(steps=UPDATES, batch=BATCH, device="cpu")
    run = {"task": {"name": "force_field"}, "model": {"name": "vector_attention"}, "train": settings.model_dump()}
    imports = peak()
    data = open_samples(path)
    task, index = make_task(run["task"], data), split_index(data, "train")
    batches = seconds(lambda step: task.batch(batch_index(index, step, BATCH, 0)))
    reading = peak() - imports
    loop = Loop(task, run | {"seed": 0}, settings, index)
    updates = seconds(lambda _: loop.update())
    return {"imports": imports, "reading": reading, "model": peak(), "batches": batches, "updates": updates}


def section(given: Given) -> Section:
    """Section of the page; fails if reading takes too much time or memory."""
    frames = 2000 if given.quick else FRAMES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.zarr.zip"
        registry.save(toys.many_frames(frames, ATOMS), path)
        size = path.stat().st_size / 1e6
        told = subprocess.run([sys.executable, __file__, path], check=True, capture_output=True, text=True).stdout
    found = json.loads(told.splitlines()[-1])
    batches, updates = (np.array(found[name]) for name in ("batches", "updates"))
    share = float(np.median(batches) / np.median(updates))
    rows = [
        ["first batch [CPU ms]", f"{1e3 * batches[0]:.0f}", ""],
        ["a batch [CPU ms]", f"{median(1e3 * batches):.2f}", ""],
        ["an update of the default force field [CPU ms]", f"{median(1e3 * updates):.1f}", ""],
        ["a batch / an update", f"{share:.4f}", f"{MOST_SHARE}"],
        ["peak memory of reading [MB]", f"{found['reading']:.0f}", f"{MOST_MEMORY}"],
        ["peak memory of the process: imports, all [MB]", f"{found['imports']:.0f}, {found['model']:.0f}", ""],
    ]
    text = f"""{frames:,} frames of {ATOMS // 2} to {ATOMS} atoms, {size:.0f} MB on the disk, in batches of {BATCH}.

{table(("quantity", "value", "limit"), rows)}"""
    exceeded = [f"reading: {share:.3f} of an update"] if share > MOST_SHARE else []
    exceeded += [f"reading: {found['reading']:.0f} MB"] if found["reading"] > MOST_MEMORY else []
    return Section("Reading a dataset of a million frames", text, exceeded)


if __name__ == "__main__":
    if sys.argv[1:] and Path(sys.argv[1]).exists():
        print(json.dumps(trained(Path(sys.argv[1]))))
    else:
        sys.exit(alone(section, __file__))
