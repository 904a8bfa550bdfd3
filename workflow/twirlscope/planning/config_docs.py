"""The config's schema and its table for `config/README.md`, generated from the settings classes.

`python -m twirlscope.planning.config_docs` says whether the files agree with the code, `--fix` writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic_core import PydanticUndefined

from .. import plugins
from ..settings.base import Settings
from ..settings.experiment import Config, RunSettings
from ..settings.sweep import SweepSettings

PROJECT = Path(__file__).parents[3]
SCHEMA = PROJECT / "workflow" / "schemas" / "config.schema.json"
README = PROJECT / "config" / "README.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}

BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minItems",
}


def schema() -> dict[str, Any]:
    """The JSON schema of the config: flat (no `$ref`, no `anyOf`), a description and a default on every leaf."""
    root = _object(Config)
    root["properties"]["datasets"] |= {"additionalProperties": _plugin_section("dataset")}
    run = _object(RunSettings)
    for kind in ("task", "model"):
        run["properties"][kind] |= _plugin_section(kind)
    root["properties"]["runs"] |= {"additionalProperties": run}
    root["properties"]["sweeps"] |= {"additionalProperties": _object(SweepSettings)}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "twirlscope config"}
    return head | root


def _object(cls: type[Settings]) -> dict[str, Any]:
    """A section and its keys."""
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    properties = {name: _leaf(field) for name, field in cls.model_fields.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties} | (
        {"required": required} if required else {}
    )


def _plugin_section(kind: str) -> dict[str, Any]:
    """A section that names a plug-in: its other keys are that plug-in's, closed by the plug-in's own settings."""
    names = ", ".join(plugins.known(kind))
    name = {"type": "string", "description": f"name of a {kind} ({names}) or `file.py:Class`"}
    return {"type": "object", "required": ["name"], "properties": {"name": name}, "additionalProperties": True}


def _leaf(field: Any) -> dict[str, Any]:
    """One key."""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Settings):
        return {"description": field.description} | _object(kind)
    found = {"description": field.description} | _type(kind)
    for limit in field.metadata:
        for name, word in BOUNDS.items():
            if getattr(limit, name, None) is not None:
                found[word] = getattr(limit, name)
    if field.default is not PydanticUndefined:
        found["default"] = field.default
    return found


def _type(kind: Any) -> dict[str, Any]:
    """JSON type of an annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list:
        return {"type": "array", "items": _type(inner[0])}
    if origin is dict:
        return {"type": "object"}
    if kind in TYPES:
        return {"type": TYPES[kind]}
    return {"type": "string", "enum": list(inner)}  # a Literal


def tables() -> str:
    """All keys as Markdown tables, one a section and a plug-in."""
    run = {"runs.<run>": RunSettings}
    sections = {"(top level)": Config} | run | {"runs.<run>.train": RunSettings.model_fields["train"].annotation}
    sections |= {"sweeps.<sweep>": SweepSettings}
    sections |= {name: Config.model_fields[name].annotation for name in ("twirl", "gradient", "hessian", "report")}
    found = [_table(f"`{name}`", cls) for name, cls in sections.items()]
    for kind in ("dataset", "task", "model"):
        for name in plugins.known(kind):
            cls = plugins.find(kind, name)
            summary = (cls.__doc__ or "").strip().splitlines()[0]
            found.append(_table(f"{kind} `{name}`", cls.Settings, summary))
    return "\n\n".join(found)


def _table(title: str, cls: type[Settings], summary: str = "") -> str:
    """A section as a table: key, type, default, meaning."""
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in cls.model_fields.items():
        leaf = _leaf(field)
        kind = " \\| ".join(leaf["enum"]) if "enum" in leaf else leaf["type"]
        default = "" if field.is_required() or leaf["type"] == "object" else f"`{json.dumps(leaf.get('default'))}`"
        rows.append(f"| `{name}` | {kind} | {default} | {field.description}{_limits(leaf)} |")
    return "\n".join([f"### {title}", "", *([summary, ""] if summary else []), *rows])


def _limits(leaf: dict[str, Any]) -> str:
    """Limits of a number in words."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {leaf[word]}" for word, sign in signs.items() if word in leaf]
    return f" ({', '.join(found)})" if found else ""


def wanted() -> dict[Path, str]:
    """What the generated files should hold."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return {
        SCHEMA: json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        README: f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}",
    }


def main() -> int:
    """Compare, or write with `--fix`; 1 when a file differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true", help="write the files")
    fix = parser.parse_args().fix
    stale = [p for p, text in wanted().items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'wrote' if fix else 'differs from the code'}: {path.relative_to(PROJECT)}")
        if fix:
            path.write_text(wanted()[path], encoding="utf-8")
    return int(bool(stale) and not fix)


if __name__ == "__main__":
    sys.exit(main())
