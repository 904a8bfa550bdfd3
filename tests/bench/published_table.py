"""Makes the packaged table of published curves from the points that were read from figures, and a page on them.

Usage: PYTHONPATH=workflow python tests/bench/published_table.py [curves.csv]
The default is `published/curves.csv` in the folder TWIRLSCOPE_DATA. The page, `docs/published.md`, is calculated from
the table by the functions of the report.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pandas as pd

from twirlscope.report.numbers import numbers
from twirlscope.report.published import curves
from twirlscope.report.sections.claims.judge import judge_published
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.sections.course import tables
from twirlscope.report.tables import text

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "workflow" / "twirlscope" / "report" / "published" / "curves.json"
PAGE = ROOT / "docs" / "published.md"
HEAD = """# The published trainings

Courses of the equivariance error and verdicts on the claims, calculated from the published curves by the same code as
for the trainings of a report. Written by `tests/bench/published_table.py`; a test keeps this page and the table equal.

Source: {source}. Percentages of forces are medians of noisy curves (3 % reading error). A published percentage looks
like a mean of ratios over batches, and published force fields were trained without rotated samples, but for one.
Steps of flow matching are row numbers of logs, not shown to be updates.
"""
KEYS = ["task", "model", "variant", "replicate", "time", "quantity", "corrected", "source"]
ABOUT = {
    "paper": "Shen, Nowara, Maser, Cho: Training Dynamics of Learning 3D-Rotational Equivariance, arXiv 2512.02303",
    "repository": "github.com/genentech/equivariance_learning",
    "commit": "31c6a7f",
    "note": "read from figures, and from the data files of the repository",
}
NEVER_LEARNED = "has never learned: its loss stays fifty times that of the others at the end"
TEN_ROWS = "proteina-wandb/prot-default.ipynb"  # printed rows, none between the early and the late ones


def reading_error(row: dict) -> float:
    """Largest relative error of a value that is known of this way of reading."""
    if "image" in row["source"]:
        return 0.1 if row["variant"] == "augmented" else 0.025
    if row["source"].endswith(".png"):
        return 0.001
    if row["variant"] == "data_1pct":
        return 0.08
    if not row["source"].endswith(".pdf"):  # numbers of data files and of printed tables
        return 0.0
    noisy = row["task"] == "force_field" and row["quantity"] in ("percent_equiv", "loss_equiv")
    return 0.03 if noisy else 0.003


def rows(points: pd.DataFrame) -> list[dict]:
    """One row per curve, in the order of the points."""
    found = []
    for key, part in points.groupby(KEYS, sort=False, dropna=False):
        row = dict(zip(KEYS, key, strict=True))
        row["replicate"] = int(row["replicate"])
        row["time"] = None if pd.isna(row["time"]) else float(row["time"])
        row["corrected"] = {"yes": True, "no": False}.get(row["corrected"])  # None: no correction is needed
        row["error"] = reading_error(row)
        row["complete"] = row["source"] != TEN_ROWS
        row["remark"] = NEVER_LEARNED if row["variant"] == "augmented" else ""
        part = part.sort_values("step", kind="stable")
        found.append(row | {"step": part["step"].astype(int).tolist(), "value": part["value"].tolist()})
    return found


def table(points: pd.DataFrame) -> str:
    """The table as JSON, one curve per line."""
    about = json.dumps(ABOUT, indent=1)[2:-2]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows(points))
    return f'{{\n{about},\n "curves": [\n{lines}\n]}}\n'


def markdown(shown) -> str:
    """A table of the report as Markdown."""
    lines = [f"| {' | '.join(c.title for c in shown.columns)} |", "| --- " * len(shown.columns) + "|"]
    for row in shown.data.itertuples(index=False):
        lines.append(f"| {' | '.join(' '.join(text(value).split()) for value in row)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page on the published trainings."""
    found = tables.published_numbers(list(curves.REFERENCES), 2.0)
    verdicts = judge_published(CLAIMS)
    rows = [
        {"claim": v.claim.name, "for": v.scope, "verdict": v.verdict, "allowed": v.claim.allowed}
        | {
            "limit is": v.claim.limits,
            "value": v.worst.value,
            "decided by": v.worst.label,
            "agree": f"{v.within} of {v.count}",
        }
        for v in verdicts
    ]
    parts = [HEAD.format(source=curves.source()), "## Verdicts\n", markdown(numbers(pd.DataFrame(rows)))]
    return "\n".join([*parts, "## Courses\n", markdown(tables.brief(found).without(["task"]))])


def main(arguments: list[str] | None = None) -> None:
    """Write the table and the page."""
    given = sys.argv[1:] if arguments is None else arguments
    path = Path(given[0]) if given else Path(os.environ["TWIRLSCOPE_DATA"]) / "published" / "curves.csv"
    TABLE.write_text(table(pd.read_csv(path)), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
