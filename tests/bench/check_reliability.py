"""Faults that happen to runs, tried at random moments and places, and what became of the runs; writes a table.

A module in `faults/` has one list, `FAULTS`; each says what happens, what must hold after it, and how to try it once.

Run: python tests/bench/check_reliability.py [--only kills disks] [--share 0.1] [--out docs/reliability.md]
"""

from __future__ import annotations

import argparse
import importlib
import math
import platform
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kit"), str(HERE.parents[1] / "workflow")]

from faults.fault import Fault, NotHere, Outcome

HEAD = """# Reliability

Faults that happen to runs, tried at random, and what became of the runs. Written by `make check-reliability`
(`tests/bench/check_reliability.py`) on {date}, with {versions}, {seconds:.0f} s on {machine}.

A trial is survived if what must hold does hold. *Identical* means bit for bit, all checkpoints and every stored value
but times, energies and memory. The trainings are of a small network and take {training:.1f} s each.
"""


class Row(NamedTuple):
    """The trials of one fault: how often it was survived, the ends with their counts, and why it was not tried."""

    fault: Fault
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
                return Row(fault, 0, 0, ends, str(reason))
            except Exception as error:
                outcome = Outcome(False, f"{type(error).__name__}: {error}"[:300])
        survived += outcome.survived
        ends[outcome.how if outcome.survived else f"NOT survived, seed {seed + i}: {outcome.how}"] += 1
    return Row(fault, rounds, survived, ends)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| fault | must hold | tried | survived | ends |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        ends = "; ".join(f"{count} × {how}" for how, count in row.ends.most_common())
        ends = " ".join((ends or f"not tried: {row.missing}").replace("|", "\\|").split())
        lines.append(f"| {row.fault.name} | {row.fault.holds} | {row.tried} | {row.survived} | {ends} |")
    total, good = (sum(getattr(row, name) for row in rows) for name in ("tried", "survived"))
    return "\n".join([*lines, f"| all | | {total} | {good} | |"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=names(), choices=names())
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    start, rows = time.monotonic(), []
    for fault in [fault for name in given.only for fault in faults(name)]:
        rows.append(tried(fault, math.ceil(given.share * fault.rounds)))
        print(f"{rows[-1].survived} of {rows[-1].tried} survived: {fault.name}", flush=True)
    text = head(time.monotonic() - start) + "\n" + table(rows)
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    return int(any(row.survived < row.tried for row in rows))


def head(seconds: float) -> str:
    """The words above the table, with the facts of this run."""
    import torch
    from faults.trainings import undisturbed
    from snakemake import __version__ as snakemake

    return HEAD.format(
        date=date.today().isoformat(),
        versions=f"Python {platform.python_version()}, torch {torch.__version__} and Snakemake {snakemake}",
        seconds=seconds,
        machine=f"{platform.system()} {platform.machine()}",
        training=undisturbed()[1],
    )


if __name__ == "__main__":
    sys.exit(main())
