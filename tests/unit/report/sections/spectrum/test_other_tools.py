"""Identities between the equivariance error and what other tools report."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.sections.spectrum.other_tools import translation_table
from twirlscope.report.trainings import Training


def test_translation__holds_the_identities():
    data = synthetic.spectral(synthetic.twirl())
    data["lie_error"] = 3 * data["panel_loss_equiv"]
    data = data.assign_attrs(irreps_energy="0e", irreps_forces="1o")
    rows = translation_table([Training("a", 0, None, data)]).numbers.data.set_index("term")
    equiv = float(data["loss_equiv"].sel(term="forces")[-1])
    assert rows.loc["forces", "remul"] ** 2 == pytest.approx(2 * equiv)
    assert rows.loc["forces", "deviation_meV/Å"] == pytest.approx(1700 * equiv**0.5)
    assert rows.loc["energy", "equigrad"] ** 2 == pytest.approx(2 * rows.loc["energy", "lie"])
    assert np.isnan(rows.loc["forces", "equigrad"])
    assert translation_table([Training("a", 0, None, synthetic.twirl())]) is None
