"""Contents of results, without what differs from run to run: times, energies, memory."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from twirlscope.storage.made_from import ATTRIBUTE

OF_THE_MACHINE = {"s", "h", "J", "MB", "1/s"}  # units of what differs from run to run
ATTRIBUTES_OF_THE_MACHINE = {"seconds"}
READ = "content of "  # entries of a record on stores that were read: their times differ; each is compared itself


def content(path: Path) -> dict[str, object]:
    """Entries of a store, without what differs from run to run."""
    with zipfile.ZipFile(path) as archive:
        entries: dict[str, object] = {name: archive.read(name) for name in archive.namelist()}
    for name in [name for name in entries if name.endswith("zarr.json")]:
        described = json.loads(entries[name])
        attributes = described["attributes"]
        kept = {k: v for k, v in attributes.items() if k not in ATTRIBUTES_OF_THE_MACHINE}
        if ATTRIBUTE in kept:
            kept[ATTRIBUTE] = {k: v for k, v in json.loads(kept[ATTRIBUTE]).items() if not k.startswith(READ)}
        described["attributes"] = kept
        entries[name] = described
        if attributes.get("units") in OF_THE_MACHINE:
            entries = {k: v for k, v in entries.items() if not k.startswith(name.removesuffix("zarr.json"))}
    return entries


def contents(folder: Path) -> dict[str, object]:
    """Store and checkpoints of a training in a folder, by name; an empty mapping where it has not ended."""
    store = folder / "train.zarr.zip"
    if not store.exists():
        return {}
    files = {p.name: p.read_bytes() for p in folder.glob("checkpoints/*/step*.pt")}
    return {"train.zarr.zip": content(store), **files}
