"""JSON schema of the config and the reference of its keys (`config/REFERENCE.md`), generated from the settings classes.

`python -m twirlscope.planning.config_docs` lists the files that differ from the code; `--fix` writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .. import plugins
from ..settings.base import Settings
from ..settings.experiment import Config
from ..settings.external import ExternalSettings
from ..settings.prepare import DatasetSettings

PROJECT = Path(__file__).parents[3]
SCHEMA = PROJECT / "workflow" / "schemas" / "config.schema.json"
REFERENCE = PROJECT / "config" / "REFERENCE.md"
HEADER = """# Every key of the config

Generated from the settings classes by `make docs`; [README.md](README.md) explains how to use the keys."""
EXTERNAL_NOTE = (
    "In place of `task`, `model` and `train`; `module`, `class_name` and `kwargs`, as ml-peg writes it, too."
)
SECTIONS = ("twirl", "gradient", "hessian", "layers", "dynamics", "report")
SHARED = {"dataset": DatasetSettings}  # keys that all plug-ins of a kind have

LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
FIRST = ["description", "type", "items", "enum", *LIMITS]  # order of the words of an entry; the others follow
LAST = ["default", "additionalProperties", "properties", "required"]
DROPPED = {"title", "$defs", "shapes"}

Entry = dict[str, Any]


def schema() -> Entry:
    """JSON schema of the config: flat (no `$ref`, no `anyOf`), with a description of every key."""
    root = section(Config)
    properties = root["properties"]
    properties["datasets"]["additionalProperties"] = _plugin_section("dataset")
    run = properties["runs"]["additionalProperties"]["properties"]
    for kind in ("task", "model"):
        run[kind] = {"description": run[kind]["description"]} | _plugin_section(kind)
    train = run["train"]["properties"]
    train["objective"] = train["objective"] | _plugin_section("objective")
    text = run["external"]["description"]
    run["external"] = {"description": text} | section(ExternalSettings) | {"additionalProperties": True, "required": []}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "twirlscope config"} | root


def section(cls: type[Settings]) -> Entry:
    """Flat JSON schema of a settings class."""
    nested = cls.model_json_schema()
    return _flat({k: v for k, v in nested.items() if k != "description"}, nested.get("$defs", {}))


def _flat(entry: Entry, definitions: dict[str, Entry]) -> Entry:
    """A schema entry of pydantic with references inlined, without titles and without defaults of whole sections."""
    entry = dict(entry)
    if reference := entry.pop("$ref", ""):
        entry = definitions[reference.rsplit("/", 1)[1]] | entry
    if "properties" in entry:
        entry.pop("default", None)
        entry["properties"] = {name: _flat(key, definitions) for name, key in entry["properties"].items()}
    for word in ("items", "additionalProperties"):
        if isinstance(entry.get(word), dict):
            entry[word] = _flat(entry[word], definitions)
    others = sorted(set(entry) - {*FIRST, *LAST} - DROPPED)
    return {word: entry[word] for word in [*FIRST, *others, *LAST] if word in entry}


def _plugin_section(kind: str) -> Entry:
    """Schema of a section that names a plug-in; the plug-in's own settings check its other keys."""
    names = ", ".join(plugins.known(kind))
    name = {"type": "string", "description": f"name of a {kind} ({names}) or `file.py:Class`"}
    return {"type": "object", "required": ["name"], "properties": {"name": name}, "additionalProperties": True}


def reference() -> str:
    """All keys as Markdown tables: one per section and per plug-in, keys shared by a kind of plug-in once."""
    root = section(Config)["properties"]
    run, sweep = (root[name]["additionalProperties"] for name in ("runs", "sweeps"))
    tables = [
        _table("(top level)", root),
        _table("`runs.<run>`", run["properties"]),
        _table("`runs.<run>.train`", run["properties"]["train"]["properties"]),
        _table("`runs.<run>.external`", section(ExternalSettings)["properties"], EXTERNAL_NOTE),
        _table("`sweeps.<sweep>`", sweep["properties"]),
        *(_table(f"`{name}`", root[name]["properties"]) for name in SECTIONS),
    ]
    for kind in plugins.KINDS:
        tables += _plugin_tables(kind)
    return "\n\n".join([HEADER, *tables]) + "\n"


def _plugin_tables(kind: str) -> list[str]:
    """One table of the keys that every plug-in of a kind has, if any, and one per plug-in of the keys of its own."""
    shared = section(SHARED[kind])["properties"] if kind in SHARED else {}
    note = f"Keys of all {kind}s. The table of a {kind} repeats one only if its default or meaning differs."
    tables = [_table(f"every {kind}", shared, note)] if shared else []
    for name in plugins.known(kind):
        cls = plugins.find(kind, name)
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        own = {k: entry for k, entry in section(cls.Settings)["properties"].items() if entry != shared.get(k)}
        tables.append(_table(f"{kind} `{name}`", own, summary))
    return tables


def _table(title: str, keys: dict[str, Entry], summary: str = "") -> str:
    """A heading and a table: key, type, default, meaning."""
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, entry in keys.items():
        types = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
        kind = " \\| ".join(choice or '""' for choice in entry.get("enum", types))
        rows.append(f"| `{name}` | {kind} | {_default(entry)} | {entry['description']}{_limits(entry)} |")
    return "\n".join([f"## {title}", "", *([summary, ""] if summary else []), *rows])


def _default(entry: Entry) -> str:
    """Default of a key as it is written in YAML; empty for sections and for keys without one."""
    value = entry.get("default", {})
    if value == {}:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text.replace('e', '.0e') if isinstance(value, float) and '.' not in text else text}`"


def _limits(entry: Entry) -> str:
    """Limits of a number in words."""
    found = [f"{sign} {entry[word]}" for word, sign in LIMITS.items() if word in entry]
    return f" ({', '.join(found)})" if found else ""


def wanted() -> dict[Path, str]:
    """Text of every generated file, from the settings classes."""
    return {SCHEMA: json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", REFERENCE: reference()}


def main() -> int:
    """Compares the generated files with the code, or writes them with `--fix`; returns 1 if a file differs."""
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
