"""Tables and figures of the pages that read the report of an experiment, so that no number on them is typed.

    python docs/read_report.py docs/gallery.md results/report
    python docs/read_report.py docs/mini_paper.md results/report
    python docs/read_report.py docs/explanation/curvature.md results/report
    python docs/read_report.py docs/explanation/layers.md results/report
    python docs/read_report.py docs/explanation/objectives.md results/report
    python docs/read_report.py docs/explanation/scaling.md results/report

A page has places such as `<!-- claims -->` ... `<!-- end -->`; what stands between is written anew from the CSV files
of the report. `<!-- sweeps: size, angle -->` has two sweeps alone, and claims can be named in the same way. Figures
that the page shows are copied from the report if their folder has the name of the page.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

PLACE = re.compile(r"(<!-- (?P<name>[a-z_]+)(: (?P<only>[^\n]+))? -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
FIGURE = re.compile(r"\]\((?P<path>[^)]+\.svg)\)")
TASKS = {"force_field": "forces", "flow_matching": "flow matching", "voxel_denoising": "voxels"}
STEP, PERCENT, BELOW = "final step [1]", "equivariance error [%]", "stays below 2 % from [step]"


def number(value: float) -> str:
    """Three significant figures."""
    extreme = 0 < abs(value) < 1e-4 or abs(value) >= 1e6
    return f"{value:.1e}" if extreme else f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):g}"


def span(values: pd.Series, unit: str = "") -> str:
    """One number, or lowest to highest."""
    ends = list(dict.fromkeys(number(v) for v in (values.min(), values.max())))
    return " to ".join(ends) + unit


def table(rows: list[list[str]], head: list[str]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


class Tables:
    """CSV files of a report, read when they are asked for."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, name: str) -> pd.DataFrame:
        """Rows of a table."""
        return pd.read_csv(self.folder / "tables" / f"{name}.csv")

    def answer(self) -> str:
        """The first screen as text, without its title, claims and warnings."""
        text = (self.folder / "README.md").read_text(encoding="utf-8")
        return text.split("\n\n", 1)[1].partition("\n## Claims")[0]

    def names(self, start: str) -> list[str]:
        """Names of the tables that begin so."""
        return sorted(path.stem for path in (self.folder / "tables").glob(f"{start}*.csv"))


# parts


def answer(read: Tables) -> str:
    """What the first screen says of every task."""
    return re.sub(r"^## (.*)$", r"**\1**", read.answer(), flags=re.MULTILINE)


def claims(read: Tables, *only: str) -> str:
    """Verdict by claim and task, with trainings that agree; the deciding number is of the training furthest outside."""
    found = _some(read("claims"), "claim", only)
    names = [t for t in TASKS if (found["for"] == t).any()]
    rows = []
    for claim, group in found.groupby("claim", sort=False):
        if not (group["trainings"] + group["published trainings"].fillna(0)).any():
            continue  # tested by no run
        by_task = group.set_index("for")
        cells = [_verdict(by_task.loc[task]) if task in by_task.index else "-" for task in names]
        if "all" not in cells and not any(task in by_task.index for task in names):
            cells = [_verdict(group.iloc[0])] + ["-"] * (len(names) - 1)
        decided = group[group["value [1]"].notna() & group["for"].isin([*names, "all"])]
        limits = group["allowed"].iloc[0] + f" ({group['limit is'].iloc[0]})"
        rows.append([claim, *cells, limits, _published(by_task, names), _reason(decided)])
    return table(
        rows, ["claim", *(TASKS[n] for n in names), "limit", "published curves", "open or contradicted because"]
    )


def _some(found: pd.DataFrame, column: str, only: Sequence[str]) -> pd.DataFrame:
    """Rows whose column has one of these values; all of them if there are none."""
    absent = sorted(set(only) - set(found[column]))
    if absent:
        raise SystemExit(f"expected one of: {', '.join(sorted(set(found[column])))}; got {', '.join(absent)}")
    return found[found[column].isin(only)] if only else found


