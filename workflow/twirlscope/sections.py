"""The sections of the report, a question each, in the order of the page: which sentences, figures and tables answer it.

What was not measured has no section; only for the curvature the page says that it is missing.
"""

from __future__ import annotations

import xarray as xr

from . import (
    figures,
    figures_backbones,
    figures_condition,
    figures_covariate,
    figures_degrees,
    figures_density,
    figures_eigenvalues,
    figures_fields,
    figures_frontier,
    figures_gradient,
    figures_gradient_direction,
    figures_gradient_layers,
    figures_hessian,
    figures_learning,
    figures_parameters,
    figures_plan,
    figures_price,
    figures_reflection,
    figures_spectrum,
    figures_sweeps,
    figures_training,
    findings,
    frontier,
    verdict,
)
from .attribution import attribution_table
from .claims import claims_table, judge, sentences
from .comparisons import convex_table, reflection_table
from .cost_table import cost_table
from .degree_use import degree_sentence, degree_table, with_degrees
from .excess import excess_table
from .figures_sets import errors_by_set
from .figures_sweeps import Members
from .hints import Mapping, Sequence
from .learning import learning_frame, learning_table
from .page import Section, Table
from .paper import CLAIMS
from .quoted import published_table, quoted_frame, quoted_table
from .settings.report import ReportSettings
from .style import Figure
from .trainings import Training, by_run, labels_note, slug, terms_of
from .translation import translation_table


def tell(
    every: Sequence[Training],
    settings: ReportSettings,
    data: Mapping[str, xr.Dataset],
    trainings: Sequence[Training],
    sweeps: Mapping[str, Members],
) -> list[Section]:
    """All sections that have something to show.

    Args:
        every: what claims, sweeps and learning curves are about.
        trainings: those that are drawn one by one: all, or some of many.
    """
    threshold = settings.threshold
    found = [
        _claims(every, settings.term),
        _sweeps(every, sweeps, settings),
        _percent(trainings, every, threshold),
        _losses(trainings, every),
        _test_sets(trainings, data),
        _learning(every),
        _price(trainings),
        _spectrum(trainings),
        _cost(trainings, every),
        _fields(trainings),
        _gradients(trainings),
        _curvature(trainings),
        Section(
            "chains",
            "Protein chains",
            figures=figures_backbones.generated(trainings) + figures_backbones.compared(data),
        ),
        Section("training", "Training", figures=[figures_training.training_curves(trainings)]),
    ]
    return [s for s in found if s.sentences or s.figures or s.tables]


def _losses(trainings: Sequence[Training], every: Sequence[Training]) -> Section:
    shown = [figures.losses(trainings, term) for term in _told_apart(trainings)] + _by_covariate(trainings)
    tables = _tables({"Other losses": convex_table(every), "Excess loss": excess_table(every)})
    return Section("losses", "The two parts of the loss", figures=shown, tables=tables)


def _cost(trainings: Sequence[Training], every: Sequence[Training]) -> Section:
    shown, tables = figures_frontier.frontiers(trainings, "weighted"), _tables({"Cost": cost_table(every)})
    return Section("cost", "Cost", frontier.sentences(trainings), shown, tables)


def _claims(trainings: Sequence[Training], term: str) -> Section:
    verdicts = judge(CLAIMS, trainings, term)
    return Section("claims", "Claims", sentences(verdicts), tables=[("Verdicts", claims_table(verdicts))])


def _sweeps(trainings: Sequence[Training], sweeps: Mapping[str, Members], settings: ReportSettings) -> Section:
    shown = [
        figures_sweeps.sweep(trainings, name, members, settings.term, settings.threshold)
        for name, members in sweeps.items()
    ]
    return Section("sweeps", "Sweeps", figures=[figure for figure in shown if figure])


def _told_apart(trainings: Sequence[Training]) -> list[str]:
    """The terms, the weighted sum first, without those that are the whole loss wherever they occur."""
    many = [t.twirl["term"].values for t in trainings if t.twirl.sizes["term"] > 2]
    return [t for t in terms_of(trainings) if t == "weighted" or any(t in terms for terms in many)]


def _tables(named: dict[str, Table | None]) -> list[tuple[str, Table]]:
    """Those that there are, with their headings."""
    return [(heading, table) for heading, table in named.items() if table is not None]


def _by_covariate(trainings: Sequence[Training]) -> list[Figure]:
    """One figure a term that is no sum of others, where the loss depends on a number of the sample."""
    terms = [t for t in terms_of(trainings) if t != "weighted"]
    return [f for t in terms if (f := figures_covariate.by_covariate(trainings, t)) is not None]


