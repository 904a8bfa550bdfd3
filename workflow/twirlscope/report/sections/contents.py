"""All sections of the report, in the order of the page; empty sections are left out."""

from __future__ import annotations

import xarray as xr

from ..._typing import Mapping, Sequence
from ...settings.report import ReportSettings
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
    learning_curves,
    loss_parts,
    sweeps,
    training,
)
from .claims import section as claims
from .course import section as course
from .curvature import section as curvature
from .gradients import section as gradients
from .objectives import section as objectives
from .potentials import section as potentials
from .price import section as price
from .spectrum import section as spectrum


def all_sections(
    every: Sequence[Training],
    settings: ReportSettings,
    data: Mapping[str, xr.Dataset],
    shown: Sequence[Training],
    members: Mapping[str, sweeps.Members],
    external: Sequence[Training] = (),
) -> list[Section]:
    """The sections that are not empty.

    Args:
        every: all trainings, for claims, sweeps, learning curves and tables.
        data: the prepared datasets by name.
        shown: the trainings that have figures and sentences of their own: all, or some of many.
        members: by sweep, its runs and their values.
        external: potentials that were not trained here.
    """
    found = [potentials.section(external), spectrum.section([*shown, *external])]
    if every:
        found = [
            claims.section(every, members),
            sweeps.section(every, members, settings),
            equivariance_error.section(shown, every, settings.threshold),
            course.section(every, shown, settings.threshold, settings.batch),
            loss_parts.section(shown, every),
            benchmarks.section(shown, data),
            learning_curves.section(every),
            objectives.section(every),
            price.section(shown),
            degrees_in_use.section(shown),
            *found,
            averaging.section(shown),
            cost.section(every),
            fields.section(shown),
            gradients.section(shown),
            curvature.section(shown),
            chains.section(shown, data),
            training.section(shown),
        ]
    return [section for section in found if not section.empty]
