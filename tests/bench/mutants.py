"""Kill rate of the tests of central modules: the share of small changes of the code that some test notices.

Every module is changed in a copy of the repository, one place at a time, and its own narrow tests run on each change. A
change that no test notices is a survivor: either a test is missing, or the change makes no difference. Results go to a
page, on which those of modules that did not run now stay.

Run: python tests/bench/mutants.py [loss_split condition_numbers ...] [--jobs 2] [--sample 60] [--out docs/mutants.md]
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = "twirlscope"
CLAIMS, PRICE = "report/sections/claims", "report/sections/price"
MODULES = {  # module of the package -> its tests below tests/unit
    "estimators/bootstrap.py": ["estimators/test_bootstrap.py"],
    "estimators/curvature/condition_numbers.py": ["estimators/curvature/test_condition_numbers.py"],
    "estimators/degree_spectrum.py": ["estimators/test_degree_spectrum.py"],
    "estimators/curvature/eigenvalues.py": ["estimators/curvature/test_eigenvalues.py"],
    "estimators/gradient_statistics.py": ["estimators/test_gradient_statistics.py"],
    "estimators/heavy_tails.py": ["estimators/test_heavy_tails.py"],
    "estimators/loss_split.py": ["estimators/test_loss_split.py"],
    "estimators/over_seeds.py": ["estimators/test_over_seeds.py"],
    "estimators/power_laws.py": ["estimators/test_power_laws.py"],
    "estimators/simultaneous.py": ["estimators/test_simultaneous.py"],
    "estimators/trajectories.py": ["estimators/test_trajectories.py"],
    f"{CLAIMS}/evidence.py": [f"{CLAIMS}/test_{name}.py" for name in ("evidence", "judge", "paper", "percentages")],
    f"{CLAIMS}/judge.py": [f"{CLAIMS}/test_judge.py", f"{CLAIMS}/test_paper.py"],
    f"{PRICE}/crossover.py": [f"{PRICE}/test_crossover.py"],
}
SLOW = {  # module -> pytest expression that leaves out its long tests
    "estimators/curvature/condition_numbers.py": "not test_spectra and not holds_for_at_most "
    "and not standard_quadrature and not of_other_samples and not seeds",
    "estimators/loss_split.py": "not covers_the_truth and not removes_the_bias",
    "estimators/simultaneous.py": "not holds_for_the_largest",
    "estimators/trajectories.py": "not covers_the_truth and not rarely_positive and not flattened",
    "estimators/gradient_statistics.py": "not how_much_estimates_scatter and not unbiased",
    "estimators/heavy_tails.py": "not covers_the_mean and not where_the_interval_misses",
    "estimators/curvature/eigenvalues.py": "not more_copies and not far_better",
    "estimators/degree_spectrum.py": "not biased and not less_variance and not predicts_the_residual and not panel "
    "and not traces_of and not less_noise",
    "estimators/bootstrap.py": "not covers_the and not made_by_hand",
    "estimators/power_laws.py": "not in_95_of_100 and not of_the_lowest_losses",
    f"{PRICE}/crossover.py": "not cover_the_true and not welch",
}
CONFIG = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/{package}/{module}"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-W", "ignore", "-k", "{chosen}"]

[tool.pytest.ini_options]
pythonpath = ["src", "tests", "tests/kit"]
addopts = "-q --import-mode=importlib"
"""


