"""The spectrum of runs whose error is rounding error in some of their terms, or in all."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.spectrum.section import section
from twirlscope.report.trainings import Training


def at_floor(*terms):
    """A training whose equivariance error is rounding error in these terms."""
    data = synthetic.spectral(synthetic.twirl())
    low = data["term"].isin(terms)
    for name in ("loss_equiv", "panel_loss_equiv", "spectrum", "spectrum_error"):
        data[name] = data[name].where(~low, 1e-13 * data[name])
    data["loss_equiv_floor"] = data["loss_equiv"].where(low, data["loss_equiv_floor"])
    return Training("built in", 0, synthetic.train(50), data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low", "shown"),
    [
        (("weighted",), ["spectrum_forces", "spectrum_energy", "degree_forces", "twirling_forces"]),
        (("weighted", "forces"), ["spectrum_energy", "degree_energy", "twirling_energy"]),
        (("weighted", "forces", "energy"), []),
        ((), ["spectrum_weighted", "spectrum_forces", "spectrum_energy", "degree_weighted", "twirling_weighted"]),
    ],
)
def test_section__shows_the_terms_whose_error_is_more_than_rounding(low, shown):
    figures = section([at_floor(*low)]).every_figure
    assert sorted(figure.name for figure in figures) == sorted(shown)
    assert all(np.isfinite(figure.numbers.data.select_dtypes("number").to_numpy()).any() for figure in figures)
