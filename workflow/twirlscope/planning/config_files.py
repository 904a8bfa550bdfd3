"""Config files read strictly: what YAML takes without a word, and nobody means, is a mistake with its file and line.

Snakemake reads the files itself. YAML keeps the last of two keys of one name, takes `0100` for 64 and `1:30` for 90.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .._typing import Sequence
from ..errors import UserError, UserErrors, needs

with needs("workflow"):
    import yaml

ODD = {  # plain numbers that YAML 1.1 reads in another base, and which base
    re.compile(r"[-+]?0[0-7_]+"): "octal",
    re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"): "base 60",
}


def require_unambiguous(paths: Sequence[str | Path]) -> None:
    """Refuse config files with mistakes.

    Raises:
        UserErrors: every mistake of every file.
    """
    found = mistakes([Path(path) for path in paths])
    if found:
        raise UserErrors(found)


def mistakes(paths: Sequence[Path]) -> list[UserError]:
    """Keys that occur twice in one block, and numbers in another base than ten, of all files.

    A file in another format than YAML, or one that is no YAML, has none: Snakemake says what is wrong with it.
    """
    return [error for path in paths for error in _within(path, _composed(path), "")]


def _composed(path: Path) -> yaml.Node | None:
    """The nodes of a YAML file; None for an empty file, for another format and for one that is no YAML."""
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _within(path: Path, node: yaml.Node | None, where: str) -> list[UserError]:
    """Mistakes at a node of a file and below it."""
    if isinstance(node, yaml.ScalarNode):
        return _number(path, node, where)
    if isinstance(node, yaml.SequenceNode):
        return [error for i, item in enumerate(node.value) for error in _within(path, item, f"{where}[{i}]")]
    found, lines = [], {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name = f"{where}.{key.value}" if where else str(key.value)
        line = key.start_mark.line + 1
        if name in lines and key.value != "<<":
            got = f"{key.value!r} again, after line {lines[name]}: YAML would drop the first"
            found.append(UserError(f"{path}, line {line}: {name}", "every key once", got))
        lines[name] = line
        found += _within(path, value, name)
    return found


def _number(path: Path, node: yaml.ScalarNode, where: str) -> list[UserError]:
    """The mistake of a number that YAML reads in another base."""
    if node.style is not None or node.tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        return []
    value: Any = yaml.safe_load(node.value)
    line = node.start_mark.line + 1
    return [
        UserError(
            f"{path}, line {line}: {where}",
            "a number in base ten, or a text in quotes",
            f"{node.value}, which YAML reads in {base} as {value}",
        )
        for pattern, base in ODD.items()
        if pattern.fullmatch(node.value)
    ]


def located(mistakes: UserErrors, paths: Sequence[str | Path]) -> UserErrors:
    """The mistakes, each with the file and line that say most of its key path.

    Args:
        mistakes: with key paths as places.
        paths: the config files; each overrides those before it.
    """
    trees = [(Path(path), tree) for path in paths if (tree := _composed(Path(path))) is not None]
    return UserErrors([_placed(error, trees) for error in mistakes.errors])


def _placed(error: UserError, trees: Sequence[tuple[Path, yaml.Node]]) -> UserError:
    """The mistake at its file and line, or as it is where no file says any of its key path."""
    found = [(*_deepest(tree, error.where), path) for path, tree in trees]
    said, line, path = max(reversed(found), key=lambda each: each[0], default=(0, 0, Path()))
    return error.at(f"{path}, line {line}: {error.where}") if said else error


def _deepest(node: yaml.Node, where: str) -> tuple[int, int]:
    """Length of the longest part of a key path that a node and those below it say, and its line.

    A key may have dots: in the grid of a sweep, `train.steps` is one.
    """
    if isinstance(node, yaml.SequenceNode):
        items = [(yaml.ScalarNode("", str(i), item.start_mark), item) for i, item in enumerate(node.value)]
    else:
        items = node.value if isinstance(node, yaml.MappingNode) else []
    best = (0, 0)
    for key, value in items:
        if f"{where}.".startswith(f"{key.value}."):
            rest, line = _deepest(value, where[len(key.value) + 1 :])
            length = len(key.value) + 1 + rest
            best = max(best, (length, line or key.start_mark.line + 1))
    return best
