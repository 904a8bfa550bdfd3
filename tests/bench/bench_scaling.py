"""Cost and memory of the loss split against rotations, samples, parameters, checkpoints and runs, as power laws."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from bench_twirl import force_field, toys
from performance import Given, Section, alone
from timing import Interval, exponent, interleaved, peak_bytes, table

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.planning.plan import Plan
from twirlscope.twirling import twisting

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
CHUNK, ROTATIONS, SAMPLES, ROUNDS = 64, 4, 32, 7
SIZES = {
    "rotations": (2, 4, 8, 16),
    "samples": (32, 64, 128, 256),
    "width": (16, 32, 64, 128),
    "checkpoints": (1, 2, 4, 8),
    "runs": (4, 16, 64),
}
QUICK = {name: sizes[:2] for name, sizes in SIZES.items()}
TWIRLED = ("rotations", "samples", "width", "checkpoints")


def twirl(rotations: int = ROTATIONS, samples: int = SAMPLES, width: int = 16, checkpoints: int = 1) -> Callable:
    """The loss split of checkpoints one after the other, as a function; networks of one layer on clouds of 13 atoms."""
    task = force_field(toys(samples))
    settings = {"name": "vector_attention", "width": width, "layers": 1}
    models = [plugins.make_model(settings, task.constants).eval() for _ in range(checkpoints)]
    index, quaternion = np.arange(samples), sample_rotations("independent", samples, rotations, 0)

    def work() -> None:
        for model in models:
            twisting.inner_products(Evaluation(model, task, chunk=CHUNK), index, quaternion)

    work.parameters = sum(p.numel() for p in models[0].parameters())
    return work


def plan(runs: int) -> Callable:
    """The plan of the default config with so many seeds of one run."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["runs"]["augmented"]["seeds"] = list(range(runs))
    return lambda: Plan(config).runs


def law(name: str, sizes: tuple[int, ...], rounds: int) -> list[object]:
    """Row of the table for one quantity."""
    works = {size: twirl(**{name: size}) if name in TWIRLED else plan(size) for size in sizes}
    seconds = interleaved({str(size): work for size, work in works.items()}, rounds)
    axis, words = list(sizes), name
    if name == "width":
        axis, words = [works[size].parameters for size in sizes], "parameters"
    found: Interval = exponent(axis, list(seconds.values()))
    ends = f"{axis[0]:,} to {axis[-1]:,}"
    if name not in TWIRLED:
        return [f"planning, {words}", ends, f"{found:.2f}", ""]
    low, high = (peak_bytes(works[size]) / 1e6 for size in (sizes[0], sizes[-1]))
    return [f"loss split, {words}", ends, f"{found:.2f}", f"{low:.2f} to {high:.2f}"]


def section(given: Given) -> Section:
    """Section of the page."""
    sizes = QUICK if given.quick else SIZES
    rows = [law(name, sizes[name], given.rounds(ROUNDS)) for name in sizes]
    text = f"""Exponent of the CPU seconds as a power of each quantity, the others fixed at {ROTATIONS} rotations of
{SAMPLES} samples of 13 atoms in chunks of {CHUNK}; an exponent of 1 is a cost proportional to the quantity. Memory is
the largest total size of tensors, at the smallest and at the largest value. Runs are jobs of their own, each with the
memory of one; what the runs of a sweep share is its plan.

{table(("cost against", "values", "exponent", "peak memory [MB]"), rows)}"""
    return Section("Cost against the size of a problem", text)


if __name__ == "__main__":
    sys.exit(alone(section, __file__))