def _percent(trainings: Sequence[Training], every: Sequence[Training], threshold: float) -> Section:
    terms = _told_apart(trainings)
    shown = [figures.percent(trainings, term, threshold) for term in terms]
    shown += [f for t in terms if t != "weighted" and (f := figures_reflection.reflections(trainings, t))]
    tables = {"Elements": attribution_table(every), "Reflections": reflection_table(every)}
    return Section("percent", "Equivariance error", figures=shown, tables=_tables(tables))


def _test_sets(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> Section:
    errors = quoted_frame(trainings, data)
    if errors is None:
        return Section("sets", "Test sets")
    figure = errors_by_set(errors, labels_note(trainings))
    tables = {"Errors by test set": quoted_table(errors), "Published errors": published_table(data)}
    return Section("sets", "Test sets", figures=[figure] if figure else [], tables=_tables(tables))


def _learning(trainings: Sequence[Training]) -> Section:
    frame = learning_frame(trainings)
    if frame is None:
        return Section("learning", "Learning curve")
    shown = figures_learning.learning_curves(frame, labels_note(trainings))
    return Section("learning", "Learning curve", figures=shown, tables=[("Learning curve", learning_table(frame))])


def _price(trainings: Sequence[Training]) -> Section:
    verdicts, used = verdict.verdicts(trainings), with_degrees(trainings)
    said = [s for v in verdicts for s in verdict.sentences(v)] + verdict.unpaired(trainings)
    said += [degree_sentence(t) for t in used]
    shown = [f for v in verdicts for f in figures_price.price_figures(v)] + [figures_degrees.degrees(t) for t in used]
    tables = _tables({"Crossings": verdict.crossover_table(verdicts), "Degrees in use": degree_table(trainings)})
    return Section("price", "The price of symmetry", said, shown, tables)


def _spectrum(trainings: Sequence[Training]) -> Section:
    terms = _told_apart(trainings)
    shown = [figures_spectrum.spectrum(trainings, t) for t in terms if figures_spectrum.measured(trainings, t)]
    if shown:
        shown += [figures_spectrum.effective_degree(trainings, terms[0]), figures_plan.plan(trainings, terms[0])]
    shown += [f for t in terms if (f := figures_fields.irreps(trainings, t))]
    tables = _tables({"In the words of other tools": translation_table(trainings)})
    return Section("spectrum", "Spectrum of the equivariance error", figures=shown, tables=tables)


def _fields(trainings: Sequence[Training]) -> Section:
    """Slices are of the first seed of a run."""
    shown = [figures_fields.slices(seeds[0]) for seeds in by_run(trainings).values()]
    return Section("fields", "Fields on grids", figures=[f for f in (*shown, figures_fields.merits(trainings)) if f])


def _gradients(trainings: Sequence[Training]) -> Section:
    """Those by layer are of the first seed of a run."""
    measured = [t for t in trainings if t.gradient is not None]
    said = [findings.gradient_sentence(t) for t in measured]
    kinds = (
        figures_gradient.ratio,
        figures_gradient_direction.cosine,
        figures_gradient_direction.share,
        figures_gradient.norms,
        figures_gradient.noise,
    )
    shown = [draw(measured) for draw in kinds] if measured else []
    shown += [f for draw in (figures_parameters.against, figures_parameters.nearest) if (f := draw(measured))]
    for training in (seeds[0] for seeds in by_run(measured).values()):
        name = f"gradient_layers_{slug(training.run)}_seed{training.seed}"
        shown.append(figures_gradient_layers.layers(training, name))
    return Section("gradients", "Gradients", said, shown)


def _curvature(trainings: Sequence[Training]) -> Section:
    """Condition numbers, densities and spectra are drawn for the first seed of a run."""
    curved = [t for t in trainings if t.hessian is not None]
    missing = "; ".join(t.label for t in trainings if t.hessian is None)
    said = [findings.curvature_sentence(t) for t in curved]
    said += [f"The Hessian was not computed for: {missing}."] if missing else []
    shown = [figures_eigenvalues.eigenvalues(curved)] if curved else []
    for training in (seeds[0] for seeds in by_run(curved).values()):
        name = f"{slug(training.run)}_seed{training.seed}"
        shown.append(figures_condition.conditions(training, f"condition_{name}"))
        shown.append(figures_density.densities(training, f"density_{name}"))
        shown.append(figures_hessian.spectra(training, f"spectra_{name}"))
    return Section("curvature", "Curvature", said, shown)
