from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import SAMPLES, Clouds, Direct, case, plain_losses

from twirlscope.curvature.objective import LOSSES, Objective
from twirlscope.errors import UserError
from twirlscope.geometry import rotation_sets, so3
from twirlscope.geometry.rotation_sets import rotation_set
from twirlscope.runtime import precision


@pytest.mark.parametrize("kind", ["D2", "T"])
def test_losses__are_the_plug_in_parts_of_the_squared_error(kind):
    objective, (model, batch, quaternion) = case(kind=kind)
    mean, equiv = plain_losses(model, batch, quaternion)
    values = objective.values()
    np.testing.assert_allclose([values["mean"], values["equiv"]], [mean.item(), equiv.item()], rtol=1e-12)
    assert values["total"] == pytest.approx((mean + equiv).item(), rel=1e-12)


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
    for draws, value in ((mean, exact["mean"]), (equiv, exact["equiv"])):
        assert abs(np.mean(draws) - value) < 3 * np.std(draws) / np.sqrt(200)


@pytest.mark.parametrize("kind", ["D2", "T", "O"])
def test_rotations__of_a_group_hold_the_group_between_two_uniform_rotations(kind):
    quaternion = rotation_sets.sample_rotations(kind, 2, 0, 0)
    matrices = so3.matrix(quaternion)
    traces = lambda m: torch.einsum("gij,hij->gh", m, m).flatten().sort().values  # noqa: E731
    for each in matrices:
        torch.testing.assert_close(traces(each), traces(so3.matrix(rotation_set(kind).quaternion)))
    assert (matrices[0] - matrices[1]).abs().max() > 0.1
    assert matrices.mean(1).abs().max() < 1e-12  # exact to degree 1


@pytest.mark.parametrize("kind", ["lebedev5", "H"])
def test_rotations__refuse_a_set_with_weights_and_one_that_does_not_exist(kind):
    with pytest.raises(UserError, match=kind):
        rotation_sets.sample_rotations(kind, 2, 0, 0)


def test_differentiable__restores_what_it_changed(monkeypatch):
    flags = SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", flags)
    with torch.no_grad(), precision.differentiable():
        assert not flags.allow_tf32
        assert torch.is_grad_enabled()
    assert flags.allow_tf32


def test_objective__in_float64_turns_the_samples_anew():
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
