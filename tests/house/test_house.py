"""The shape of the house, as tests: floors, sizes, names, declared things that are used."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twirlscope import document, plugins
from twirlscope.settings.base import Settings
from twirlscope.settings.config import Config, RunSettings
from twirlscope.settings.sweep import SweepSettings
from twirlscope.settings.train import TrainSettings
from twirlscope.variables import VARIABLES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "twirlscope"
MODULES = sorted(PACKAGE.rglob("*.py"))
SMK = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]

# imports only point down; a module may import its own floor's neighbours only where the floor is marked
FLOORS = [
    set(names.split())
    for names in (
        "hints errors heartbeat provenance reach energy",
        """so3 octahedral rotation_sets action grid_action voxels peaks eigenvalues lanczos condition losses layers
        variables settings neighbours elements conservative cells stress arithmetic
        declarations""",
        "store joined ragged contracts",
        """datasets models tasks plugins frames molecules rejects resume checkpoints shares trainings
        twirling estimators spectrum tails lie panel panel_octahedral heldout looks test_sets refusals averaging
        curvature operators suspects certificate gradients hessian_spectra
        backbones sequences backbone_states annealing pair_layers neighbour_attention tensor_layers steerable_layers
        matching sampling cost frame_averaging crossover degrees bulk batches passes distributed optimisers nearest""",
        "prepare train twirl gradient hessian",
        """style charts methods exported findings headline_tables story sections page translation attribution
        comparisons quoted figures figures_training figures_spectrum figures_density figures_hessian figures_plan
        figures_reflection figures_fields figures_gradient figures_gradient_direction figures_gradient_layers
        figures_condition
        figures_eigenvalues figures_sets figures_backbones figures_covariate figures_learning learning excess
        frontier figures_frontier cost_table
        price serving verdict figures_price figures_degrees degree_use
        claims evidence paper figures_sweeps figures_parameters files""",
        "report",
        "sweeps",
        "plan document overhead",
    )
]
MODULE, FUNCTION, RULE, SCRIPT = 300, 40, 30, 25


def floor_of(module: str) -> int:
    found = [i for i, names in enumerate(FLOORS) if module in names]
    assert found, f"{module} has no floor: add it to FLOORS in {Path(__file__).name}"
    return found[0]


def room(path: Path) -> str:
    """The module, or the folder, that stands on a floor."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Rooms of the package that a file imports, outside of TYPE_CHECKING."""
    tree, found = ast.parse(path.read_text()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    depth = len(path.relative_to(PACKAGE).parts) - 1
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            up = node.level - 1
            if up < depth:
                continue  # a neighbour in the same folder
            found |= {node.module.split(".")[0]} if node.module else {n.name for n in node.names}
    return found


@pytest.mark.parametrize("path", [m for m in MODULES if m.name != "__init__.py"], ids=lambda p: p.stem)
def test_imports__only_point_down(path):
    here = floor_of(room(path))
    wrong = sorted(name for name in imported(path) if floor_of(name) > here)
    assert not wrong, f"{path.name} (floor {here}) imports {wrong} from above"


def test_stages__never_import_each_other():
    stages = FLOORS[4]
    for stage in stages & {room(m) for m in MODULES}:
        assert not imported(PACKAGE / f"{stage}.py") & stages


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_sizes__of_modules_and_functions(path):
    text = path.read_text()
    if "longer because" in text.split("\n", 1)[0]:
        return
    assert text.count("\n") <= MODULE, f"{path.name}: {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= FUNCTION, f"{path.name}:{node.lineno} {node.name}: {lines} lines"


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
    for stage in sorted(FLOORS[4] | {"report"}):
        for path in (
            f"rules/{stage}.smk",
            f"scripts/{stage}.py",
            f"twirlscope/{stage}.py",
            f"twirlscope/settings/{stage}.py",
        ):
            assert (ROOT / "workflow" / path).exists(), path
        assert (ROOT / "tests" / "unit" / f"test_{stage}.py").exists()


def test_names__use_underscores_only():
    wrong = [p for folder in ("workflow", "tests") for p in (ROOT / folder).rglob("*.py") if "-" in p.name]
    assert not wrong


def test_generated_files__agree_with_the_settings_classes():
    stale = [p.name for p, text in document.wanted().items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    assert not stale, "run `python -m twirlscope.document --fix`"


def leaves(schema, path=""):
    for name, leaf in schema.get("properties", {}).items():
        yield f"{path}{name}", leaf
        yield from leaves(leaf, f"{path}{name}.")


def test_schema__is_flat_and_describes_every_key():
    text = json.dumps(document.schema())
    assert "$ref" not in text
    assert "anyOf" not in text
    for path, leaf in leaves(document.schema()):
        assert leaf.get("description"), f"{path} has no description"
        assert "type" in leaf, f"{path} has no type"


def all_settings() -> dict[str, type[Settings]]:
    found = {n: Config.model_fields[n].annotation for n in ("twirl", "gradient", "hessian", "report")}
    found |= {"config": Config, "run": RunSettings, "train": TrainSettings, "sweep": SweepSettings}
    found |= {f"{k}.{n}": plugins.find(k, n).Settings for k in plugins.BASES for n in plugins.known(k)}
    return found


def read_names() -> set[str]:
    """Every attribute and string that the code of the package reads, outside of the declarations."""
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "variables.py":
                found |= set(re.findall(r"\w+", node.value)) if len(node.value) < 60 else set()
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
    return found


@pytest.mark.parametrize("name", sorted(all_settings()))
def test_settings__have_no_key_that_no_code_reads(name):
    unread = set(all_settings()[name].model_fields) - read_names()
    assert not unread, f"{name}: {sorted(unread)}"


def test_variables__are_all_written_by_something():
    text = "\n".join(p.read_text() for p in MODULES if p.name != "variables.py")
    stems = {n: re.sub("^(sample_|o3_|convex_)+|_(low|high|error)$", "", n) for n in VARIABLES}
    assert not [n for n, stem in stems.items() if stem not in text]
    for name, variable in VARIABLES.items():
        assert variable.unit, name
        assert variable.meaning, name


def test_environments__pin_what_the_constraints_pin():
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "envs" / "constraints.txt").read_text(), re.MULTILINE))
    for path in (ROOT / "envs").glob("*.yaml"):
        found = dict(re.findall(r"^\s+- ([\w-]+)==(\S+)$", path.read_text(), re.MULTILINE))
        assert found, path.name
        assert {k: v for k, v in found.items() if pins.get(k) != v} == {}, path.name


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
