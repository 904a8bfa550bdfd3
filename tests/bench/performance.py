"""The page of performance: every table of `make bench`, each from its own script, written whole or not at all.

    python tests/bench/performance.py --results results --out docs/performance.md [--quick] [--only bench_twirl ...]

A script in `SCRIPTS` has one function, `section(given)`, and prints the same tables when it is run alone. What a table
must not exceed is said there; a table that exceeds it is written, and the command then ends with status 1. With
`--only` the other sections of the page stay as they are, each with the machine and the day of its own run.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "kit"), str(HERE.parents[1] / "workflow")]

import torch
from timing import machine

from twirlscope.errors import UserError
from twirlscope.runtime import memory
from twirlscope.runtime.atomic import write_whole

SCRIPTS = [
    "bench_peers",
    "bench_twirl",
    "bench_hessian",
    "bench_scaling",
    "bench_loop",
    "bench_stages",
    "bench_steps",
    "bench_reading",
    "bench_workflow",
    "gpu.card",
]
HEAD = """# Performance

Written by `make bench` (`tests/bench/performance.py`) after a default run. Every section names its script, its machine
and its day.

Times are CPU seconds of one thread, unless a table says otherwise, since other programs ran at the same time. All sides
of a comparison alternate within a process. A ratio is the median over rounds of the ratio within a round, with the
interval that holds the true median in at least 95 % of cases; of fewer than 6 rounds it is the whole range.
"""
KEPT = "freed memory kept"  # by the process, see `memory.keep_freed`
PLACE = re.compile(
    r"^## .*\n\n`(?P<script>[^`]+)`[^\0]*?(?=^## |^Not run for this page|\Z)", re.MULTILINE
)  # of a section


@dataclass(frozen=True)
class Given:
    """Choices for all sections.

    results: the results of a default run.
    environments: folder with one environment per package, `envs/external/`.
    quick: few rounds of small problems, to try the scripts; the numbers mean little.
    """

    results: Path = Path("results")
    environments: Path = Path("environments")
    quick: bool = False

    def rounds(self, count: int) -> int:
        """Number of rounds."""
        return 2 if self.quick else count


@dataclass(frozen=True)
class Section:
    """Tables of one script as Markdown, under one heading.

    exceeded: limits that the numbers exceed, in words.
    """

    title: str
    text: str
    exceeded: list[str] = field(default_factory=list)

    def markdown(self, script: str) -> str:
        """The heading, the name of the script, the machine, and the tables."""
        return f"## {self.title}\n\n`{script}`, {machine()}, {KEPT}\n\n{self.text.strip()}\n"


def made(name: str, given: Given) -> Section:
    """The section of a script, printed as it is found."""
    _as_a_job()
    found = importlib.import_module(name).section(given)
    print(found.markdown(path_of(name)), flush=True)
    return found


def _as_a_job() -> None:
    """One thread, and freed memory that stays with the process, for all sides of a comparison."""
    torch.set_num_threads(1)
    memory.keep_freed()


def path_of(name: str) -> str:
    """Path of a script in the project."""
    return f"tests/bench/{name.replace('.', '/')}.py"


def page(names: Sequence[str], given: Given, before: str = "") -> tuple[str, list[str]]:
    """The page, and the limits that its numbers exceed.

    Args:
        before: the page as it is; its sections of other scripts are kept.
    """
    found = {name: made(name, given) for name in SCRIPTS if name in names}
    sections = {place["script"]: place[0].strip() + "\n" for place in PLACE.finditer(before)}
    sections |= {path_of(name): section.markdown(path_of(name)) for name, section in found.items()}
    paths = [path_of(name) for name in SCRIPTS]
    left_out = ", ".join(f"`{path}`" for path in paths if path not in sections)
    parts = [HEAD, *(sections[path] for path in paths if path in sections)]
    parts += [f"Not run for this page: {left_out}.\n"] if left_out else []
    return "\n".join(parts), [words for section in found.values() for words in section.exceeded]


def alone(section: Callable[[Given], Section], script: str) -> int:
    """Print the section of one script that was run by itself; 1 if a limit is exceeded."""
    given = arguments().parse_args()
    _as_a_job()
    found = section(given_of(given))
    print(found.markdown(f"tests/bench/{Path(script).name}"))
    return _verdict([] if given.quick else found.exceeded)


def arguments() -> argparse.ArgumentParser:
    """Arguments that all scripts have."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, default=Path("results"), help="results of a default run")
    parser.add_argument("--environments", type=Path, default=Path("environments"), help="one for each other package")
    parser.add_argument("--quick", action="store_true", help="few rounds of small problems")
    return parser


def given_of(given: argparse.Namespace) -> Given:
    """The choices of a command."""
    return Given(given.results, given.environments, given.quick)


def _verdict(exceeded: list[str]) -> int:
    for words in exceeded:
        print(f"LIMIT exceeded: {words}", file=sys.stderr)
    return int(bool(exceeded))


def main() -> int:
    """Write the page; 1 if a number exceeds its limit or a section could not be made."""
    parser = arguments()
    parser.add_argument("--out", type=Path, default=None, help="page to write; none is only printed")
    parser.add_argument("--only", nargs="*", default=SCRIPTS, choices=SCRIPTS)
    given = parser.parse_args()
    try:
        before = given.out.read_text(encoding="utf-8") if given.out and given.out.exists() else ""
        text, exceeded = page(given.only, given_of(given), before)
        if given.out:
            write_whole(given.out, lambda path: path.write_text(text, encoding="utf-8"))
    except UserError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    return _verdict([] if given.quick else exceeded)


if __name__ == "__main__":
    sys.exit(main())
