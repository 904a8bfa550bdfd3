"""One of several processes that train on the same device; started by `trainings.two_processes`."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
from bench_train import CASES, samples, task_of
from torch import distributed

from twirlscope.runtime.precision import float32
from twirlscope.settings.train import TrainSettings
from twirlscope.training import loop
from twirlscope.training.processes import ProcessGroup, job_of_this_process

UPDATES = 20


@float32()
def losses(job: dict) -> list[float]:
    """Losses of the updates of a small EScAIP; every process draws the same batches and takes its part."""
    case = CASES["tiny_molecules"]
    data = samples(case, 32)
    settings = TrainSettings(steps=UPDATES, batch=4 if job["tiny"] else 16, warmup=5)
    device = "cuda:0" if job["device"] == "cuda" else job["device"]
    with patch.object(loop, "device_of", lambda *_, **__: device):  # else the rank is the number of the GPU
        made = loop.Loop(task_of(case, data), {"seed": 0, "model": case.model}, settings, np.arange(32), _group(job))
    for _ in range(UPDATES):
        made.update()
    return made.curve.loss


def _group(job: dict) -> ProcessGroup:
    where = f"file://{job['meeting']}"
    distributed.init_process_group(job["backend"], where, rank=job["rank"], world_size=job["size"])
    return ProcessGroup(job["rank"], job["size"])


def main() -> int:
    """Write the losses, or the first line of an error beside them."""
    job = job_of_this_process()
    out = Path(job["out"])
    try:
        found = losses(job)
    except Exception as error:
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        out.with_name(f"{out.name}.error{job['rank']}").write_text(f"{type(error).__name__}: {line}")
        return 1
    if job["rank"] == 0:
        out.write_text(json.dumps(found))
    distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
