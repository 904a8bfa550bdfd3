"""The shape of the house, as tests: rooms, sizes, names, declared things that are used."""

import ast
import functools
import json
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from twirlscope import plugins
from twirlscope.planning import config_docs
from twirlscope.settings.base import Settings
from twirlscope.settings.experiment import Config, RunSettings
from twirlscope.settings.sweep import SweepSettings
from twirlscope.settings.train import TrainSettings
from twirlscope.storage.registry import VARIABLES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "twirlscope"
MODULES = sorted(PACKAGE.rglob("*.py"))
SMK = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]

# from above: a module imports from its own room and from rooms below it
ROOMS = [
    "command",
    "planning",
    "stages",
    "report",
    "curvature",
    "twirling",
    "training",
    "models",
    "objectives",
    "tasks",
    "datasets",
    "external",
    "storage",
    "contracts",
    "settings",
    "estimators",
    "geometry",
    "runtime",
    "base",
]
APART = {"models", "objectives", "tasks", "datasets", "twirling", "curvature"}  # these rooms do not know each other
GROUND = {"estimators", "geometry"}  # these know nothing but base
BASE = {"errors", "_typing"}  # modules beside the rooms that everybody may import; the others are contracts
STAGES = {"prepare", "train", "twirl", "gradient", "hessian", "layers", "dynamics", "report"}
MODULE, FUNCTION, RULE, SCRIPT, FOLDER, CROWD = 300, 40, 30, 25, 16, 12


def name_of(path: Path) -> str:
    """The path of a module inside the package, without its ending."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


CODE = {name_of(path): path for path in MODULES if path.name != "__init__.py"}


def room(module: str) -> str:
    """The first folder of a module, or which room the modules beside the folders are in."""
    return module.split("/")[0] if "/" in module else "base" if module in BASE else "contracts"


class Outline(NamedTuple):
    """What the tests ask about a file, of one walk over its syntax tree, which is large and not kept."""

    imports: list[ast.ImportFrom]
    docstrings: list[tuple[int, str]]  # line of a thing, first word
    functions: list[tuple[int, str, int]]  # first line, name, number of lines
    read: set[str]  # attributes, keywords and words of short strings


@functools.cache
def outline(path: Path) -> Outline:
    """The outline of a file."""
    found = Outline([], [], [], set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.read.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.parent.name != "arrays":
            found.read.update(re.findall(r"\w+", node.value) if len(node.value) < 60 else ())
        elif isinstance(node, ast.keyword) and node.arg:
            found.read.add(node.arg)
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.imports.append(node)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            found.docstrings.extend([(getattr(node, "lineno", 1), text.split()[0])] if text else ())
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.functions.append((node.lineno, node.name, node.end_lineno - node.lineno + 1))
    return found


@functools.cache
def imported(module: str) -> list[tuple[str, str]]:
    """(module, name) of every import from the package; through a room's `__init__` it has the folder as module."""
    folder, found = module.split("/")[:-1], []
    for node in outline(CODE[module]).imports:
        parts = folder[: len(folder) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            inside = "/".join([*parts, alias.name])
            found.append((inside, "") if inside in CODE else ("/".join(parts), alias.name))
    return found


@pytest.mark.parametrize("module", CODE)
def test_imports__come_from_modules_and_only_point_down(module):
    here = room(module)
    for target, name in imported(module):
        assert target in CODE, (
            f"{module} imports {name} through {target}/__init__.py, which the code hash does not follow"
        )
        there = room(target)
        if there == here:
            continue
        assert ROOMS.index(there) > ROOMS.index(here), f"{module} imports {target} from above"
        assert not {here, there} <= APART, f"{module} imports {target}: these rooms do not know each other"
        assert here not in GROUND or there == "base", f"{module} imports {target}: {here} knows nothing but base"


def test_imports__form_no_circle():
    graph = {module: {target for target, _ in imported(module)} for module in CODE}
    assert len(list(TopologicalSorter(graph).static_order())) == len(CODE)  # raises CycleError


def test_stages__never_import_each_other():
    for stage in STAGES:
        others = {f"stages/{name}" for name in STAGES}
        assert not others & {target for target, _ in imported(f"stages/{stage}")}, stage


def test_rooms__are_not_crowded():
    sizes = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in CODE.values())
    assert max(sizes.values()) <= FOLDER, sizes.most_common(3)
    mean = sum(n * n for n in sizes.values()) / sum(sizes.values())
    assert mean < CROWD, f"a module stands among {mean:.1f} in its folder, on average"
    assert {s.split("/")[0] for s in sizes} - {"."} == set(ROOMS) - {"contracts", "base"}


def test_rooms__say_in_their_init_what_they_are_and_nothing_else():
    for path in (p for p in MODULES if p.name == "__init__.py" and p.parent != PACKAGE):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, f"{path} is one docstring"
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_tests__lie_where_their_modules_lie():
    rooms = {p.parent.relative_to(PACKAGE).as_posix() for p in CODE.values()}
    for path in (ROOT / "tests" / "unit").rglob("test_*.py"):
        assert path.parent.relative_to(ROOT / "tests" / "unit").as_posix() in rooms | {"bench"}, path


def docstrings():
    """(place, first word) of every docstring of the package and the scripts."""
    for path in [*MODULES, *sorted((ROOT / "workflow" / "scripts").glob("*.py"))]:
        for line, word in outline(path).docstrings:
            yield f"{path.relative_to(ROOT)}:{line}", word


def test_docstrings__begin_with_what_a_thing_is():
    riddles = [place for place, word in docstrings() if word in {"What", "How", "Which", "That", "For", "Whether"}]
    assert not riddles


