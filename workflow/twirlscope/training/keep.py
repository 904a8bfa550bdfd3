"""Trainings kept across a change of the code that leaves their meaning alone.

Such a change (a new name, a faster loop) changes the code hash, and every training would run again. Whoever knows that
it does not change a training keeps those there are, finished or not: both hashes and the date are recorded.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .._typing import Iterable, Mapping
from ..errors import UserError, UserErrors
from ..runtime.atomic import write_whole
from ..runtime.identity import IDENTITY_FILE, changes, locked, short_hash
from ..storage import made_from, store
from ..storage.arrays.train import TRAIN
from ..storage.made_from import Record
from .state import KEPT_FILE, kept_changes


def keep_all(trainings: Iterable[Mapping[str, Any]], date: str) -> None:
    """Keep many trainings, and print one line for each.

    Args:
        trainings: arguments of `keep`, with paths as text.

    Raises:
        UserErrors: those of all trainings, after the last one.
    """
    errors = []
    for job in trainings:
        try:
            print(keep(Path(job["out"]), job["run"], job["code"], Path(job["data"]), date), flush=True)
        except UserError as error:
            errors.append(error)
    if errors:
        raise UserErrors(errors)


def keep(out: Path, run: dict[str, Any], code: str, data: Path, date: str) -> str:
    """Keep a training whose code alone has changed, and say in one line what was done.

    The store keeps its modification time, and its checkpoints keep their content: nothing that was measured on them
    runs again.

    Args:
        out: `train.zarr.zip`; it may be missing where the training is not finished.
        run, code: as the workflow would train it now.
        data: the prepared dataset.
        date: of today.

    Raises:
        UserError: the store or the dataset is damaged, or not writable.
    """
    wanted, finished = made_from.of_training(run, code, data), out.exists()
    folder = _folder(out, wanted)
    if folder is None:
        return f"{out.parent}: nothing to keep"
    with locked(folder):
        identity = json.loads((folder / IDENTITY_FILE).read_text())
        then = made_from.recorded(out) or {} if finished else {k: v for k, v in identity.items() if k != "torch"}
        if then == wanted:
            return f"{out.parent}: as it would be made now"
        if differing := changes(then | {"code": ""}, wanted | {"code": ""}):
            return f"{out.parent}: not kept, as more than its code has changed: {', '.join(differing)}"
        new = folder.with_name(short_hash(identity | {"code": wanted["code"]}))
        if new != folder and new.exists():
            return f"{out.parent}: not kept, as a training with the new code has begun in {new}; delete it first"
        before = json.loads(then["code"])
        kept = [*kept_changes(folder), {"before": before, "after": code, "date": date}]
        about = {"kept": json.dumps(kept), "folder": f"checkpoints/{new.name}"} | made_from.attribute(wanted)
        aside = _with_attributes(out, about) if finished else None
        _write(folder / KEPT_FILE, kept)
        os.rename(folder, new)
        _write(new / IDENTITY_FILE, identity | {"code": wanted["code"]})
        if aside:
            os.replace(aside, out)
    return f"{out.parent}: kept, {'finished' if finished else 'to be resumed'}; code {before} -> {code}"


def _folder(out: Path, wanted: Record) -> Path | None:
    """The folder with the checkpoints of a finished training, or of the newest one that differs in its code alone."""
    if out.exists():
        folder = out.parent / str(made_from.attributes(out)["folder"])
        if not (folder / IDENTITY_FILE).exists():
            raise UserError(folder, f"the checkpoints of {out}", "no such folder; train again")
        return folder
    begun = [p for p in (out.parent / "checkpoints").glob(f"*/{IDENTITY_FILE}") if any(p.parent.glob("*.pt"))]
    alike = [p for p in begun if _differing(json.loads(p.read_text()), wanted) <= {"code", "torch"}]
    return max(alike, key=lambda p: p.stat().st_mtime).parent if alike else None


def _with_attributes(path: Path, attributes: dict[str, str]) -> Path:
    """A copy of the store of a training beside it, with other attributes and the same modification time."""
    aside, status = path.with_name(f".{path.name}.kept"), path.stat()
    store.save(store.load(path).assign_attrs(attributes), aside, TRAIN)
    os.utime(aside, ns=(status.st_atime_ns, status.st_mtime_ns))
    return aside


def _differing(a: Record, b: Record) -> set[str]:
    """Keys in which two records differ."""
    return {k for k in a.keys() | b.keys() if a.get(k) != b.get(k)}


def _write(path: Path, content: Any) -> None:
    """Write a small JSON file whole."""
    write_whole(path, lambda p: p.write_text(json.dumps(content, indent=1)))
