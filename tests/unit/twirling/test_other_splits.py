"""Per-sample losses on every held-out split, for models whose split is known in closed form."""

import four_splits
import numpy as np
import pytest
import toys
from four_splits import BIAS, measured

from twirlscope.contracts import Evaluation
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.tasks.force_field import ForceField
from twirlscope.twirling.other_splits import measure_test_sets


@pytest.fixture(scope="module")
def data():
    return four_splits.frames()


def test_measure_test_sets__has_every_sample_of_every_set_once(data):
    _, found = measured(data, toys.Well(0.5))
    assert found["test_set"].values.tolist() == ["test", "far", "scan"]
    np.testing.assert_array_equal(found["set_index"], np.arange(15, 60))
    np.testing.assert_array_equal(found["set_number"], np.repeat([0, 1, 2], 15))


def test_measure_test_sets__has_no_force_error_where_only_energies_are_known(data):
    _, found = measured(data, toys.Well(0.5))
    unknown = np.isnan(found["set_loss_total"].values)
    forces, energy, weighted = (unknown[i] for i in range(3))
    assert forces.tolist() == weighted.tolist() == [False] * 30 + [True] * 15
    assert not energy.any()


def test_measure_test_sets__of_a_lab_frame_bias_is_the_known_split(data):
    """Predicted forces are (-x + v) in the unit of the loss, targets -x / 2: the bias adds |v|^2 / 3 per component."""
    _, found = measured(data, toys.Well(0.5, BIAS))
    equiv = found["set_loss_equiv"].values[0, :30]
    assert abs(equiv.mean() - 0.25 / 3) < 4 * equiv.std() / 30**0.5
    np.testing.assert_allclose(found["set_loss_total"].values[0, :30], 0.25 / 3, rtol=1e-4)


def test_measure_test_sets__takes_the_number_of_samples_in_the_settings_from_each_set(data):
    task = ForceField(ForceField.Settings(), data)
    found = measure_test_sets(Evaluation(toys.Well(), task), data, TwirlSettings(samples=4))
    assert np.bincount(found["set_number"]).tolist() == [4, 4, 4]
    assert set(data["split"].values[found["set_index"].values[4:8]]) == {2}
