"""What twirling costs beside plain forward passes of the same batches: `make bench`.

Rounds of both alternate in one process, and the ratio of the fastest rounds is printed: times on a shared machine are
noise, ratios within one run are not.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "workflow")]

import toys
from twirlscope import plugins, so3, twirling

SAMPLES, ROTATIONS, CHUNK, ROUNDS, LIMIT = 256, 4, 256, 9, 1.10


def molecules(samples: int, atoms: int = 13):
    """Toy molecules of the size of the default ones."""
    data = toys.frames(1)
    random = np.random.default_rng(0)
    positions = random.normal(scale=1.3, size=(samples * atoms, 3)).astype(np.float32)
    one = {"numbers": ("atom", random.choice([1, 6], samples * atoms).astype(np.int16))}
    one |= {"positions": (("atom", "xyz"), positions), "forces": (("atom", "xyz"), -positions)}
    one |= {"energy": ("sample", np.zeros(samples)), "atoms": ("sample", np.full(samples, atoms, np.int32))}
    scales = ["reference_energy", "force_scale", "energy_scale"]
    return data[scales].assign(one)


def seconds(function) -> float:
    start = time.process_time()
    with torch.no_grad():
        function()
    return time.process_time() - start


def main() -> int:
    """1 if twirling costs more than the limit."""
    torch.set_num_threads(1)
    task = plugins.make_task({"name": "force_field"}, molecules(SAMPLES))
    model = plugins.make_model({"name": "vector_attention"}, task.constants).eval()
    index, generator = np.arange(SAMPLES), torch.Generator().manual_seed(0)
    quaternion = so3.haar(SAMPLES, ROTATIONS, generator=generator)
    rows = [index[s : s + CHUNK // ROTATIONS] for s in range(0, SAMPLES, CHUNK // ROTATIONS)]

    def plain():
        for part in rows:
            model(task.batch(part).repeat(ROTATIONS).inputs)

    def twirled():
        twirling.inner_products(model, task, index, quaternion, CHUNK, labels=True)

    times = np.array([[seconds(plain), seconds(twirled)] for _ in range(ROUNDS)])[1:]  # the first warms up
    ratio, middle = times[:, 1].min() / times[:, 0].min(), np.median(times[:, 1] / times[:, 0])
    plain_best, twirled_best = times.min(0)
    print(f"{SAMPLES * ROTATIONS} passes in chunks of {CHUNK}: plain {plain_best:.3f} s, twirled {twirled_best:.3f} s")
    print(f"ratio {ratio:.3f} (fastest rounds), {middle:.3f} (median of rounds); limit {LIMIT:.2f}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
