"""Both parts of the loss against a plain computation, and the Hessian of each loss in the predictions."""

import numpy as np
import pytest
import torch
import toys
from small_models import SAMPLES, Clouds, Direct, case, plain_losses

from twirlscope.curvature.objective import LOSSES, Objective
from twirlscope.geometry import rotation_sets
from twirlscope.losses import balanced


@pytest.mark.parametrize("kind", ["D2", "T"])
def test_losses__are_the_plug_in_parts_of_the_squared_error(kind):
    objective, (model, batch, quaternion) = case(kind=kind)
    mean, equiv = plain_losses(model, batch, quaternion)
    values = objective.values()
    np.testing.assert_allclose([values["mean"], values["equiv"]], [mean.item(), equiv.item()], rtol=1e-12)
    assert values["total"] == pytest.approx((mean + equiv).item(), rel=1e-12)


@pytest.mark.slow
def test_losses__of_independent_rotations_are_unbiased():
    mean, equiv = [], []
    torch.manual_seed(1)
    model, batch = Direct().double(), Clouds().batch(np.arange(SAMPLES))
    exact = Objective(
        model, Clouds(), batch, rotation_sets.sample_rotations("I", SAMPLES, 0, 5)
    ).values()  # exact to degree 5
    for seed in range(200):
        quaternion = rotation_sets.sample_rotations("independent", SAMPLES, 3, seed)
        values = Objective(model, Clouds(), batch, quaternion, unbiased=True).values()
        mean.append(values["mean"]), equiv.append(values["equiv"])
    for estimates, value in ((mean, exact["mean"]), (equiv, exact["equiv"])):
        assert abs(np.mean(estimates) - value) < 3 * np.std(estimates) / np.sqrt(200)


def test_objective__in_float64_rotates_the_samples_anew():
    narrow, wide = case(dtype=torch.float32)[0], case(dtype=torch.float64)[0]
    double = narrow.to(torch.float64).chunks[0]
    torch.testing.assert_close(double.inputs, wide.chunks[0].inputs, rtol=0, atol=1e-15)
    assert (narrow.chunks[0].inputs["positions"].double() - wide.chunks[0].inputs["positions"]).abs().max() > 1e-9
    assert narrow.to(torch.float64).values() == pytest.approx(narrow.values(), rel=1e-5)
    assert next(narrow.model.parameters()).dtype == torch.float32


def test_output_hessian_product__is_the_hessian_of_each_loss_in_the_predictions():
    objective, _ = case(kind="independent", chunk=2)
    chunk = objective.chunks[1]
    z = objective.twisted(objective.parameters, chunk).detach()
    for part in LOSSES:
        exact = torch.autograd.functional.hessian(lambda z, p=part: objective._parts(z, chunk)[p], z)
        columns = [objective.output_hessian_product(e, chunk, part) for e in torch.eye(len(z), dtype=z.dtype)]
        np.testing.assert_allclose(torch.stack(columns), exact, atol=1e-15)


def test_objective__of_a_balanced_batch_is_that_of_the_samples_with_a_target_whatever_the_chunk():
    task, known = toys.partly_labelled(12)
    task.terms = task.terms[:1]
    quaternion = rotation_sets.sample_rotations("independent", 12, 2, 0)
    some = Objective(toys.Well(0.3, (0.1, 0.2, 0.3)).double(), task, task.batch(known), quaternion[known], 8, True)
    for chunk in (1, 5, 12):
        batch = balanced(task.batch(np.arange(12)))
        every = Objective(some.model, task, batch, quaternion, chunk, unbiased=True)
        assert every.values() == pytest.approx(some.values(), rel=1e-6)
        theta = every.parameters
        torch.testing.assert_close(every.gradients(theta), some.gradients(theta), rtol=1e-6, atol=1e-12)
