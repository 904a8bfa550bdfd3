"""Stage `report`: a folder with one page, its first screen as text, figures as SVG and PDF, and every number as CSV."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import xarray as xr

from .._typing import Mapping, Sequence
from ..errors import UserError, needs
from ..runtime.atomic import write_folder
from ..runtime.progress import counted, inside, say_found, single
from ..settings.report import ReportSettings
from ..storage import made_from, store
from ..storage.arrays.summary import POOLED, SUMMARY
from ..storage.made_from import Record

with needs("workflow"):
    from ..report import export, facts, page
    from ..report.export import summary
    from ..report.figures import vega
    from ..report.first_screen.screen import markdown
    from ..report.inventory import RunFiles, shown_runs
    from ..report.sections.claims.evidence import CURVATURE, GRADIENTS, SAMPLES
    from ..report.sections.contents import all_sections, findings
    from ..report.sections.objectives.section import PANEL
    from ..report.sections.sweeps import Members
    from ..report.trainings import PRIMARY, Training, divided, terms_of

READ = 0.05  # share of the time in which stores are read, about; figures are drawn in the second half
HEADLINE = {"sample_loss_equiv", "cluster"}  # arrays by sample that the headline needs
LARGE = {"rotation", "pair", "panel_rotation"}  # dimensions of Gram matrices, which the report does not need


@single("report", "page")
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
    places = {run: number for number, run in enumerate(dict.fromkeys(f.run for f in runs if f.run in shown))}
    every = [_read(files, places.get(files.run)) for files in counted(runs, "run", until=READ)]
    _check(every, settings, missing)
    trainings, external = divided(every)
    data = {name: _read_dataset(path) for name, path in datasets.items()}
    with_figures = [t for t in trainings if t.run in shown]
    found = findings(trainings, with_figures, sweeps or {})
    sections = all_sections(trainings, settings, data, with_figures, sweeps or {}, found, external)
    day = _date([f.twirl for f in runs])
    screen = facts.first_screen(trainings, external, data, with_figures, missing, found, settings, day)
    content = facts.page_content(trainings, external, data, sections, screen, config, settings, provenance)
    about = made_from.attribute(record or {})
    write_folder(Path(out), lambda folder: _fill(folder, content, every, about))
    say_found(f"{len(every)} trainings on one page: {out}/index.html")


def _date(stores: Sequence[Path]) -> str:
    """The day on which the last of the stores was written."""
    newest = datetime.fromtimestamp(max(path.stat().st_mtime for path in stores), tz=UTC)
    return f"{newest.day} {newest:%B %Y}"


def _check(trainings: Sequence[Training], settings: ReportSettings, missing: Sequence[str]) -> None:
    """Refuse a report without trainings, or on an unknown term."""
    if not trainings:
        raise UserError("runs", "at least one training", " ".join(missing) or "none")
    known = [PRIMARY, *terms_of(trainings)]
    if settings.term not in known:
        raise UserError("report.term", "a term of the loss", repr(settings.term), known)


def _read(files: RunFiles, number: int | None) -> Training:
    """A training without large arrays.

    Args:
        number: of a run with figures of its own; None for only the numbers for tables, claims and sweeps.
    """
    shown = number is not None
    hessian = _variables(files.hessian, None if shown else CURVATURE)
    gradient = _variables(files.gradient, None if shown else GRADIENTS)
    with store.open_store(files.twirl) as lazy:
        dims = {n: set(v.dims) for n, v in lazy.data_vars.items()}
        used = {*HEADLINE, *SAMPLES, *PANEL}
        kept = [n for n, d in dims.items() if (not LARGE & d if shown else d <= POOLED or n in used)]
        twirl = lazy[kept].load()
    train = None if files.train is None else store.load(files.train)
    dynamics = _variables(files.dynamics, None if shown else ())
    layers = _variables(files.layers, None if shown else ())
    stores = {"gradient": gradient, "dynamics": dynamics, "layers": layers}
    return Training(files.run, files.seed, train, twirl, hessian, files.dataset, number=number, **stores)


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
    figures = content.every_figure
    for figure in figures:
        inside(len(figures) + figures.index(figure), 2 * len(figures), f"drawing {figure.name}")
        for end, drawing in figure.files.items():
            (folder / "figures" / f"{figure.name}{end}").write_bytes(drawing)
    rejects = [d.rejects for d in content.datasets if d.rejects]
    tables = [table for section in content.sections for _, table in section.tables]
    for item in (*tables, *rejects, *figures):
        (folder / "tables" / f"{item.name}.csv").write_text(item.numbers.csv, encoding="utf-8", newline="\n")
    pooled = summary(trainings)
    pooled.attrs |= about
    store.save(pooled, folder / "summary.zarr.zip", SUMMARY)
    (folder / "twirl.json").write_text(export.exported(trainings), encoding="utf-8")
    (folder / "charts.js").write_text(vega.bundle(), encoding="utf-8")
    (folder / "index.html").write_text(page.html(content), encoding="utf-8")
    (folder / "README.md").write_text(markdown(content.screen), encoding="utf-8")