@pytest.mark.parametrize("module", CODE)
def test_sizes__of_modules_and_functions(module):
    text = CODE[module].read_text()
    if "longer because" in text.split("\n", 1)[0]:
        return
    assert text.count("\n") <= MODULE, f"{module}: {text.count(chr(10))} lines"
    for line, name, lines in outline(CODE[module]).functions:
        assert lines <= FUNCTION, f"{module}:{line} {name}: {lines} lines"


def test_sizes__of_scripts():
    for path in (ROOT / "workflow" / "scripts").glob("*.py"):
        assert path.read_text().count("\n") <= SCRIPT, path.name


def rules():
    """(file, name, text) of every rule."""
    for path in SMK:
        for match in re.finditer(r"^rule (\w+):\n((?:[ \t].*\n|\n)*)", path.read_text(), re.MULTILINE):
            yield path.name, match[1], match[2].rstrip()


@pytest.mark.parametrize(("file", "name", "text"), list(rules()), ids=lambda v: v if str(v).isidentifier() else "")
def test_rules__are_short_and_complete(file, name, text):
    if name.startswith("all"):
        return
    assert text.count("\n") <= RULE, f"{file}: rule {name}: {text.count(chr(10))} lines"
    for directive in ("log", "conda", "benchmark", "message", "threads", "params", "script"):
        assert re.search(rf"^    {directive}:", text, re.MULTILINE), f"{file}: rule {name} has no {directive}"


def test_words__of_stages_are_the_same_everywhere():
    for stage in sorted(STAGES):
        for path in (
            f"rules/{stage}.smk",
            f"scripts/{stage}.py",
            f"twirlscope/stages/{stage}.py",
            f"twirlscope/settings/{stage}.py",
        ):
            assert (ROOT / "workflow" / path).exists(), path
        assert (ROOT / "tests" / "unit" / "stages" / f"test_{stage}.py").exists()


def test_names__use_underscores_only():
    wrong = [p for folder in ("workflow", "tests") for p in (ROOT / folder).rglob("*.py") if "-" in p.name]
    assert not wrong


def test_generated_files__agree_with_the_settings_classes():
    stale = [
        p.name for p, text in config_docs.wanted().items() if not p.exists() or p.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run `python -m twirlscope.planning.config_docs --fix`"


def leaves(schema, path=""):
    for name, leaf in schema.get("properties", {}).items():
        yield f"{path}{name}", leaf
        yield from leaves(leaf, f"{path}{name}.")


def test_schema__is_flat_and_describes_every_key():
    text = json.dumps(config_docs.schema())
    assert "$ref" not in text
    assert "anyOf" not in text
    for path, leaf in leaves(config_docs.schema()):
        assert leaf.get("description"), f"{path} has no description"
        assert "type" in leaf, f"{path} has no type"


@functools.cache
def all_settings() -> dict[str, type[Settings]]:
    found = {
        n: Config.model_fields[n].annotation for n in ("twirl", "gradient", "hessian", "layers", "dynamics", "report")
    }
    found |= {"config": Config, "run": RunSettings, "train": TrainSettings, "sweep": SweepSettings}
    found |= {f"{k}.{n}": plugins.find(k, n).Settings for k in plugins.KINDS for n in plugins.known(k)}
    return found


@functools.cache
def read_names() -> set[str]:
    """Every attribute and string that the code of the package reads, outside of the declarations."""
    return set().union(*(outline(path).read for path in MODULES))


@pytest.mark.parametrize("name", sorted(all_settings()))
def test_settings__have_no_key_that_no_code_reads(name):
    unread = set(all_settings()[name].model_fields) - read_names()
    assert not unread, f"{name}: {sorted(unread)}"


def test_variables__are_all_written_by_something():
    text = "\n".join(p.read_text() for p in MODULES if p.parent.name != "arrays")
    stems = {n: re.sub("^(sample_|o3_|so3_|convex_)+|_(low|high|error)$", "", n) for n in VARIABLES}
    assert not [n for n, stem in stems.items() if stem not in text]
    for name, variable in VARIABLES.items():
        assert variable.unit, name
        assert variable.meaning, name


def test_environments__pin_what_the_constraints_pin():
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "envs" / "constraints.txt").read_text(), re.MULTILINE))
    for path in (ROOT / "envs").rglob("*.yaml"):
        found = dict(re.findall(r"^\s+- ([\w-]+)==(\S+)$", path.read_text(), re.MULTILINE))
        assert found, path.name
        free = path.parent.name == "external"  # packages that only such an environment has
        assert {k: v for k, v in found.items() if pins.get(k, v if free else "") != v} == {}, path.name


def test_container_recipe__copies_what_a_run_needs():
    text = (ROOT / "envs" / "Containerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()}
    assert copied >= {"pyproject.toml", "envs", "workflow", "Snakefile", "config", "profiles"}
    assert all((ROOT / name).exists() for name in copied)


def test_package__imports_in_an_instant_and_without_torch():
    code = "import twirlscope, sys; assert 'torch' not in sys.modules; assert 'Task' in dir(twirlscope)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow")


def test_readme__names_only_commands_and_files_that_exist():
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.MULTILINE)) <= targets
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_project__speaks_of_itself_alone():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wrong = []
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".png", ".svg", ".pdf"} or path == Path(__file__) or not path.exists():
            continue
        if re.search(r"(?<![\w.<])/(home|root|Users|work)/", path.read_text(encoding="utf-8", errors="replace")):
            wrong.append(name)
    assert not wrong, "a path of one machine stands in the tree"
