"""Python without the packages that given extras of the project would install: a fresh environment, in seconds."""

import functools
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

HIDE = """
import sys
from importlib.machinery import PathFinder

HIDDEN = set({hidden!r})


class Visible(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Visible
"""


def normal(name):
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(*extras):
    """What pyproject.toml asks for: the core, and these extras with those that they name."""
    found = [Requirement(text) for text in PROJECT["dependencies"]]
    todo, seen = list(extras), set()
    while todo:
        if (extra := todo.pop()) in seen:
            continue
        seen.add(extra)
        for text in PROJECT["optional-dependencies"][extra]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["name"]:
                todo += requirement.extras
            else:
                found.append(requirement)
    return found


@functools.cache
def installed_with(*extras):
    """Distributions that an installation of the project with these extras brings, directly or not."""
    found, todo = set(), [(r.name, frozenset(r.extras)) for r in requirements(*extras)]
    while todo:
        name, wanted = todo.pop()
        if (normal(name), wanted) in found:
            continue
        found.add((normal(name), wanted))
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, texts):
            markers = [{"extra": extra} for extra in wanted or {""}]
            if requirement.marker is None or any(requirement.marker.evaluate(m) for m in markers):
                todo.append((requirement.name, frozenset(requirement.extras)))
    return {name for name, _ in found}


@functools.cache
def hidden_without(*extras):
    """Importable names that an environment with the core and these extras would lack."""
    visible = installed_with(*extras) | {PROJECT["name"]}
    owners = metadata.packages_distributions()
    return sorted(name for name, of in owners.items() if not visible & {normal(o) for o in of})


def run(code, *extras, cwd=None):
    """The output of code in an environment with the core and these extras only."""
    program = HIDE.format(hidden=hidden_without(*extras)) + code
    path = {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=cwd, env=path, timeout=300
    )
