"""Speed of trainings of models of 6M to 398M parameters, and their use of the device: a table, a row for each way.

    python tests/bench/bench_train.py --models 65M 398M --precision bf16 --compile never always
    python tests/bench/bench_train.py --models tiny_molecules tiny_backbones         # seconds on a processor

Data are made up, all samples of one size, so that the work of an update is always the same. Times are wall times. Model
FLOPs are those of torch's counter (matrix products, forwards and backwards), recomputation left out; utilisation is
their rate over the peak of the device in that precision. Every run is the training loop itself: drawing, turning and
moving batches is in its time, and what of it the loop waits for is a column.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch.utils.flop_counter import FlopCounterMode

sys.path[:0] = [str(Path(__file__).parents[2] / "workflow")]

from twirlscope import plugins
from twirlscope.contracts import Evaluation, Task
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.operators import operator
from twirlscope.errors import UserError
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.runtime.devices import device_of, hardware
from twirlscope.runtime.precision import float32
from twirlscope.settings.train import TrainSettings
from twirlscope.training.loop import Loop
from twirlscope.twirling import twisting

# dense peaks [TFLOP/s] of bf16, TF32 and float32 outside of tensor cores, from NVIDIA's data sheets
PEAKS = {
    "H200": (989, 495, 67),
    "H100 PCIe": (756, 378, 51),
    "H100 NVL": (835, 418, 60),
    "H100": (989, 495, 67),
    "A100": (312, 156, 19.5),
    "L40S": (362, 183, 91.6),
    "L4": (121, 60, 30.3),
    "A10": (125, 62.5, 31.2),
    "V100": (None, None, 15.7),
    "4090": (165, 82.6, 82.6),
}
PUBLISHED = {"width": 128, "layers": 6, "heads": 8, "neighbours": 20, "cutoff": 12.0, "radial": 600}
PUBLISHED |= {"distance_width": 512, "degrees": 10, "order_width": 64, "element_width": 128, "element_rows": 110}
PUBLISHED_GRID = {"size": 32, "resolution": 0.25, "radius": 0.5, "shift": 0.5}
TINY_GRID = {"size": 8, "resolution": 1.0}
LARGEST_RADIUS = 2.0  # of a molecule on a grid [Å]
WARM, BLOCK = 3, 4  # updates before the clock starts, columns of a Hessian product


@dataclass(frozen=True)
class Case:
    """A model, its task, and samples for it. size: atoms or residues of a sample. keys: settings of the task."""

    task: str
    model: dict = field(default_factory=dict)
    batch: int = 8
    size: int = 256
    keys: dict = field(default_factory=dict)


CASES = {
    "6M": Case("force_field", {"name": "escaip", **PUBLISHED}, batch=64, size=40),
    "6M_acac": Case("force_field", {"name": "escaip", **PUBLISHED}, batch=64, size=15),  # atoms of acetylacetone
    "65M": Case("flow_matching", {"name": "protein_transformer", "size": "65M"}),
    "398M": Case("flow_matching", {"name": "protein_transformer", "size": "398M"}, batch=4),
    "112M": Case("voxel_denoising", {"name": "voxel_unet", "size": "112M"}, batch=32, size=20, keys=PUBLISHED_GRID),
    "tiny_molecules": Case("force_field", {"name": "escaip", "width": 8, "layers": 1, "heads": 2}, 2, 6),
    "tiny_backbones": Case("flow_matching", {"name": "protein_transformer", "width": 8, "layers": 1, "heads": 2}, 2, 8),
    "tiny_voxels": Case("voxel_denoising", {"name": "voxel_unet", "size": "2k"}, 2, 6, TINY_GRID),
}
COLUMNS = [
    *("model", "parameters", "batch", "precision", "TF32", "compile", "recompute"),
    *("updates/s", "samples/s", "TFLOP/s", "MFU [%]", "waits for data [%]", "memory [GB]"),
    *("twirl [ms/pass of a sample]", "Hessian product [ms/column and sample]"),
]


def samples(case: Case, count: int = 256) -> xr.Dataset:
    """Made-up samples of one size: clouds of atoms as dense as molecules, or random walks."""
    random, size = np.random.default_rng(0), case.size
    atoms = ("sample", np.full(count, size, np.int32))
    if case.task == "flow_matching":
        steps = random.normal(size=(count, size, 3))
        walks = np.cumsum(0.38 * steps / np.linalg.norm(steps, axis=-1, keepdims=True), 1)
        positions = (walks - walks.mean(1, keepdims=True)).reshape(-1, 3).astype(np.float32)
        broken = np.zeros(count * size, np.int8)
        return xr.Dataset(
            {"ca_positions": (("atom", "xyz"), positions), "chain_break": ("atom", broken), "atoms": atoms}
        )
    positions = random.normal(scale=0.6 * size ** (1 / 3), size=(count * size, 3)).astype(np.float32)
    if case.task == "voxel_denoising":
        length = np.linalg.norm(positions.reshape(count, size, 3), axis=-1).max(1).repeat(size)[:, None]
        positions = positions * (LARGEST_RADIUS / np.maximum(length, LARGEST_RADIUS)).astype(np.float32)
    arrays = {"numbers": ("atom", random.choice([1, 6, 7, 8], count * size)), "positions": (("atom", "xyz"), positions)}
    arrays |= {"forces": (("atom", "xyz"), -positions), "energy": ("sample", np.zeros(count)), "atoms": atoms}
    arrays |= {"reference_energy": ("element", np.zeros(4)), "force_scale": 1.0, "energy_scale": 1.0}
    return xr.Dataset(arrays, {"element": np.array([1, 6, 7, 8])})


def peak(device: str, precision: str, tf32: bool) -> float | None:
    """Peak of the device [FLOP/s], None where it is not known."""
    name = hardware(device) if device.startswith("cuda") else ""
    found = next((peaks for part, peaks in PEAKS.items() if part in name), (None, None, None))
    rate = found[0 if precision == "bf16" else 1 if tf32 else 2]
    return rate and rate * 1e12


def synchronise(device: str) -> None:
    """Wait until the device has done what it was told to."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def task_of(case: Case, data: xr.Dataset) -> Task:
    """The task on the samples."""
    return plugins.make_task({"name": case.task, **case.keys}, data)