def _verdict(row: pd.Series) -> str:
    if row["verdict"] == "not run":
        return "not run"
    of = f", {row['agree']:.0f} of {row['trainings']:.0f}" if row["trainings"] > 1 else ""
    value = "" if pd.isna(row["value [1]"]) else f"; {number(row['value [1]'])}"
    return ("**{}**" if row["verdict"] != "open" else "{}").format(row["verdict"]) + of + value


def _published(by_task: pd.DataFrame, names: list[str]) -> str:
    said = {TASKS[n]: by_task.loc[n, "published"] for n in names if n in by_task.index}
    judged = {task: verdict for task, verdict in said.items() if verdict in ("holds", "open", "contradicted")}
    return "; ".join(f"{task}: {verdict}" for task, verdict in judged.items()) or "-"


def _reason(decided: pd.DataFrame) -> str:
    whys = decided["open because"].dropna().astype(str)
    return "; ".join(dict.fromkeys(why.split(";")[0] for why in whys if why)) or "-"


def runs(read: Tables) -> str:
    """Every run of the config that is no member of a sweep: its end, over seeds."""
    found, kind = read("headline"), read("trainings").drop_duplicates("run").set_index("run")
    rows = []
    for run, seeds in found.groupby("run", sort=False):
        if run in _swept(read):
            continue
        low, high = seeds["from [%]"].min(), seeds["to [%]"].max()
        below = seeds[BELOW].dropna()
        when = f"{span(below)}, in {len(below)} of {len(seeds)} seeds" if len(below) else "not at the end"
        exact = bool(seeds["is rounding error"].any())
        error = "rounding error" if exact else f"{span(seeds[PERCENT], ' %')} ({number(low)} to {number(high)})"
        rows.append(
            [
                f"`{run}`",
                TASKS[kind.loc[run, "task"]],
                f"{kind.loc[run, 'parameters [1]']:,}",
                f"{seeds[STEP].max():,}",
                error,
                "always" if exact else when,
                span(100 * seeds["learned fraction [1]"], " %"),
            ]
        )
    head = ["run", "task", "parameters", "updates", "equivariance error at the end (95 % within)", "below 2 % from"]
    return table(rows, [*head, "learned"])


def sweeps(read: Tables, *only: str) -> str:
    """Every value of every sweep, or of some: equivariance error and loss at the end, over its trainings."""
    rows = []
    every = _sweeps(read)
    chosen = _some(pd.DataFrame({"sweep": [name for name, *_ in every]}), "sweep", only)["sweep"]
    for name, found, keys in (one for one in every if one[0] in set(chosen)):
        each = ["run", "seed"]
        last = found.loc[found.groupby(each, sort=False)["step [1]"].idxmax()]
        lowest = found[~found["trivial"].astype(bool)].groupby(each)["equivariance error [%]"].min()
        last = last.join(lowest.rename("lowest"), on=each)
        for values, some in last.groupby(keys, sort=False):
            shown = re.sub(r"(\d)p(\d)", r"\1.\2", ", ".join(str(v) for v in values))
            learned = "" if not some["trivial"].any() else f", {int(some['trivial'].sum())} learned nothing"
            error = span(some["equivariance error [%]"], " %") + learned
            low = span(some["lowest"], " %") if some["lowest"].notna().any() else "-"
            rows.append([f"`{name}`", shown, f"{len(some)}", error, low, span(some["total loss [1]"])])
    head = ["sweep", "value", "trainings", "equivariance error at the end", "lowest once it has learned"]
    return table(rows, [*head, "held-out loss at the end"])


