"""The core packages suffice for the library; what needs an extra names it, where it is missing."""

import ast
import functools
import json
import re
import resource
import subprocess
import sys
from importlib import metadata
from json.decoder import JSONDecoder
from pathlib import Path

import bare_environment
import pytest
from bare_environment import ROOT, installed_with, normal, requirements

from twirlscope.errors import Deferred, UserError, needs

PACKAGE = ROOT / "workflow" / "twirlscope"
# run by the Python of other environments
ELSEWHERE = [
    PACKAGE / "external" / "worker.py",
    *(PACKAGE / "external" / "adapters").glob("*.py"),
]  # in other environments
MODULES = sorted(set(PACKAGE.rglob("*.py")) - set(ELSEWHERE))
CORE = {normal(r.name) for r in requirements()}
EXTRAS = ("workflow", "chemistry", "equivariant")
OF_EXTRA = {normal(r.name): extra for extra in EXTRAS for r in requirements(extra) if normal(r.name) not in CORE}
OWNERS = metadata.packages_distributions()

EVERY_NAME = """
import twirlscope
for name in twirlscope.__all__:
    if name != "twirl_calculator":
        assert getattr(twirlscope, name) is not None
"""
MISSING = {
    "e3nn": ("equivariant", "twirlscope.smallest(2); from twirlscope.geometry import action; action._parse('2e')"),
    "ase": ("chemistry", "from twirlscope.datasets.molecular import xyz_records; xyz_records._atomic_numbers()"),
    "rdkit": ("chemistry", "from twirlscope.datasets.molecular import smiles; smiles.parse_smiles('C')"),
    "a calculator": ("chemistry", "twirlscope.twirl_calculator"),
    "matplotlib": ("workflow", "from twirlscope.stages import report"),
}
ONE_BY_ONE = """
import json, traceback, twirlscope
said = {{}}
for name, code in {codes!r}.items():
    try:
        exec(code, {{"twirlscope": twirlscope}})
    except Exception as error:
        said[name] = traceback.format_exception_only(error)[-1]
print(json.dumps(said))
"""


def imports(path):
    """Imported distribution, and the extra named by the `with needs(...)` around it, for every import of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    around = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and getattr(node.items[0].context_expr, "func", None) is not None:
            call = node.items[0].context_expr
            if getattr(call.func, "id", "") == "needs":
                around |= dict.fromkeys(map(id, ast.walk(node)), call.args[0].value)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            around |= dict.fromkeys(map(id, ast.walk(node)), "types")
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Deferred":
            names.append(node.args[0].value)
        for top in {n.partition(".")[0] for n in names} - {"twirlscope", "__future__"} - set(sys.stdlib_module_names):
            yield normal(OWNERS.get(top, [top])[0]), around.get(id(node))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_modules__import_core_packages_or_name_the_extra(path):
    if path.is_relative_to(PACKAGE / "report"):  # stage `report` imports this room under the extra `workflow`
        assert {name for name, _ in imports(path)} <= CORE | set(OF_EXTRA)
        return
    wrong = [(name, extra) for name, extra in imports(path) if extra != "types" and OF_EXTRA.get(name) != extra]
    assert {name for name, _ in wrong} <= CORE, wrong


def test_public_names__are_imported_with_the_core_packages_alone():
    done = bare_environment.run(EVERY_NAME)
    assert not done.returncode, done.stderr


def test_readme__library_examples_run_with_the_core_packages_alone(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "predict" in b]
    assert len(examples) == 2
    done = bare_environment.run("\n".join(examples), cwd=tmp_path)
    assert not done.returncode, done.stderr
    assert float(done.stdout) == pytest.approx(0.01 / 3, rel=0.15)


@functools.cache
def missing_packages():
    """The error of every use of a missing package, of one process with the core packages alone."""
    done = bare_environment.run(ONE_BY_ONE.format(codes={name: code for name, (_, code) in MISSING.items()}))
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", MISSING)
def test_missing_package__is_an_error_that_names_extra_and_command(what):
    extra, said = MISSING[what][0], missing_packages()[what]
    assert re.search(rf"UserError: \w+: .* extra '{extra}' \(pip install 'twirlscope\[{extra}\]'\)", said), said


def test_snakemake_report__imports_only_what_make_run_installs():
    import snakemake.report

    wanted = set()
    for path in Path(snakemake.report.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            wanted |= {n.partition(".")[0] for n in names} - set(sys.stdlib_module_names)
    assert "pygments" in wanted
    brought = installed_with("all")
    assert not {top for top in wanted if not {normal(o) for o in OWNERS.get(top, [top])} & brought}


def seconds(*arguments):
    """CPU time of Python with these arguments [s]; the smallest of three, over that of an empty program."""
    taken = []
    for what in (["-c", ""], list(arguments)):
        times = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *what], check=True, cwd=ROOT / "workflow", capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        taken.append(min(times))
    return taken[1] - taken[0]


def test_import__takes_less_than_a_fifth_of_a_second():
    assert seconds("-c", "import twirlscope") < 0.2


@pytest.mark.skipif(not (PACKAGE / "__main__.py").exists(), reason="the package has no commands")
def test_help_of_the_commands__takes_less_than_a_second():
    assert seconds("-m", "twirlscope", "--help") < 1


SLOW_IMPORTS = {
    "a plan of the default config": "import yaml; from twirlscope.planning.plan import Plan; "
    f"plan = Plan(yaml.safe_load(open({str(ROOT / 'config' / 'config.yaml')!r}))); plan.train('equivariant', 0)",
    "stages that compile nothing": "from twirlscope.stages import gradient, hessian, train, twirl",
}


@pytest.mark.parametrize("name", SLOW_IMPORTS)
def test_imports__that_are_slow_are_left_to_those_who_use_them(name):
    slow = ("e3nn", "torch._dynamo", "scipy")
    program = f"import sys; {SLOW_IMPORTS[name]}; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    assert done.stdout.strip() == "[]"


def test_deferred__module_that_is_not_installed_is_named_at_once():
    with pytest.raises(UserError, match=r"twirlscope\[equivariant\]"), needs("equivariant"):
        Deferred("no_such_package.part")
    assert Deferred("json.decoder").JSONDecoder is JSONDecoder
