"""Hash of the code that a stage imports, directly or not: the workflow reruns a stage when this hash changes.

Snakemake sees a rule's script but not the modules that the script imports. The hash covers the syntax trees of all
files reached, without docstrings, comments, texts of messages and descriptions of keys: a change of words reruns
nothing, a change of code what uses it. A file beside a module with its name and another ending (`report.css` beside
`report.py`) belongs to it and counts as a whole.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UserError

ROOT = Path(__file__).parents[1]
APART = {ROOT / "stages" / "rehearsal.py"}  # modules that refuse or pass, and shape no number
MESSAGES = {"UserError", "Stopped", "needs", "print", "warn", "key"} | {
    n for n in vars(builtins) if n.endswith(("Error", "Warning"))
}


def code_hash(sources: Iterable[str | Path]) -> str:
    """Hash of these files and of all files that they import, directly or not.

    Args:
        sources: files, relative to the folder that holds the package, or of the user's.
    """
    digest = hashlib.sha256()
    for path in sorted(reached(map(_located, sources)), key=_label):
        code = _tree(path, path.stat().st_mtime_ns).encode() if path.suffix == ".py" else path.read_bytes()
        digest.update(_label(path).encode() + b"\0" + code + b"\0")
    return digest.hexdigest()[:16]


def source_name(path: Path) -> str:
    """A file as `code_hash` takes it, which does not change if the project or the working directory is moved."""
    path = path.resolve()
    base = next((b for b in (ROOT.parent, Path.cwd()) if path.is_relative_to(b)), None)
    return path.relative_to(base).as_posix() if base else str(path)


def _located(source: str | Path) -> Path:
    """The file of a source name."""
    own = ROOT.parent / source
    return own if own.is_file() else Path(source)


def require(expected: str, sources: Iterable[str]) -> None:
    """Refuse to run other code than a job was planned with.

    Args:
        expected: `code_hash` of the sources when the job was planned.

    Raises:
        UserError: the code of the package that was imported, or of a plug-in, is another.
    """
    got = code_hash(sources)
    if got != expected:
        raise UserError(
            ROOT,
            f"the code that this job was planned with (hash {expected})",
            f"hash {got}: edited since, or the package of another copy; start the workflow again",
        )


def reached(files: Iterable[Path]) -> set[Path]:
    """These files and those that they import, directly or not, with the files beside each under its name.

    Files of the package and of the folders of the user's plug-ins count. `__init__.py` files hold no code that acts and
    are left out, and so is the rehearsal of a training, with what it alone imports.

    Raises:
        ImportError: a relative import in the package that names no module of it.
    """
    found: set[Path] = set()
    todo = [Path(f).resolve() for f in files]
    while todo:
        path = todo.pop()
        if path not in found and path not in APART:
            found.add(path)
            found |= {p for p in path.parent.glob(f"{path.stem}.*") if p.suffix != ".py"}
            todo += _imports(path, path.stat().st_mtime_ns)
    return found


def _label(path: Path) -> str:
    """A name that does not depend on where the project lies."""
    return path.relative_to(ROOT.parent).as_posix() if path.is_relative_to(ROOT.parent) else path.name


@functools.cache
def _parsed(path: Path, _time: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def _tree(path: Path, time: int) -> str:
    """The syntax tree as text, without docstrings and without the texts of messages."""
    tree = _parsed(path, time)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node.func) in MESSAGES:
            _drop_texts(node)
        body = getattr(node, "body", None)
        has_doc = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if has_doc and ast.get_docstring(node, clean=False) is not None:
            node.body = body[1:]
    return ast.dump(tree)


def _called(function: ast.expr) -> str:
    """Last part of the name of a called function."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _drop_texts(call: ast.Call) -> None:
    """Make the texts of a message empty; what is called or computed for it stays. The default of a `key` is no text."""
    words = call.args[1:] if _called(call.func) == "key" else call.args
    for argument in words:
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = ""


@functools.cache
def _imports(path: Path, time: int) -> tuple[Path, ...]:
    """Files that a file imports, anywhere in it."""
    found: list[Path] = []
    for node in _run_nodes(_parsed(path, time)):
        if isinstance(node, ast.Import):
            for name in node.names:
                found += _files(path, 0, name.name, [])
        elif isinstance(node, ast.ImportFrom):
            found += _files(path, node.level, node.module or "", [n.name for n in node.names])
    return tuple(found)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree, without blocks for type checkers alone, which never run."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            todo += ast.iter_child_nodes(node)


def _files(importer: Path, level: int, module: str, names: list[str]) -> list[Path]:
    """The files of an import statement that lie in the package or beside the importer."""
    parts = module.split(".") if module else []
    if level:
        base = importer.parents[level - 1]
    elif parts and parts[0] == ROOT.name:
        base, parts = ROOT, parts[1:]
        if not parts:  # a plug-in of the user's imports public names
            return [_public()[name] for name in names if name in _public()]
    else:
        base = importer.parent  # a module beside a user's plug-in
    target = base.joinpath(*parts)
    here = [target.with_suffix(".py")] if parts and target.with_suffix(".py").is_file() else []
    inside = [target / f"{name}.py" for name in names]
    found = [c.resolve() for c in (*here, *inside) if c.is_file()]
    if level and not here and len(found) < len(inside) and importer.is_relative_to(ROOT):
        what = f"from {'.' * level}{module} import {', '.join(names)}"
        raise ImportError(f"{_label(importer)}: the code hash cannot follow `{what}`; import from the module itself")
    return found


@functools.cache
def _public() -> dict[str, Path]:
    """Files of the public names, which the package imports on first use."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    named = {
        t.id: n.value for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    }
    modules = ast.literal_eval(named["_PUBLIC"])
    return {name: ROOT.joinpath(*module.split(".")).with_suffix(".py") for name, module in modules.items()}