def _sweeps(read: Tables) -> list[tuple[str, pd.DataFrame, list[str]]]:
    """Name, numbers and swept keys of every sweep."""
    found = []
    for name in read.names("sweep_"):
        numbers = read(name)
        keys = [
            str(c) for c in numbers.columns[numbers.columns.get_loc("seed") + 1 : numbers.columns.get_loc("step [1]")]
        ]
        found.append((name.removeprefix("sweep_").rsplit("_", 1)[0], numbers, keys))
    return found


def _swept(read: Tables) -> set[str]:
    """Runs that a sweep added, named after it; the others are those of the config."""
    return {run for name, found, _ in _sweeps(read) for run in found["run"] if run.startswith(f"{name}_")}


def ratios(read: Tables) -> str:
    """Ratio of the condition numbers of both parts at the last checkpoint, and its range over all that learned."""
    found, rows = read("condition_ratios"), []
    runs = list(found["run"].unique())
    for (matrix, definition), group in found.groupby(["matrix", "definition"], sort=False):
        cells = dict.fromkeys(runs, "-")
        for name, run in group.groupby("run", sort=False):
            last, later = run.loc[run["step [1]"].idxmax()], run[run["step [1]"] > 0]["ratio [1]"]
            ends = f"{number(last['ratio, low [1]'])} to {number(last['ratio, high [1]'])}"
            cells[name] = f"{number(last['ratio [1]'])} ({ends}); {span(later)}"
        rows.append([matrix.replace("_", "-"), definition, *cells.values()])
    return table(rows, ["matrix", "definition", *(f"`{run}`" for run in runs)])


def course(read: Tables) -> str:
    """The ratio by κ_E90 of the Hessian at every checkpoint."""
    found = read("condition_ratios")
    found = found[(found["definition"] == "κ_E90") & (found["matrix"] == "hessian")]
    rows = [
        [
            f"`{row['run']}`",
            f"{row['step [1]']:,}",
            *(number(row[f"{name} [1]"]) for name in ("twirled prediction error", "equivariance error", "ratio")),
            f"{number(row['ratio, low [1]'])} to {number(row['ratio, high [1]'])}",
        ]
        for _, row in found.iterrows()
    ]
    return table(rows, ["run", "update", "twirled prediction error", "equivariance error", "ratio", "95 %"])


def landscapes(read: Tables) -> str:
    """Roughness of both parts on common and on independent draws, over seeds."""
    rows = []
    for (run, part, draws), some in read("landscapes").groupby(["run", "part", "draws"], sort=False):
        smooth = [span(some[c]) for c in ("R² of a quadratic fit [1]", "correlation of neighbours [1]")]
        rows.append([f"`{run}`", part, draws, *smooth])
    return table(rows, ["run", "part", "draws", "R² of a quadratic fit", "correlation of neighbours"])


def objectives(read: Tables) -> str:
    """Every objective on every task at the end of its training, over seeds, in the order of the loss."""
    rows = []
    for task, words in TASKS.items():
        for name in read.names("objectives_"):
            if name.endswith(f"_{task}_ends"):
                rows += [[words, *_objective(row)] for _, row in read(name).sort_values("held-out loss [1]").iterrows()]
    head = ["task", "objective", "seeds", "TFLOP", "held-out loss", "loss over that of `augment`", "equivariance error"]
    return table(rows, [*head, "loss averaged over 4 rotations", "over 4 frames"])


def _objective(row: pd.Series) -> list[str]:
    averaged = ("loss with 4 independent rotations at test time [1]", "loss with four frames [1]")
    return [
        str(row["objective"]),
        f"{row['seeds [1]']}",
        number(row["FLOPs of training [TFLOP]"]),
        _with_ends(row, "held-out loss"),
        _with_ends(row, "loss over that of augmentation"),
        number(row["equivariance error in percent of the loss [%]"]) + " %",
        *("-" if pd.isna(row[name]) else number(row[name]) for name in averaged),
    ]


def _with_ends(row: pd.Series, name: str) -> str:
    """A number and its interval; a dash where there is none."""
    value, low, high = (row[f"{name}{end} [1]"] for end in ("", ", from", ", to"))
    if pd.isna(value):
        return "-"
    return number(value) if pd.isna(low) or low == high else f"{number(value)} ({number(low)} to {number(high)})"


