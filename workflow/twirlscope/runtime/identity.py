"""Identity of work that is resumed: hashes of files and settings, locks of folders, what changed since."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .atomic import write_whole

STATE_FILE, IDENTITY_FILE = "state.pt", "identity.json"


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against a second copy of the same job; a second copy waits and then finds the work done."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting: another job works in {folder}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def identity_of(parts: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, str]:
    """Everything that must be the same for a run to be resumed, flat: key path -> value as JSON.

    Args:
        parts: the facts, nested.
        without: key paths that are left out.
    """
    flat: dict[str, str] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}.{key}" if path else key, inner)
        elif path not in without:
            flat[path] = json.dumps(value)

    walk("", parts)
    return dict(sorted(flat.items()))


def short_hash(facts: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for settings, an identity or any other facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def explain_changes(folder: Path, identity: dict[str, str]) -> None:
    """Note the identity in the folder; where a run with another identity lies beside it, say what changed."""
    write_whole(folder / IDENTITY_FILE, lambda p: p.write_text(json.dumps(identity, indent=1)))
    others = [p for p in folder.parent.glob(f"*/{IDENTITY_FILE}") if p.parent != folder]
    if (folder / STATE_FILE).exists() or not others:
        return
    newest = max(others, key=lambda p: p.stat().st_mtime)
    old = json.loads(newest.read_text())
    changed = [k for k in sorted(old.keys() | identity.keys()) if old.get(k) != identity.get(k)]
    print(f"not resumed: the checkpoints in {newest.parent} belong to another run. What changed:")
    for key in changed:
        print(f"  {key}: {old.get(key, 'absent')} -> {identity.get(key, 'absent')}")
    print("training starts from step 0 in a folder of its own; the old one is left as it is", flush=True)
