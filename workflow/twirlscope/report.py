"""Stage `report`: a folder with one page, every figure as SVG and PDF, every number as CSV, and the pooled numbers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from . import page, sections, store, story
from .errors import UserError
from .hints import Callable, Mapping, Sequence
from .settings.report import ReportSettings
from .style import rendered
from .trainings import Training, slug, terms_of
from .variables import TWIRL

LARGE = {"rotation", "pair", "panel_rotation"}  # dimensions of Gram matrices and their like, not needed here
POOLED = {"step", "term", "degree", "irrep", "merit", "element", "rotation_set", "convex"}


@dataclass(frozen=True)
class RunFiles:
    """The stores of one training; `hessian` and `gradient` are None where they were not asked for.

    `dataset` is a key of `datasets`.
    """

    run: str
    seed: int
    train: Path
    twirl: Path
    hessian: Path | None
    dataset: str
    gradient: Path | None = None


def report(
    runs: Sequence[RunFiles],
    datasets: Mapping[str, Path],
    config: dict,
    out: Path,
    settings: ReportSettings,
    provenance: Mapping[str, str],
) -> None:
    """Write the folder `out`, whole or not at all; one that is there already is replaced at the very end.

    Args:
        runs: in the order in which they are shown.
        datasets: by name, the prepared stores.
        config: as the user gave it, shown on the page.
        provenance: versions, hardware and the like, by name.

    Raises:
        UserError: there is nothing to report, or the term asked for was not measured.
    """
    trainings = [_read(files) for files in runs]
    if not trainings:
        raise UserError("runs", "at least one training", "none")
    if settings.term not in terms_of(trainings):
        raise UserError("report.term", "a term of the loss", repr(settings.term), terms_of(trainings))
    data = {name: _facts_only(path) for name, path in datasets.items()}
    told = story.tell(
        trainings,
        {f.run: f.dataset for f in runs},
        data,
        config,
        settings,
        provenance,
        sections.tell(trainings, settings.threshold, data),
    )
    write_folder(Path(out), lambda folder: _fill(folder, told, trainings))


def _read(files: RunFiles) -> Training:
    hessian, gradient = (store.load(f) if f else None for f in (files.hessian, files.gradient))
    with store.open_store(files.twirl) as lazy:  # the Gram matrices are large and not needed
        kept = [n for n, v in lazy.data_vars.items() if not LARGE & set(v.dims)]
        twirl = lazy[kept].load()
    return Training(files.run, files.seed, store.load(files.train), twirl, hessian, files.dataset, gradient)


def _facts_only(path: Path) -> xr.Dataset:
    """A dataset without its arrays by atom, which can be large."""
    with store.open_store(path) as lazy:
        kept = [n for n, v in lazy.data_vars.items() if "atom" not in v.dims]
        return lazy[kept].load()


def _fill(folder: Path, told: page.Story, trainings: Sequence[Training]) -> None:
    for sub in ("figures", "tables"):
        (folder / sub).mkdir()
    shown = [figure for section in told.sections for figure in section.figures]
    for figure in shown:
        (folder / "figures" / f"{figure.name}.svg").write_bytes(figure.svg)
        (folder / "figures" / f"{figure.name}.pdf").write_bytes(rendered(figure.wide, "pdf"))
    rejects = [d.rejects for d in told.datasets if d.rejects]
    answers = [table for section in told.sections for _, table in section.tables]
    tables = [(t.name, t.frame) for t in (told.headline, told.terms, told.trainings, *answers, *rejects)]
    for name, frame in [*tables, *((f.name, f.table) for f in shown)]:
        frame.to_csv(folder / "tables" / f"{name}.csv", index=False, lineterminator="\n")
    store.save(summary(trainings), folder / "summary.zarr.zip")
    (folder / "index.html").write_text(page.html(told), encoding="utf-8")


def summary(trainings: Sequence[Training]) -> xr.DataTree:
    """The pooled numbers of all trainings: one group `/{run}/seed{seed}` each, without what is stored by sample."""
    groups = {}
    for training in trainings:
        pooled = [n for n in training.twirl.data_vars if n in TWIRL and set(TWIRL[n].dims) <= POOLED]
        data = training.twirl[pooled].drop_vars("sample", errors="ignore")
        groups[f"/{slug(training.run)}/seed{training.seed}"] = data
    return xr.DataTree.from_dict(groups)


def write_folder(out: Path, fill: Callable[[Path], None]) -> None:
    """Call `fill` on an empty folder aside, then put it in the place of `out`; it stays as it was if that fails. What a
    killed process has left aside is removed.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*.*"):
        shutil.rmtree(left, ignore_errors=True)
    aside, old = (out.with_name(f".{out.name}.{os.getpid()}.{word}") for word in ("part", "old"))
    try:
        aside.mkdir()
        fill(aside)
        if out.exists():
            os.replace(out, old)
        os.replace(aside, out)
    finally:
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)
