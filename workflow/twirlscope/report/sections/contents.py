"""The sections of the report in the order of the page. A section without sentences, figures and tables is left out."""

from __future__ import annotations

import xarray as xr

from ..._typing import Mapping, Sequence
from ...settings.report import ReportSettings
from ..section import Section
from ..trainings import Training
from . import benchmarks, chains, cost, equivariance_error, fields, learning_curves, loss_parts, sweeps, training
from .claims import section as claims
from .curvature import section as curvature
from .gradients import section as gradients
from .price import section as price
from .spectrum import section as spectrum


def contents(
    every: Sequence[Training],
    settings: ReportSettings,
    data: Mapping[str, xr.Dataset],
    trainings: Sequence[Training],
    members: Mapping[str, sweeps.Members],
) -> list[Section]:
    """All sections that have something to show.

    Args:
        every: what claims, sweeps and learning curves are about.
        trainings: those that are drawn one by one: all, or some of many.
        members: by sweep, its runs and their values.
    """
    found = [
        claims.section(every, settings.term),
        sweeps.section(every, members, settings),
        equivariance_error.section(trainings, every, settings.threshold),
        loss_parts.section(trainings, every),
        benchmarks.section(trainings, data),
        learning_curves.section(every),
        price.section(trainings),
        spectrum.section(trainings),
        cost.section(trainings, every),
        fields.section(trainings),
        gradients.section(trainings),
        curvature.section(trainings),
        chains.section(trainings, data),
        training.section(trainings),
    ]
    return [s for s in found if s.sentences or s.figures or s.tables]
