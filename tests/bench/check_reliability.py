"""Faults that happen to runs, tried at random moments and places, and what became of the runs; writes a table.

A module in `faults/` has one list, `FAULTS`; each says what happens, what must hold after it, and how to try it once.

Run: python tests/bench/check_reliability.py [--only kills disks] [--share 0.1] [--out docs/reliability.md]
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kit"), str(HERE.parents[1] / "workflow")]

import torch
from faults.fault import Fault, NotHere, Outcome
from snakemake import __version__ as snakemake

HEAD = """# Reliability

Faults that happen to runs, tried at random, and what became of the runs. Every line is written by
`make check-reliability` (`tests/bench/check_reliability.py`); `--only` renews the lines of some kinds of faults.

A trial is survived if what must hold does hold. *Identical* means bit for bit: all checkpoints, and every stored value
but times, energies and memory. The trainings are of a small network and take about a second each.

| fault | must hold | tried | survived | ends | date, torch, Snakemake |
| --- | --- | --- | --- | --- | --- |
"""


class Row(NamedTuple):
    """The trials of a fault: how often it was survived, the ends with their counts, or why it was not tried."""

    name: str
    holds: str
    tried: int
    survived: int
    ends: Counter
    missing: str = ""


def names() -> list[str]:
    """The modules with faults."""
    others = ("__init__", "fault", "trainings", "contents")
    return sorted(p.stem for p in (HERE / "faults").glob("*.py") if p.stem not in others)


def faults(name: str) -> list[Fault]:
    """The faults of a module."""
    return importlib.import_module(f"faults.{name}").FAULTS


def tried(fault: Fault, rounds: int, seed: int = 0) -> Row:
    """The row of so many trials of a fault; an exception in a trial is an end that was not survived."""
    ends: Counter = Counter()
    survived = 0
    for i in range(rounds):
        with tempfile.TemporaryDirectory(prefix="fault") as folder:
            try:
                outcome = fault.trial(seed + i, Path(folder))
            except NotHere as reason:
                return Row(fault.name, fault.holds, 0, 0, ends, str(reason))
            except Exception as error:
                outcome = Outcome(False, f"{type(error).__name__}: {error}"[:300])
        survived += outcome.survived
        ends[outcome.how if outcome.survived else f"NOT survived, seed {seed + i}: {outcome.how}"] += 1
    return Row(fault.name, fault.holds, rounds, survived, ends)


def row(name: str, number: int, share: float) -> Row:
    """The row of a fault of a module, from this share of its trials."""
    fault = faults(name)[number]
    found = tried(fault, math.ceil(share * fault.rounds))
    print(f"{found.survived} of {found.tried} survived: {found.name}", flush=True)
    return found


def rows(only: list[str], share: float, processes: int) -> Iterator[Row]:
    """The rows of all faults of these modules, as they are finished; several are tried at a time."""
    jobs = [(name, number) for name in only for number in range(len(faults(name)))]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for made in as_completed([pool.submit(row, *job, share) for job in jobs]):
            yield made.result()


def line(row: Row) -> str:
    """A row as a line of the table, with the date and the versions of now."""
    ends = "; ".join(f"{count} times: {how}" for how, count in row.ends.most_common())
    ends = " ".join((ends or f"not tried: {row.missing}").replace("|", "\\|").split())
    now = f"{date.today().isoformat()}, {torch.__version__}, {snakemake}"
    return f"| {row.name} | {row.holds} | {row.tried} | {row.survived} | {ends} | {now} |"


def renewed(page: str, row: Row) -> str:
    """The page with the line of a row, in place of an older one of the same fault; in the order of the faults."""
    kept = {old.split(" | ")[0].removeprefix("| "): old for old in page.splitlines() if old.startswith("| ")}
    kept[row.name] = line(row)
    known = [fault.name for name in names() for fault in faults(name)]
    return HEAD + "".join(f"{kept[name]}\n" for name in dict.fromkeys([*known, row.name]) if name in kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=names(), choices=names())
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials")
    parser.add_argument("--processes", type=int, default=1, help="faults that are tried at a time")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    page = given.out.read_text(encoding="utf-8") if given.out and given.out.exists() else ""
    lost = 0
    for made in rows(given.only, given.share, given.processes):
        page, lost = renewed(page, made), lost + made.tried - made.survived
        if given.out:
            given.out.write_text(page, encoding="utf-8")
    print(page)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
