"""Identity of resumable work: hashes of files and settings, locks of folders, and changes since an earlier run."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from .atomic import write_whole

STATE_FILE, IDENTITY_FILE = "state.pt", "identity.json"
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}  # a file system without `flock`
SMALL = 1 << 24  # [byte] files up to this size are read for their fingerprint


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder. A second copy of the same job waits for the lock and then finds the work done.

    On a file system that has no locks a file marks the folder as taken, and a warning says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = _acquired(FileLock(folder / ".lock"), folder)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(f"warning: {folder} is on a file system without locks ({error.strerror}); a file marks it", flush=True)
        lock = _acquired(SoftFileLock(folder / ".lock.taken"), folder)
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: BaseFileLock, folder: Path) -> BaseFileLock:
    """The lock of a folder, once no other job has it."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting: another job works in {folder}", flush=True)
        lock.acquire()
    return lock


def identity_of(parts: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, str]:
    """Facts that must be equal for a run to be resumed, as a flat mapping from key path to value as JSON.

    Args:
        parts: the facts, nested.
        without: key paths to leave out.
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


def fingerprint(path: Path) -> str:
    """Facts that change when a file is replaced, also by an older one: the content of a small file, else size and time.

    Snakemake itself sees only files that are newer than what was made of them.
    """
    status = path.stat()
    return sha256(path) if status.st_size <= SMALL else f"{status.st_size} bytes, {status.st_mtime_ns} ns"


def short_hash(facts: Mapping[str, Any]) -> str:
    """Hash of settings, an identity or any other facts, twelve hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The keys in which two identities differ, each as `key: old -> new`."""
    changed = [k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
    return [f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}" for key in changed]


def explain_changes(folder: Path, identity: dict[str, str]) -> None:
    """Write the identity into the folder, and print the differences to the newest run with another identity beside it.

    Prints nothing if the folder already has a state to resume.
    """
    write_whole(folder / IDENTITY_FILE, lambda p: p.write_text(json.dumps(identity, indent=1)))
    others = [p for p in folder.parent.glob(f"*/{IDENTITY_FILE}") if p.parent != folder]
    if (folder / STATE_FILE).exists() or not others:
        return
    newest = max(others, key=lambda p: p.stat().st_mtime)
    old = json.loads(newest.read_text())
    print(f"not resumed: the checkpoints in {newest.parent} belong to another run. What changed:")
    for line in changes(old, identity):
        print(f"  {line}")
    print("training starts from step 0 in a folder of its own; the old one is left as it is", flush=True)
