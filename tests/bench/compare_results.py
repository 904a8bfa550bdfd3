"""Two folders of results, array by array: whether a change of the code has changed a number.

    python tests/bench/compare_results.py before/results after/results

Names each array that is not bit for bit the same, and each attribute and each column of a CSV file that differ. Times,
energies and memory are facts of the machine and of the hour and are left out; checkpoints are compared by their hashes,
which the stores hold. Exit status 1 where a number differs.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import xarray as xr

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow")]

from twirlscope.storage.store import open_store

MEASURED_TIME = {"elapsed", "seconds_update", "seconds_inference", "memory_peak", "device_hours", "device_energy"}
TIMED = {"seconds", "versions", "folder", "device"}  # attributes
TIMES = ("time ", "training time", "device-hours", "cost [")  # beginnings of headings


def same(a: xr.Variable, b: xr.Variable) -> bool:
    """Whether two arrays have the same dimensions, dtype and values; NaN equals NaN."""
    if a.dims != b.dims or a.dtype != b.dtype or a.shape != b.shape:
        return False
    return np.array_equal(a.values, b.values, equal_nan=a.dtype.kind == "f")


def differences(before: Path, after: Path) -> list[str]:
    """Names of the arrays and attributes of a store that differ."""
    with open_store(before) as old, open_store(after) as new:
        names = sorted({*map(str, old.variables), *map(str, new.variables)} - MEASURED_TIME)
        found = [n for n in names if n not in old.variables or n not in new.variables]
        found += [n for n in names if n not in found and not same(old[n].variable, new[n].variable)]
        attributes = sorted((old.attrs.keys() | new.attrs.keys()) - TIMED)
        return found + [f"attribute {n}" for n in attributes if old.attrs.get(n) != new.attrs.get(n)]


def cells(path: Path) -> list[list[str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def columns_that_differ(before: Path, after: Path) -> list[str]:
    """Columns of a CSV file that differ, as `old heading -> new heading` where only the heading does."""
    old, new = (list(zip(*cells(path), strict=True)) for path in (before, after))
    if len(old) != len(new):
        return [f"{len(old)} columns, now {len(new)}"]
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if a != b and not a[0].startswith(TIMES)]
    return [f"{a[0]} -> {b[0]}" if a[1:] == b[1:] else f"values of {b[0]}" for a, b in pairs]


def main(before: Path, after: Path) -> int:
    """Print what differs."""
    wrong = count = 0
    for path in sorted(before.rglob("*")):
        name = path.relative_to(before)
        if path.name.startswith(".") or not path.is_file() or path.suffix not in (".zip", ".csv"):
            continue
        other, count = after / name, count + 1
        if not other.exists():
            found = ["is missing"]
        elif path.suffix == ".csv":
            found = columns_that_differ(path, other)
        else:
            found = [] if name.name == "summary.zarr.zip" else differences(path, other)
        wrong += any("->" not in f for f in found)
        print(*(f"{name}: {f}" for f in found), sep="\n", end="\n" if found else "")
    print(f"{count} files compared, {wrong} with other numbers")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
