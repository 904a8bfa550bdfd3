"""Content of a source file for the code hash: its syntax tree without words, and its import statements.

Left out are docstrings, comments, texts of messages and descriptions of keys. Reading trees takes longer than all else
that planning does, so what was found is kept in the cache folder of the user, under the hash of the file's content.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .atomic import write_whole

MESSAGES = {"UserError", "Stopped", "needs", "print", "warn", "key"} | {
    n for n in vars(builtins) if n.endswith(("Error", "Warning"))
}

MOST = 4096  # files that are kept
Statement = tuple[int, str, tuple[str, ...]]  # an import: level, module and names, none of `import module`


class Source(NamedTuple):
    """A file without its words: the hash of its syntax tree, and its import statements."""

    tree: str
    imports: tuple[Statement, ...]


def source_of(path: Path) -> Source:
    """The content of a Python file; read again if the file has changed.

    Raises:
        SyntaxError: it is no Python.
    """
    return _source(path, path.read_bytes())


@functools.cache
def _source(path: Path, text: bytes) -> Source:
    content = hashlib.sha256(_rules() + text).hexdigest()
    found = _kept(content)
    if found is None:
        tree = ast.parse(text, filename=str(path))
        imports = tuple(_statements(tree))
        found = Source(hashlib.sha256(_without_words(tree).encode()).hexdigest(), imports)
        _keep(content, found)
    return found


def _kept(content: str) -> Source | None:
    """The source of this content, if it was read before."""
    try:
        tree, imports = json.loads((_folder() / content).read_text(encoding="utf-8"))
        return Source(tree, tuple((level, module, tuple(names)) for level, module, names in imports))
    except (OSError, ValueError, TypeError, RuntimeError):  # there may be no home
        return None


def _keep(content: str, found: Source) -> None:
    """Keep the source of this content. A home without room or permission is no fault."""
    text = json.dumps(found)
    with contextlib.suppress(OSError, UserError, RuntimeError):
        folder = _folder()
        if folder.is_dir() and len(os.listdir(folder)) >= MOST:
            shutil.rmtree(folder)
        write_whole(folder / content, lambda aside: aside.write_text(text, encoding="utf-8"))


def _folder() -> Path:
    """Folder of the user for sources, as this version of Python reads them."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "twirlscope" / f"source-{sys.implementation.cache_tag}"


@functools.cache
def _rules() -> bytes:
    """Content of this file, which decides what is left out."""
    return Path(__file__).read_bytes()


def _without_words(tree: ast.Module) -> str:
    """The syntax tree as text, without docstrings and without the texts of messages. The tree is changed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node.func) in MESSAGES:
            _drop_texts(node)
        has_doc = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if has_doc and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
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


def _statements(tree: ast.Module) -> Iterator[Statement]:
    """Import statements, anywhere in a file."""
    for node in _run_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((0, name.name, ()) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(n.name for n in node.names)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree, without blocks for type checkers alone, which never run."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield node
            todo += ast.iter_child_nodes(node)
