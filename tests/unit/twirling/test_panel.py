"""Panel: its stored arrays and statistics, on models whose spectrum is known."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import panel

BIAS = (0.3, -0.1, 0.2)
SQUARE = sum(b * b for b in BIAS) / 3
SETTINGS = TwirlSettings(panel=12, resamples=200, highest_degree=4)


def measured(model, settings=SETTINGS, samples=40):
    task = toys.force_field(samples)
    chosen = panel.panel_of(np.arange(samples), settings)
    products, lie = panel.measure_panel(Evaluation(model, task), chosen)
    data = panel.panel_dataset(chosen, [(products, lie)])
    data = data.assign_coords(step=[0], term=np.array(["forces", "energy", "weighted"], object))
    return task, chosen, panel.summarise_panel(data, chosen, settings)


def _losses(evaluation, found, chosen):
    return panel.twirling_losses(found, chosen, SETTINGS, panel.measured_losses(evaluation, chosen, SETTINGS))


def test_symmetric_matrices__are_recovered_from_their_upper_triangles():
    gram = np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    gram = gram + gram.swapaxes(-1, -2)
    np.testing.assert_array_equal(panel.symmetric_matrices(panel.upper_triangles(gram), 5), gram)


def test_panel__of_a_lab_frame_bias_finds_all_of_it_in_degree_one():
    """A constant v fixed in the lab has degree 1: L_equiv = q_1 = |v|^2 / 3 per component, LEE = 2 q_1."""
    _, _, found = measured(toys.Well(0.5, BIAS))
    forces = found.sel(term="forces").isel(step=0)
    np.testing.assert_allclose(forces["panel_loss_equiv"], SQUARE, rtol=1e-4)
    assert abs(float(forces["spectrum"][1]) - SQUARE) < 4 * float(forces["spectrum_error"][1]) + 1e-6
    for degree in (2, 3, 4):
        assert abs(float(forces["spectrum"][degree])) < 4 * float(forces["spectrum_error"][degree]) + 1e-6
    np.testing.assert_allclose(forces["lie_error"], 2 * SQUARE, rtol=1e-4)
    np.testing.assert_allclose(forces["effective_degree"], 1, rtol=1e-3)
    assert forces["effective_degree_low"] <= forces["effective_degree"] <= forces["effective_degree_high"]


def test_panel_of__gives_the_same_panel_every_time_from_the_measured_samples():
    index = np.arange(3, 90)
    first, second = (panel.panel_of(index, SETTINGS) for _ in range(2))
    np.testing.assert_array_equal(first.index, second.index)
    assert (first.quaternion == second.quaternion).all()
    assert set(first.index) <= set(index)
    assert len(set(first.index)) == SETTINGS.panel


@pytest.mark.parametrize("name", ["D2", "T", "O", "I"])
def test_twirling_losses__predict_no_residual_where_the_set_is_exact_and_measure_none(name):
    """A bias has degree 1 only, which every set here integrates; twirling leaves the twirled prediction error."""
    task, chosen, found = measured(toys.Well(0.5, BIAS))
    losses = _losses(Evaluation(toys.Well(0.5, BIAS), task), found, chosen).sel(rotation_set=name, term="forces")
    mean = float(found["spectrum"].sel(term="forces").isel(step=0, degree=0))
    np.testing.assert_allclose(losses["twirled_loss"], mean, rtol=0.05)
    np.testing.assert_allclose(losses["twirled_loss_predicted"], losses["twirled_loss"], rtol=0.05)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_twirling_losses__measure_what_independent_rotations_leave(count):
    """K rotations leave |v|^2 / (3 K) of a bias v, one pass all of it; the rest cancels, paired by sample."""
    task, chosen, found = measured(toys.Well(0.5, BIAS), SETTINGS.model_copy(update={"panel": 40}))
    losses = _losses(Evaluation(toys.Well(0.5, BIAS), task), found, chosen).sel(term="forces")
    one = losses.sel(rotation_set=f"haar{count}")
    gain = (one["panel_twirled_loss"] - one["panel_single_loss"]).values
    assert abs(gain.mean() - SQUARE * (1 / count - 1)) < 4 * gain.std(ddof=1) / 40**0.5
    predicted = one["twirled_loss_predicted"] - losses["twirled_loss_predicted"].sel(rotation_set="haar1")
    np.testing.assert_allclose(predicted, SQUARE * (1 / count - 1), rtol=1e-3, atol=1e-6)
    assert one["passes"] == count


def test_kept_predictions__have_the_stored_gram_matrices():
    task, chosen, found = measured(toys.Well(0.5, BIAS))
    (kept,) = panel.kept_predictions(Evaluation(toys.Well(0.5, BIAS), task), chosen, SETTINGS)
    assert kept.shape[:2] == (SETTINGS.kept, found.sizes["panel_rotation"])
    batch = task.batch(chosen.index[: SETTINGS.kept])
    weights = batch.weights["forces"].numpy().repeat(3, 1)[:, None] / 3
    forces = kept[..., : weights.shape[-1]] * np.sqrt(weights)
    gram = panel.symmetric_matrices(found["panel_gram"].values[0, 0, : SETTINGS.kept], found.sizes["panel_rotation"])
    np.testing.assert_allclose(forces @ forces.swapaxes(1, 2), gram, rtol=1e-4, atol=1e-5)


def test_panel__of_a_finite_group_has_all_its_rotations_and_its_spectrum_sums_to_the_error():
    task = plugins.make_task({"name": "voxel_denoising", "size": 8, "resolution": 1.0}, toys.molecules())
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(2, 2, 3, padding=1)

    def model(inputs):
        return {"density": layer(inputs["grid"].movedim(-1, 1)).movedim(1, -1)}

    with torch.no_grad():
        chosen = panel.panel_of(np.arange(20), SETTINGS, task.group)
        assert chosen.quaternion.shape[1:] == (1, 24, 4)
        products, lie = panel.measure_panel(Evaluation(model, task), chosen)
    assert lie is None
    found = panel.panel_dataset(chosen, [(products, lie)]).assign_coords(step=[0], term=["density", "weighted"])
    found = panel.summarise_panel(found, chosen, SETTINGS).sel(term="density", step=0)
    gram = products["gram"][0]
    whole = np.einsum("sii->si", gram).mean(-1) - gram.mean((-1, -2))
    np.testing.assert_allclose(found["panel_loss_equiv"], whole.mean(), rtol=1e-9)
    np.testing.assert_allclose(found["irrep_spectrum"][1:].sum(), whole.mean(), rtol=1e-9)
    mean = gram.mean((-1, -2)) - 2 * products["cross"][0].mean(-1) + products["square"][0]
    np.testing.assert_allclose(found["twirled_loss_predicted"].sel(rotation_set="O"), mean.mean(), rtol=1e-9)
    losses = found["twirled_loss_predicted"].values
    assert losses[0] > losses[1] > losses[2] > 0
    error = (
        gram - products["cross"][0][:, None] - products["cross"][0][..., None] + products["square"][0][:, None, None]
    )
    own = np.einsum("sii->si", error)
    pairs = (own[:, None] + own[..., None] + 2 * error).mean() / 4  # the mean of every two rotations, the same included
    np.testing.assert_allclose(found["twirled_loss_predicted"].sel(rotation_set="haar2"), pairs, rtol=1e-9)
    assert panel.kept_predictions(Evaluation(model, task), chosen, SETTINGS) == []


def test_panel__of_a_term_without_some_targets_is_that_of_the_samples_that_have_one():
    task, known = toys.partly_labelled(40)
    settings = SETTINGS.model_copy(update={"panel": 40})
    chosen = panel.panel_of(np.arange(40), settings)
    measured = panel.measure_panel(Evaluation(toys.Well(0.5, BIAS), task), chosen)
    data = panel.panel_dataset(chosen, [measured])
    data = data.assign_coords(step=[0], term=np.array(["forces", "energy", "weighted"], object))
    forces = panel.summarise_panel(data, chosen, settings).sel(term="forces").isel(step=0)
    np.testing.assert_allclose(forces["panel_loss_equiv"], SQUARE, rtol=1e-4)
    np.testing.assert_allclose(forces["lie_error"], 2 * SQUARE, rtol=1e-4)
    assert len(known) == 10