def prepared(folder: Path, module: str) -> None:
    """A copy of package and tests, configured to change one module and to run its tests."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "workflow" / PACKAGE, folder / "src" / PACKAGE, ignore=ignored)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    tests = [f"tests/unit/{path}" for path in MODULES[module]]
    text = CONFIG.format(package=PACKAGE, module=module, tests=tests, chosen=SLOW.get(module, ""))
    (folder / "pyproject.toml").write_text(text.replace("'", '"'), encoding="utf-8")


def outcomes(folder: Path, module: str, jobs: int, sample: int = 0) -> tuple[dict[str, str], int]:
    """The outcome of every change: killed, survived, timeout, ..., by its name; and the number of possible changes.

    Args:
        sample: number of changes to try, drawn at random; 0 for all.

    Raises:
        RuntimeError: the tests fail without any change, or mutmut does.
    """
    prepared(folder, module)
    if sample:
        mutmut(folder, "run", "none of them")  # ends with an error, once it has made the changes and timed the tests
    possible = listed(folder)
    chosen = random.Random(0).sample(sorted(possible), min(sample, len(possible)))
    run = mutmut(folder, "run", "--max-children", str(jobs), *chosen)
    found = listed(folder)
    tried = {name: word for name, word in found.items() if not chosen or name in chosen}
    if not tried or "not checked" in tried.values():
        raise RuntimeError(f"{module}: {run.stdout[-3000:]}{run.stderr[-2000:]}")
    return tried, len(found)


def mutmut(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """mutmut in a folder that is prepared."""
    where = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=folder, env=where, capture_output=True, text=True)


def listed(folder: Path) -> dict[str, str]:
    """The outcome of every change by its name, `not checked` before it is tried; empty before there are any."""
    lines = mutmut(folder, "results", "--all", "true").stdout.splitlines()
    return dict(line.strip().rsplit(": ", 1) for line in lines if ": " in line)


def function(name: str) -> str:
    """The function that a change of this name is in, `Class.method` of a method."""
    return re.sub(r"^x_|^xǁ", "", name.rpartition(".")[2].partition("__mutmut")[0]).replace("ǁ", ".")


def difference(folder: Path, name: str) -> str:
    """The change of this name: the old and the new code on one line."""
    shown = mutmut(folder, "show", name).stdout
    lines = [line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return f"`{old}` → `{new}`"


class Result(NamedTuple):
    """Numbers of changes of one module tried, killed and possible, the day, and a line for each survivor."""

    day: str
    tried: int
    killed: int
    possible: int
    survivors: list[str]


def measured(module: str, jobs: int, sample: int = 0) -> Result:
    """The result for one module; a change that makes its tests run for too long is killed, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, possible = outcomes(folder, module, jobs, sample)
        left = sorted(change for change, word in found.items() if word not in ("killed", "timeout"))
        lines = [
            f"{n.rpartition('.')[2].split('__mutmut')[0].removeprefix('x_')}: {difference(folder, n)}" for n in left
        ]
    return Result(datetime.date.today().isoformat(), len(found), len(found) - len(left), possible, lines)


HEAD = """# Mutants

Share of small changes of the central modules that their own tests notice. Written by `make mutants`
(`tests/bench/mutants.py`), which changes one place at a time. A survivor is a change that no test noticed: many make no
difference, such as another value of an argument that NumPy ignores. With `--sample` so many changes of a module are
drawn at random, and the share has an error of up to 0.4 divided by the square root of their number.

| module | mutants | killed | share | measured |
| --- | --- | --- | --- | --- |
"""
DRAWN = " drawn of "


def page(results: dict[str, Result]) -> str:
    """The table of all modules, and the survivors of each."""
    text = HEAD
    for module, one in results.items():
        share = f"{100 * one.killed / one.tried:.0f} %"
        tried = f"{one.tried}{DRAWN}{one.possible}" if one.possible > one.tried else f"{one.tried}"
        text += f"| {module} | {tried} | {one.killed} | {share} | {one.day} |\n"
    for module, one in results.items():
        text += f"\n## {module}\n\n" + "".join(f"- {line}\n" for line in one.survivors or ["no survivors"])
    return text


def read(text: str) -> dict[str, Result]:
    """The results on a page."""
    found = {}
    row = rf"^\| (\S+\.py) \| (\d+)(?:{DRAWN}(\d+))? \| (\d+) \| .* \| (\S+) \|$"
    for module, tried, possible, killed, day in re.findall(row, text, re.M):
        lines = text.partition(f"\n## {module}\n\n")[2].partition("\n## ")[0].splitlines()
        lines = [line.removeprefix("- ") for line in lines if line and line != "- no survivors"]
        found[module] = Result(day, int(tried), int(killed), int(possible or tried), lines)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stems = {Path(module).stem: module for module in MODULES}
    parser.add_argument("modules", nargs="*", default=list(stems), help=", ".join(stems))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sample", type=int, default=0, help="changes of a module to try, at random; 0 for all")
    parser.add_argument("--out", type=Path, default=None, help="page that the results are written to")
    given = parser.parse_args()
    for stem in given.modules:
        one = measured(stems[stem], given.jobs, given.sample)
        print(f"{stem}: {one.killed} of {one.tried} killed, {100 * one.killed / one.tried:.0f} %", flush=True)
        print("".join(f"  {line}\n" for line in one.survivors), end="", flush=True)
        if given.out:
            old = read(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
            results = old | {stems[stem]: one}
            given.out.write_text(page({m: results[m] for m in MODULES if m in results}), encoding="utf-8")


if __name__ == "__main__":
    main()
