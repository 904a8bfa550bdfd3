"""Coverage of every interval, and wrong verdicts on every claim, on simulated data whose truth is known; writes a page.

A module in `calibrations/` has one function, `rows(repeats)`, which simulates data at the sizes of the default run. It
counts how often an interval holds the truth, or a verdict is wrong, with the functions that the stages call.

Run: python tests/bench/calibrate.py [--repeats 200] [--only condition_numbers] [--out docs/calibration.md]
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kit"), str(HERE.parents[1] / "workflow")]

from calibrations.row import Row

HEAD = """# Calibration

How often the intervals of the report hold the truth, and how often its verdicts are wrong, in simulations at the sizes
of the default run. Written by `make calibrate` (`tests/bench/calibrate.py`), which calls the functions that the stages
call; `--only` renews some sections. Every row has the number of its simulations.

Quantities that the report prints with a standard error are taken with the Student interval of that error. An interval
of 95 % should hold the truth in 95 of 100 simulations. The last digits are noise: ± is the standard error of a share
from so many simulations. A number counts as converged by the rule of the report, and as off if it is more than 15 %
off. An interval that the report calls approximate, because tails are heavy or clusters are few, promises no 95 %.
"""
COLUMNS = ("quantity", "data", "size", "expected", "found")


def names() -> list[str]:
    """The modules with calibrations."""
    return sorted(p.stem for p in (HERE / "calibrations").glob("*.py") if p.stem not in ("__init__", "row"))


def title(name: str) -> str:
    """The heading of the section of one module."""
    return importlib.import_module(f"calibrations.{name}").__doc__.splitlines()[0].removesuffix(".")


def section(name: str, repeats: int) -> str:
    """The heading and the table of one module."""
    module = importlib.import_module(f"calibrations.{name}")
    found = table(module.rows(repeats), getattr(module, "COLUMNS", COLUMNS))
    text = f"{title(name)}\n\n{found}"
    print(f"\n## {text}", flush=True)
    return text


def renewed(page: str, name: str, text: str) -> str:
    """The page with the section of one module, in place of an older one; in the order of the modules."""
    kept = {part.partition("\n")[0]: part.rstrip("\n") + "\n" for part in page.split("\n## ")[1:]}
    kept[title(name)] = text
    return HEAD + "".join(f"\n## {kept[words]}" for words in map(title, names()) if words in kept)


def table(rows: list[Row], columns: Sequence[str] = COLUMNS) -> str:
    """The rows as a Markdown table."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in rows:
        error = math.sqrt(max(row.share * (1 - row.share), 1 / row.count) / row.count) if row.count else math.nan
        found = f"{100 * row.share:.1f} ± {100 * error:.1f} % of {row.count}" if row.count else "none of them"
        lines.append(f"| {row.quantity} | {row.law} | {row.size} | {row.expected} | {found} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=names(), choices=names())
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    for name in given.only:
        text = section(name, given.repeats)
        if given.out:
            page = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
            given.out.write_text(renewed(page, name, text), encoding="utf-8")


if __name__ == "__main__":
    main()
