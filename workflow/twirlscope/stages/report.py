"""Stage `report`: a folder with one page, every figure as SVG and PDF, every number as CSV, and the pooled numbers."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from .._typing import Mapping, Sequence
from ..errors import UserError, needs
from ..runtime.atomic import write_folder
from ..settings.report import ReportSettings
from ..storage import made_from, store
from ..storage.arrays.twirl import TWIRL
from ..storage.made_from import Record

with needs("workflow"):
    from ..report import export, facts, page
    from ..report.export import POOLED, summary
    from ..report.figures import vega
    from ..report.inventory import RunFiles, shown_runs
    from ..report.sections.claims.evidence import CURVATURE, GRADIENTS, SAMPLES
    from ..report.sections.contents import all_sections
    from ..report.sections.sweeps import Members
    from ..report.trainings import Training, divided, terms_of

HEADLINE = {"sample_loss_equiv", "cluster"}  # arrays by sample that the headline needs
LARGE = {"rotation", "pair", "panel_rotation"}  # dimensions of Gram matrices, which the report does not need


def report(
    runs: Sequence[RunFiles],
    datasets: Mapping[str, Path],
    config: dict,
    out: Path,
    settings: ReportSettings,
    provenance: Mapping[str, str],
    sweeps: Mapping[str, Members] | None = None,
    missing: Sequence[str] = (),
    record: Record | None = None,
) -> None:
    """Write the folder `out`, whole or not at all; an existing folder is replaced at the very end.

    Args:
        runs: in the order of the page.
        datasets: by name, the prepared stores.
        config: as the user gave it, shown on the page.
        provenance: versions, hardware and the like, by name.
        sweeps: by name, the runs of each and their values.
        missing: sentences on trainings that are not in the report.
        record: of what the report is made from, for `summary.zarr.zip`.

    Raises:
        UserError: there is no training, or the term `report.term` was not measured.
    """
    shown = shown_runs(runs)
    every = [_read(files, files.run in shown) for files in runs]
    _check(every, settings, missing)
    trainings, external = divided(every)
    data = {name: _read_dataset(path) for name, path in datasets.items()}
    with_figures = [t for t in trainings if t.run in shown]
    sections = all_sections(trainings, settings, data, with_figures, sweeps or {}, external)
    dataset_of = {f.run: f.dataset for f in runs}
    content = facts.page_content(
        trainings, dataset_of, data, config, settings, provenance, sections, with_figures, missing, external
    )
    about = made_from.attribute(record or {})
    write_folder(Path(out), lambda folder: _fill(folder, content, every, about))


def _check(trainings: Sequence[Training], settings: ReportSettings, missing: Sequence[str]) -> None:
    """Refuse a report without trainings, or on an unknown term."""
    if not trainings:
        raise UserError("runs", "at least one training", " ".join(missing) or "none")
    if settings.term not in terms_of(trainings):
        raise UserError("report.term", "a term of the loss", repr(settings.term), terms_of(trainings))


def _read(files: RunFiles, shown: bool) -> Training:
    """A training without large arrays; if it is not `shown`, only the numbers for tables, claims and sweeps."""
    hessian = _variables(files.hessian, None if shown else CURVATURE)
    gradient = _variables(files.gradient, None if shown else GRADIENTS)
    with store.open_store(files.twirl) as lazy:
        dims = {n: set(v.dims) for n, v in lazy.data_vars.items()}
        used = {*HEADLINE, *SAMPLES}
        kept = [n for n, d in dims.items() if (not LARGE & d if shown else d <= POOLED or n in used)]
        twirl = lazy[kept].load()
    train = None if files.train is None else store.load(files.train)
    dynamics = _variables(files.dynamics, None if shown else ())
    layers = _variables(files.layers, None if shown else ())
    return Training(files.run, files.seed, train, twirl, hessian, files.dataset, gradient, dynamics, layers)


def _variables(path: Path | None, names: Sequence[str] | None) -> xr.Dataset | None:
    """A store, or only the variables of these names."""
    if path is None or names is None:
        return store.load(path) if path else None
    with store.open_store(path) as lazy:
        return lazy[[n for n in names if n in lazy]].load()


def _read_dataset(path: Path) -> xr.Dataset:
    """A dataset without its per-atom arrays, which can be large."""
    with store.open_store(path) as lazy:
        kept = [n for n, v in lazy.data_vars.items() if "atom" not in v.dims]
        return lazy[kept].load()


def _fill(folder: Path, content: page.Content, trainings: Sequence[Training], about: Mapping[str, str]) -> None:
    """Write all files of the report."""
    for sub in ("figures", "tables"):
        (folder / sub).mkdir()
    figures = [figure for section in content.sections for figure in section.figures]
    for figure in figures:
        for end, drawing in figure.files.items():
            (folder / "figures" / f"{figure.name}{end}").write_bytes(drawing)
    rejects = [d.rejects for d in content.datasets if d.rejects]
    tables = [table for section in content.sections for _, table in section.tables]
    heads = [t for t in (content.headline, content.terms, content.trainings) if t is not None]
    for item in (*heads, *tables, *rejects, *figures):
        (folder / "tables" / f"{item.name}.csv").write_text(item.numbers.csv, encoding="utf-8", newline="\n")
    pooled = summary(trainings)
    pooled.attrs |= about
    store.save(pooled, folder / "summary.zarr.zip", TWIRL)
    (folder / "twirl.json").write_text(export.exported(trainings), encoding="utf-8")
    (folder / "charts.js").write_text(vega.bundle(), encoding="utf-8")
    (folder / "index.html").write_text(page.html(content), encoding="utf-8")