def loop_of(case: Case, data: xr.Dataset, index: np.ndarray | None = None, **settings) -> Loop:
    """A training on the samples with these indices, or on all, in training mode."""
    settings = {"steps": 10**6, "batch": case.batch, "checkpoints_per_decade": 1} | settings
    index = np.arange(len(data["atoms"])) if index is None else index
    loop = Loop(task_of(case, data), {"seed": 0, "model": case.model}, TrainSettings(**settings), index)
    loop.keep = set()  # what a checkpoint costs is another question
    loop.model.train()
    return loop


def flops_of(case: Case, data: xr.Dataset, device: str) -> float:
    """FLOPs of an update, from one sample: they are proportional to samples of one size."""
    loop = loop_of(case, data, batch=1, prefetch=0, device=device)
    with FlopCounterMode(display=False) as counter:
        loop.update()
    return counter.get_total_flops() * case.batch


def timed(loop: Loop, updates: int) -> tuple[float, float, float]:
    """Seconds of an update, the share of it that waits for data, and the most memory [byte] that tensors took."""
    get, waited, cuda = loop.loader.get, [0.0], loop.device.startswith("cuda")

    def watched(update):
        start = time.perf_counter()
        batch = get(update)
        waited[0] += time.perf_counter() - start
        return batch

    with loop.loader:
        for _ in range(WARM):
            loop.update()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        synchronise(loop.device)
        loop.loader.get, start = watched, time.perf_counter()
        for _ in range(updates):
            loop.update()
        synchronise(loop.device)
        seconds = time.perf_counter() - start
    return seconds / updates, waited[0] / seconds, torch.cuda.max_memory_allocated() if cuda else float("nan")


