"""Makes the packaged table of published curves from the points that were read from figures, one row per curve.

Usage: python tests/bench/published_table.py [curves.csv]
The default is `published/curves.csv` in the folder TWIRLSCOPE_DATA.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).parents[2] / "workflow" / "twirlscope" / "report" / "published" / "curves.json"
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
    curves = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows(points))
    return f'{{\n{about},\n "curves": [\n{curves}\n]}}\n'


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    given = sys.argv[1:] if arguments is None else arguments
    path = Path(given[0]) if given else Path(os.environ["TWIRLSCOPE_DATA"]) / "published" / "curves.csv"
    TABLE.write_text(table(pd.read_csv(path)), encoding="utf-8")


if __name__ == "__main__":
    main()
