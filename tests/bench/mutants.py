"""Kill rate of the tests of central modules: the share of small changes of the code that some test notices.

Every module is changed in a copy of the repository, one place at a time, and its own narrow tests run on each change. A
change that no test notices is a survivor: either a test is missing, or the change makes no difference.

Run: python tests/bench/mutants.py [loss_split condition_numbers ...] [--jobs 2] [--show]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "twirlscope"
CLAIMS, PRICE = "report/sections/claims", "report/sections/price"
MODULES = {  # module of the package -> its tests below tests/unit
    "estimators/bootstrap.py": ["estimators/test_bootstrap.py", "estimators/test_loss_split.py"],
    "estimators/condition_numbers.py": ["estimators/test_condition_numbers.py"],
    "estimators/degree_spectrum.py": ["estimators/test_degree_spectrum.py"],
    "estimators/eigenvalues.py": ["estimators/test_eigenvalues.py"],
    "estimators/gradient_statistics.py": ["estimators/test_gradient_statistics.py"],
    "estimators/heavy_tails.py": ["estimators/test_heavy_tails.py"],
    "estimators/loss_split.py": ["estimators/test_loss_split.py"],
    "estimators/simultaneous.py": ["estimators/test_simultaneous.py"],
    "estimators/trajectories.py": ["estimators/test_trajectories.py"],
    f"{CLAIMS}/evidence.py": [f"{CLAIMS}/test_evidence.py", f"{CLAIMS}/test_judge.py"],
    f"{CLAIMS}/judge.py": [f"{CLAIMS}/test_judge.py", f"{CLAIMS}/test_paper.py"],
    f"{PRICE}/crossover.py": [f"{PRICE}/test_crossover.py"],
}
SLOW = {  # module -> pytest expression that leaves out its long tests
    "estimators/condition_numbers.py": "not test_spectra and not holds_for_at_most and not standard_quadrature "
    "and not of_other_samples and not seeds",
    "estimators/loss_split.py": "not covers_the_truth and not removes_the_bias",
    "estimators/trajectories.py": "not covers_the_truth",
    "estimators/gradient_statistics.py": "not how_much_estimates_scatter",
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


def outcomes(folder: Path, module: str, jobs: int) -> dict[str, str]:
    """The outcome of every change: killed, survived, timeout, ..., by its name.

    Raises:
        RuntimeError: the tests fail without any change, or mutmut does.
    """
    prepared(folder, module)
    where = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "mutmut"]
    run = subprocess.run(
        [*command, "run", "--max-children", str(jobs)], cwd=folder, env=where, capture_output=True, text=True
    )
    listed = subprocess.run(
        [*command, "results", "--all", "true"], cwd=folder, env=where, capture_output=True, text=True
    )
    found = dict(line.strip().rsplit(": ", 1) for line in listed.stdout.splitlines() if ": " in line)
    if not found or "not checked" in found.values():
        raise RuntimeError(f"{module}: {run.stdout[-3000:]}{run.stderr[-2000:]}")
    return found


def difference(folder: Path, name: str) -> str:
    """The change of this name, as a diff."""
    shown = subprocess.run([sys.executable, "-m", "mutmut", "show", name], cwd=folder, capture_output=True, text=True)
    return "\n".join(line for line in shown.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stems = {Path(module).stem: module for module in MODULES}
    parser.add_argument("modules", nargs="*", default=list(stems), help=", ".join(stems))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print the changes that survived")
    given = parser.parse_args()
    for stem in given.modules:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = outcomes(folder, stems[stem], given.jobs)
            count = Counter(found.values())
            killed = count["killed"] + count["timeout"]
            rest = ", ".join(f"{n} {word}" for word, n in count.items() if word != "killed")
            print(f"{stem}: {killed} of {len(found)} killed, {100 * killed / len(found):.0f} % ({rest})", flush=True)
            for change in sorted(n for n, word in found.items() if word != "killed") if given.show else []:
                print(f"  {change}: {found[change]}\n{difference(folder, change)}")


if __name__ == "__main__":
    main()
