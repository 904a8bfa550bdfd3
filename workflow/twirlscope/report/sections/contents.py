"""All sections of the report, in the order of the page; empty sections are left out."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from ..._typing import Mapping, Sequence
from ...settings.report import ReportSettings
from ..questions import QUESTIONS
from ..section import Section
from ..trainings import Training
from . import (
    averaging,
    benchmarks,
    chains,
    cost,
    degrees_in_use,
    equivariance_error,
    fields,
    last_checkpoint,
    layers,
    learning_curves,
    loss_parts,
    runs,
    sweeps,
    training,
)
from .claims import section as claims
from .claims.judge import Verdict
from .course import section as course
from .curvature import section as curvature
from .gradients import section as gradients
from .objectives import section as objectives
from .potentials import section as potentials
from .price import section as price
from .price.results import Result, results
from .scaling import section as scaling
from .spectrum import section as spectrum


@dataclass(frozen=True)
class Findings:
    """Results that the first screen and a section share: verdicts on claims, comparisons with built-in symmetry."""

    verdicts: Sequence[Verdict] = ()
    comparisons: Sequence[Result] = ()


def findings(every: Sequence[Training], shown: Sequence[Training], members: Mapping[str, sweeps.Members]) -> Findings:
    """The verdicts of `every` training, and the comparisons among those that are `shown`."""
    return Findings(claims.verdicts_of(every, members), results(shown)) if every else Findings()


def all_sections(
    every: Sequence[Training],
    settings: ReportSettings,
    data: Mapping[str, xr.Dataset],
    shown: Sequence[Training],
    members: Mapping[str, sweeps.Members],
    found: Findings,
    external: Sequence[Training] = (),
) -> list[Section]:
    """The sections that are not empty, in the order of their questions.

    Args:
        shown: those with figures and sentences of their own: all, or some of many.
        members: by sweep, its runs and their values.
    """
    sections = [potentials.section(external), spectrum.section([*shown, *external])]
    if every:
        sections += [
            loss_parts.section(shown, every),
            last_checkpoint.section(every, settings),
            sweeps.section(every, members, settings),
            course.section(every, shown, settings.threshold, settings.batch),
            equivariance_error.section(shown, every),
            price.section(shown, found.comparisons),
            cost.section(every),
            averaging.section(shown),
            benchmarks.section(shown, data),
            learning_curves.section(every),
            scaling.section(every),
            objectives.section(every),
            fields.section(shown),
            chains.section(shown, data),
            claims.section(found.verdicts),
            *(one.section(shown) for one in (degrees_in_use, gradients, layers, curvature)),
            runs.section(every, shown),
            training.section(shown),
        ]
    return sorted((s for s in sections if not s.empty), key=lambda s: QUESTIONS.index(s.question))
