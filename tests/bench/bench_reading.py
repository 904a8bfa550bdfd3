"""What reading costs when a dataset of a million frames is trained on, and how much memory it takes: `make bench`.

The frames are random, as many atoms each as drug-like molecules have, in a store as `prepare` writes it. A process of
its own trains the default model on them. Times are of the processor: those on the clock are noise on a shared machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]

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
    times = [time.process_time()]
    for step in range(UPDATES):
        function(step)
        times.append(time.process_time())
    return np.diff(times).tolist()


def trained(path: Path) -> int:
    """Read, then train; 1 if reading took too much time or memory."""
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
    share = np.median(batches) / np.median(updates)
    print(f"{data.sizes['sample']} frames, {data.sizes['atom']} atoms, {path.stat().st_size / 1e6:.0f} MB in the store")
    print(f"  batch of {BATCH}: first {1e3 * batches[0]:.0f} ms, median {1e3 * np.median(batches):.2f} ms")
    print(f"  update: median {1e3 * np.median(updates):.1f} ms; share of reading {share:.4f}, limit {MOST_SHARE}")
    print(f"  peak memory: imports {imports:.0f} MB, with the data {reading:.0f} MB more, limit {MOST_MEMORY} MB")
    print(f"  peak memory with the model: {peak():.0f} MB", flush=True)
    return int(reading > MOST_MEMORY or share > MOST_SHARE)


def main() -> int:
    """1 if reading took too much time or memory."""
    if sys.argv[1:]:
        return trained(Path(sys.argv[1]))
    import toys

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.zarr.zip"
        registry.save(toys.many_frames(FRAMES, ATOMS), path)
        return subprocess.run([sys.executable, __file__, str(path)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