def laws(read: Tables) -> str:
    """Exponents of every family, or why there is none."""
    rows = [
        [
            str(row["network and objective"]),
            str(row["in"]),
            str(row["quantity"]),
            f"{row['runs']}",
            number(row["octaves [1]"]),
            _with_ends(row, "exponent"),
            "" if pd.isna(row["no exponent because"]) else str(row["no exponent because"]),
        ]
        for _, row in read("scaling_laws").iterrows()
    ]
    return table(
        rows, ["network and objective", "in", "of", "runs", "octaves", "exponent (95 % within)", "none because"]
    )


def pairs(read: Tables) -> str:
    """Learned against built-in symmetry: difference of exponents, ratios of losses at both ends."""
    names = (
        "exponent, learned less built in",
        "loss at the start, learned over built in",
        "loss at the end, learned over built in",
    )
    rows = [
        [str(row["in"]), str(row["built in"]), *(_with_ends(row, n) for n in names)]
        for _, row in read("scaling_pairs").iterrows()
    ]
    return table(rows, ["in", "built in", *names])


def features(read: Tables) -> str:
    """Steerability of every feature at the first and the last checkpoint of each training."""
    rows = []
    for (run, _), found in read("layers").groupby(["run", "seed"], sort=False):
        for step in dict.fromkeys((found["step [1]"].min(), found["step [1]"].max())):
            for _, row in found[found["step [1]"] == step].iterrows():
                copies = [f"{row[f'copies of degree {degree} [1]']:.0f}" for degree in range(3)]
                unsteerable = f"{max(100 * row['feature_unsteerable [1]'], 0):.1f} %"
                name, rank = f"`{row['feature [1]']}`", f"{row['feature_rank [1]']:.0f}"
                rows.append(
                    [f"`{run}`", f"{step:,}", name, rank, number(row["feature_defect [1]"]), *copies, unsteerable]
                )
    head = ["run", "update", "feature", "directions", "defect", "scalars", "vectors", "of degree 2"]
    return table(rows, [*head, "unsteerable variance"])


EVERY = (features, answer, claims, runs, sweeps, ratios, course, landscapes, objectives, laws, pairs)
PARTS = {part.__name__: part for part in EVERY}
DIVISIBLE = ("claims", "sweeps")  # parts of which a page can have some


def rewritten(text: str, read: Tables) -> str:
    """The page with its tables made anew."""

    def part(place: re.Match[str]) -> str:
        only = place["only"].split(", ") if place["only"] else []
        if only and place["name"] not in DIVISIBLE:
            raise SystemExit(f"{place['name']}: expected no names behind it, got {', '.join(only)}")
        return f"{place[1]}\n{PARTS[place['name']](read, *only)}\n{place['end']}"

    return PLACE.sub(part, text)


def main() -> None:
    """Rewrite a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("report", type=Path)
    args = parser.parse_args()
    if not (args.report / "tables").is_dir():
        parser.error(f"{args.report}: expected the folder of a report, with tables/; got none")
    before = args.page.read_text(encoding="utf-8")
    unknown = sorted({place["name"] for place in PLACE.finditer(before)} - set(PARTS))
    if unknown:
        parser.error(f"{args.page}: no such parts: {', '.join(unknown)} (known: {', '.join(PARTS)})")
    text = rewritten(before, Tables(args.report))
    for path in FIGURE.findall(text):
        own = args.page.parent / path
        if own.parent.name == args.page.stem:
            own.parent.mkdir(exist_ok=True)
            shutil.copyfile(args.report / "figures" / own.name, own)
    whole = args.page.with_suffix(".part")
    whole.write_text(text, encoding="utf-8")
    os.replace(whole, args.page)


if __name__ == "__main__":
    main()
