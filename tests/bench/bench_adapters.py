"""Time of batches against one structure at a time, for an adapter, in the environment of its package.

    TWIRLSCOPE_EXTERNAL=~/environments python tests/bench/bench_adapters.py mace --structures frames.xyz

Prints seconds per structure of both, through the worker, and their ratio. The model has random weights.
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow")]

from ase.io import read

from twirlscope.external import specification
from twirlscope.external.client import Spec, Worker

FACTORIES = ROOT / "tests" / "kit" / "external_models.py"
CASES = {"mace": ("mace", "mace"), "chgnet": ("chgnet", "chgnet"), "metatomic": ("pet", "metatrain")}
PROPERTIES = ("energy", "forces")


def seconds(spec: Spec, frames: list, size: int, repeats: int) -> float:
    """Shortest time per structure of several passes over all structures, in requests of `size` structures."""
    with Worker(spec) as worker:
        worker.evaluate(frames[:size], PROPERTIES)  # imports, first compilation
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            for first in range(0, len(frames), size):
                results = worker.evaluate(frames[first : first + size], PROPERTIES)
                assert not [r for r in results if isinstance(r, str)], results
            times.append(time.perf_counter() - start)
    return min(times) / len(frames)


def main(adapter: str, path: str, count: int, batch: int, repeats: int) -> None:
    factory, environment = CASES[adapter]
    python = str(Path(os.environ["TWIRLSCOPE_EXTERNAL"]) / environment / "bin" / "python")
    frames = read(path, f":{count}")
    for frame in frames:
        frame.pbc = adapter == "chgnet"
        frame.set_cell([20.0] * 3 if adapter == "chgnet" else None)
    one = {"calculator": f"{FACTORIES}:{factory}", "python": python}
    single = seconds(Spec(**one), frames, batch, repeats)
    stacked = seconds(Spec(**one, batched=f"{specification.ADAPTERS / adapter}.py:evaluate"), frames, batch, repeats)
    print(f"{adapter}: one at a time {1e3 * single:.2f} ms, {batch} at once {1e3 * stacked:.2f} ms per structure")
    print(f"{adapter}: {single / stacked:.1f} times faster")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("adapter", choices=CASES)
    parser.add_argument("--structures", required=True)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    a = parser.parse_args()
    main(a.adapter, a.structures, a.count, a.batch, a.repeats)
