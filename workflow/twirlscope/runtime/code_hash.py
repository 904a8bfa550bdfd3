"""Hash of the code that a stage imports, directly or not: the workflow reruns a stage when this hash changes.

Snakemake sees a rule's script but not the modules that the script imports. The hash covers the syntax trees of all
files reached, without words (`source`): a change of words reruns nothing, a change of code what uses it. A file beside
a module with its name and another ending (`report.css` beside `report.py`) belongs to it and counts as a whole.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UserError
from .source import Statement, source_of

ROOT = Path(__file__).parents[1]
APART = {ROOT / "stages" / "rehearsal.py"}  # modules that refuse or pass, and shape no number


def code_hash(sources: Iterable[str | Path]) -> str:
    """Hash of these files and of all files that they import, directly or not.

    Args:
        sources: files, relative to the folder that holds the package, or of the user's.
    """
    digest = hashlib.sha256()
    for path in sorted(reached(map(_located, sources)), key=_label):
        code = source_of(path).tree.encode() if path.suffix == ".py" else path.read_bytes()
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
            todo += _imported(path, source_of(path).imports)
    return found


def _label(path: Path) -> str:
    """A name that does not depend on where the project lies."""
    return path.relative_to(ROOT.parent).as_posix() if path.is_relative_to(ROOT.parent) else path.name


@functools.cache
def _imported(path: Path, statements: Sequence[Statement]) -> list[Path]:
    """Files that a file with these import statements imports."""
    return [file for statement in statements for file in _files(path, *statement)]


def _files(importer: Path, level: int, module: str, names: Sequence[str]) -> list[Path]:
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
