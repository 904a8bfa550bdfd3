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
    found: list[UserError] = []
    for path in paths:
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        found += _within(path, node, "")
    return found


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
