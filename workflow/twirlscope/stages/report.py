"""Stage `report`: a folder with one page, every figure as SVG and PDF, every number as CSV, and the pooled numbers."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from .._typing import Mapping, Sequence
from ..errors import UserError
from ..report import export, facts, page
from ..report.export import POOLED, summary
from ..report.figures import vega
from ..report.inventory import RunFiles, drawn
from ..report.sections.claims.evidence import CURVATURE, GRADIENTS
from ..report.sections.contents import contents
from ..report.sections.sweeps import Members
from ..report.trainings import Training, terms_of
from ..runtime.atomic import write_folder
from ..settings.report import ReportSettings
from ..storage import store
from ..storage.arrays.twirl import TWIRL

LARGE = {"rotation", "pair", "panel_rotation"}  # dimensions of Gram matrices and their like, not needed here


def report(
    runs: Sequence[RunFiles],
    datasets: Mapping[str, Path],
    config: dict,
    out: Path,
    settings: ReportSettings,
    provenance: Mapping[str, str],
    sweeps: Mapping[str, Members] | None = None,
    missing: Sequence[str] = (),
) -> None:
    """Write the folder `out`, whole or not at all; one that is there already is replaced at the very end.

    Args:
        runs: in the order in which they are shown.
        datasets: by name, the prepared stores.
        config: as the user gave it, shown on the page.
        provenance: versions, hardware and the like, by name.
        sweeps: by name, the runs of each and their values.
        missing: what is not in the report, in words.

    Raises:
        UserError: there is nothing to report, or the term asked for was not measured.
    """
    sweeps = sweeps or {}
    whole = drawn(runs)
    trainings = [_read(files, files.run in whole) for files in runs]
    _check(trainings, settings, missing)
    data = {name: _facts_only(path) for name, path in datasets.items()}
    few = [t for t in trainings if t.run in whole]
    answers = contents(trainings, settings, data, few, sweeps)
    dataset_of = {f.run: f.dataset for f in runs}
    told = facts.tell(trainings, dataset_of, data, config, settings, provenance, answers, few, missing)
    write_folder(Path(out), lambda folder: _fill(folder, told, trainings))


def _check(trainings: Sequence[Training], settings: ReportSettings, missing: Sequence[str]) -> None:
    """Refuse to report nothing, or on a term that is none."""
    if not trainings:
        raise UserError("runs", "at least one training", " ".join(missing) or "none")
    if settings.term not in terms_of(trainings):
        raise UserError("report.term", "a term of the loss", repr(settings.term), terms_of(trainings))


def _read(files: RunFiles, whole: bool) -> Training:
    """A training: all but what is large, or only the numbers that stand for it in tables, claims and sweeps."""
    hessian = _some(files.hessian, None if whole else CURVATURE)
    gradient = _some(files.gradient, None if whole else GRADIENTS)
    with store.open_store(files.twirl) as lazy:
        dims = {n: set(v.dims) for n, v in lazy.data_vars.items()}
        kept = [n for n, d in dims.items() if (not LARGE & d if whole else d <= POOLED or n == "sample_loss_equiv")]
        twirl = lazy[kept].load()
    return Training(files.run, files.seed, store.load(files.train), twirl, hessian, files.dataset, gradient)


def _some(path: Path | None, names: Sequence[str] | None) -> xr.Dataset | None:
    """A store, or the variables of these names."""
    if path is None or names is None:
        return store.load(path) if path else None
    with store.open_store(path) as lazy:
        return lazy[[n for n in names if n in lazy]].load()


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
        for end, content in figure.files.items():
            (folder / "figures" / f"{figure.name}{end}").write_bytes(content)
    rejects = [d.rejects for d in told.datasets if d.rejects]
    answers = [table for section in told.sections for _, table in section.tables]
    tables = [(t.name, t.frame) for t in (told.headline, told.terms, told.trainings, *answers, *rejects)]
    for name, frame in [*tables, *((f.name, f.table) for f in shown)]:
        frame.to_csv(folder / "tables" / f"{name}.csv", index=False, lineterminator="\n")
    store.save(summary(trainings), folder / "summary.zarr.zip", TWIRL)
    (folder / "twirl.json").write_text(export.exported(trainings), encoding="utf-8")
    (folder / "charts.js").write_text(vega.bundle(), encoding="utf-8")
    (folder / "index.html").write_text(page.html(told), encoding="utf-8")
