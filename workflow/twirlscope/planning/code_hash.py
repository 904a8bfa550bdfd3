"""Hash of the code that a stage imports, directly or not: the workflow reruns a stage when this hash changes.

Snakemake sees a rule's script but not the modules that the script imports. The hash covers the syntax trees of all
files reached, without docstrings and comments: a change of words reruns nothing, a change of code what uses it. A file
beside a module with its name and another ending (`report.css` beside `report.py`) belongs to it and counts as a whole.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def code_hash(files: Iterable[Path]) -> str:
    """Hash of these files and of all files that they import, directly or not."""
    digest = hashlib.sha256()
    for path in sorted(reached(files), key=_label):
        code = _tree(path, path.stat().st_mtime_ns).encode() if path.suffix == ".py" else path.read_bytes()
        digest.update(_label(path).encode() + b"\0" + code + b"\0")
    return digest.hexdigest()[:16]


def reached(files: Iterable[Path]) -> set[Path]:
    """These files and those that they import, directly or not, with the files beside each under its name.

    Files of the package and of the folders of the user's plug-ins count. `__init__.py` files hold no code that acts and
    are left out.

    Raises:
        ImportError: a relative import in the package that names no module of it.
    """
    found: set[Path] = set()
    todo = [Path(f).resolve() for f in files]
    while todo:
        path = todo.pop()
        if path not in found:
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
    """The syntax tree as text, without docstrings."""
    tree = _parsed(path, time)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        has_doc = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if has_doc and ast.get_docstring(node, clean=False) is not None:
            node.body = body[1:]
    return ast.dump(tree)


@functools.cache
def _imports(path: Path, time: int) -> tuple[Path, ...]:
    """Files that a file imports, anywhere in it."""
    found: list[Path] = []
    for node in ast.walk(_parsed(path, time)):
        if isinstance(node, ast.Import):
            for name in node.names:
                found += _files(path, 0, name.name, [])
        elif isinstance(node, ast.ImportFrom):
            found += _files(path, node.level, node.module or "", [n.name for n in node.names])
    return tuple(found)


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