@float32()
def measured(loop: Loop, few: int = 2, count: int = 4) -> tuple[float, float]:
    """Seconds of a twirled pass of a sample, and of a column of a Hessian product on a sample under four rotations."""
    index, taken = np.arange(few), []
    quaternion, loop.optimiser = sample_rotations("D2", few, count, 0, loop.task.group), None  # and its memory
    model = loop.model.eval()
    model.zero_grad(set_to_none=True)
    for _ in range(2):  # the first warms up
        start = time.perf_counter()
        twisting.inner_products(Evaluation(model, loop.task, device=loop.device, chunk=few * count), index, quaternion)
        synchronise(loop.device)
        taken.append((time.perf_counter() - start) / (few * count))
    objective = Objective(model, loop.task, loop.task.batch(index), quaternion, chunk=1)
    product = operator(objective, "equiv", mode="rebuilt")
    block = torch.ones_like(objective.parameters)[:, None].detach().expand(-1, BLOCK)
    for _ in range(2):
        start = time.perf_counter()
        product(block)
        synchronise(loop.device)
        taken.append((time.perf_counter() - start) / few / BLOCK)
    return taken[1], taken[3]


def speed(case: Case, data: xr.Dataset, flops: float, updates: int, stages: bool, **ways) -> dict[str, float]:
    """Numbers of one way to train, by name of the column; NaN where unknown.

    Args:
        flops: of an update.
        updates: updates that are timed.
        stages: whether a twirl and a Hessian product are timed too.
        ways: settings of the training, `device` among them.
    """
    with float32(ways.get("tf32", False)):
        loop = loop_of(case, data, **ways)
        seconds, waits, memory = timed(loop, updates)
    found = {"parameters": sum(p.numel() for p in loop.model.parameters()), "updates/s": 1 / seconds}
    found |= {"samples/s": case.batch / seconds, "TFLOP/s": flops / seconds / 1e12}
    top = peak(loop.device, ways["precision"], ways.get("tf32", False))
    found |= {"MFU [%]": 100 * flops / seconds / top if top else float("nan")}
    found |= {"waits for data [%]": 100 * waits, "memory [GB]": memory / 1e9}
    twirl, product = measured(loop) if stages else (float("nan"), float("nan"))
    return found | {COLUMNS[-2]: 1e3 * twirl, COLUMNS[-1]: 1e3 * product}


def rows(args: argparse.Namespace):
    """Rows of the table, as they are found; what cannot be run says why."""
    device = device_of(args.device)
    for name in args.models:
        case = CASES[name]
        if args.batch:
            case = replace(case, batch=args.batch)
        data = samples(case)
        flops, stages = flops_of(case, data, device), {}
        for precision in args.precision:
            for compiled in args.compile:
                ways = {"precision": precision, "compile": compiled, "tf32": args.tf32, "device": device}
                ways["activation_checkpointing"] = args.recompute
                said = [name, "-", case.batch, precision, args.tf32, compiled, args.recompute]
                said = dict(zip(COLUMNS, said, strict=False))
                timing = not stages and compiled == "never" and not args.recompute
                try:
                    found = speed(case, data, flops, args.updates, timing, **ways)
                except (UserError, torch.cuda.OutOfMemoryError) as error:
                    yield [*said.values(), f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"]
                    continue
                stages = stages or {name: found[name] for name in COLUMNS[-2:] if timing}
                said |= {name: _text(value) for name, value in (found | stages).items()}
                yield [said[name] for name in COLUMNS]


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else "-" if math.isnan(value) else f"{value:.3g}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=CASES, default=["6M", "65M", "398M"])
    parser.add_argument("--precision", nargs="+", choices=["bf16", "float32"], default=["bf16"])
    parser.add_argument("--compile", nargs="+", choices=["never", "always"], default=["never", "always"])
    parser.add_argument("--recompute", action="store_true", help="activation checkpointing")
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--batch", type=int, default=0, help="samples an update; 0 takes each model's own")
    parser.add_argument("--updates", type=int, default=20, help="updates that are timed")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)
    print(f"{hardware(device_of(args.device))}, torch {torch.__version__}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for row in rows(args):
        print("|", " | ".join(map(str, row)), "|", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
