"""Gradients of both parts against linear models in closed form, an equivariant model and plain autograd."""

import numpy as np
import pytest
import torch
import toys
from e3nn import o3
from linear_forces import MATRIX, Linear, exact_gradients, forces_task
from toy_model import Mlp

from twirlscope import losses
from twirlscope.contracts import Evaluation, Model
from twirlscope.curvature.gradients import flat_update, layers_of, measure, part_gradients, total_gradient
from twirlscope.curvature.objective import Objective
from twirlscope.estimators.gradient_statistics import gradient_statistics
from twirlscope.geometry import action, so3
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.base import Settings
from twirlscope.settings.gradient import GradientSettings


class Equivariant(Model):
    """Tensor product of e3nn, of the position with itself and its square, separately for each atom."""

    class Settings(Settings):
        """No settings."""

    task = "force_field"

    def __init__(self):
        super().__init__()
        self.product = o3.FullyConnectedTensorProduct("1x1o+2x0e", "1x1o+2x0e", "1x1o+1x0e")

    def forward(self, inputs):
        x = inputs["positions"]
        features = torch.cat([x, x.square().sum(-1, keepdim=True), torch.ones_like(x[..., :1])], -1)
        out = self.product(features, features) * (inputs["numbers"] > 0)[..., None]
        return {"forces": out[..., :3], "energy": out[..., 3:].mean(1)}


def objective(model, task, index, seed=0, chunk=8, dtype=torch.float64):
    quaternion = sample_rotations("independent", len(index), 2, seed)
    return Objective(model.to(dtype), task, task.batch(index), quaternion, chunk, unbiased=True)


@pytest.mark.slow
def test_part_gradients__of_a_linear_model_are_unbiased_for_the_closed_form():
    task, model, random = forces_task(), Linear(), np.random.default_rng(0)
    rows = [part_gradients(objective(model, task, random.integers(0, 30, 4), seed))[0] for seed in range(160)]
    pairs = torch.stack(rows).reshape(80, 2, 2, 9).numpy()
    gram = np.einsum("xbpn,xcqn->xpqbc", pairs, pairs)
    found, truth = gradient_statistics(gram, 4), exact_gradients(task).numpy()
    for name, expected in (
        ("gradient_square", [*(truth**2).sum(1), (truth.sum(0) ** 2).sum()]),
        ("gradient_inner", 0.0),
    ):
        values = found[name]
        error = values.std(0) / len(values) ** 0.5
        np.testing.assert_array_less(np.abs(values.mean(0) - expected), 3 * error, err_msg=name)
    naive = np.einsum("xppbb->xp", gram).mean(0) / 2
    assert (naive > 1.05 * (truth**2).sum(1)).all(), "the square of one batch's gradient is too large"


def test_part_gradients__agree_with_plain_autograd_on_one_big_batch():
    task, index = toys.force_field(), np.arange(12)
    torch.manual_seed(0)
    model = Mlp(Mlp.Settings(), {}).double()
    quaternion, batch = sample_rotations("independent", 12, 2, 0), task.batch(index).to("cpu", torch.float64)
    z = []
    for k in range(2):
        rotation = so3.matrix(quaternion[:, k])
        out = model(task.rotate(batch, rotation).inputs)
        z.append({t.name: action.twist(t.irreps, rotation, out[t.name]) for t in task.terms})
    mean = equiv = 0.0
    for t in task.terms:
        (a, b), y, w = (each[t.name] for each in z), batch.targets[t.name], batch.weights[t.name]
        mean = mean + t.weight * losses.inner(a - y, b - y, w).mean()  # <z_1 - y, z_2 - y> and |z_1 - z_2|^2 / 2
        equiv = equiv + t.weight * losses.mse(a, b, w).mean() / 2
    found, values = part_gradients(Objective(model, task, batch, quaternion, 5, unbiased=True))
    for part, row, value in zip((mean, equiv), found, values, strict=True):
        expected = torch.autograd.grad(part, list(model.parameters()), retain_graph=True)
        torch.testing.assert_close(row, torch.cat([g.flatten() for g in expected]))
        assert value == pytest.approx(part.item())
    torch.testing.assert_close(total_gradient(Evaluation(model, task, chunk=5), batch, quaternion), found.sum(0))


def test_part_gradients__do_not_depend_on_the_chunk():
    task = forces_task()
    rows = [part_gradients(objective(Linear(), task, np.arange(7), chunk=c))[0] for c in (1, 3, 7)]
    torch.testing.assert_close(rows[0], rows[1])
    torch.testing.assert_close(rows[0], rows[2])


def test_part_gradients__keep_one_chunk_in_memory_however_many_samples(monkeypatch):
    seen, task, index = [], forces_task(), np.arange(20)
    forward = Linear.forward
    monkeypatch.setattr(
        Linear, "forward", lambda self, inputs: seen.append(len(inputs["numbers"])) or forward(self, inputs)
    )
    model = Linear().double()
    part_gradients(objective(model, task, index, chunk=3))
    total_gradient(Evaluation(model, task, chunk=3), task.batch(index), sample_rotations("independent", 20, 2, 0))
    assert max(seen) == 6
    assert sum(seen) == 2 * 20 * 2


def test_part_gradients__of_the_equivariance_error_of_an_equivariant_model_are_rounding():
    torch.manual_seed(0)
    found, values = part_gradients(objective(Equivariant(), toys.force_field(), np.arange(10)))
    assert found[0].norm() > 0.1
    assert found[1].norm() < 1e-12 * found[0].norm()
    assert values[1] < 1e-24 * values[0]


def test_layers_of__are_the_owning_modules_cut_at_a_depth():
    model = torch.nn.Module()
    model.scale = torch.nn.Parameter(torch.ones(1))
    model.blocks = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))])
    model.head = torch.nn.Linear(1, 1)
    model.head.bias.requires_grad_(False)
    sizes = {d: {k: len(v) for k, v in layers_of(model, d).items()} for d in (1, 2, 9)}
    assert sizes[1] == {"model": 1, "blocks": 9, "head": 1}
    assert sizes[2] == {"model": 1, "blocks.0": 9, "head": 1}
    assert sizes[9] == {"model": 1, "blocks.0.0": 6, "blocks.0.1": 3, "head": 1}
    places = np.concatenate(list(layers_of(model, 9).values()))
    np.testing.assert_array_equal(places, np.arange(11))


def test_flat_update__is_in_the_order_of_the_trained_parameters():
    model = torch.nn.Linear(2, 1)
    update = {"bias": torch.tensor([3.0]), "weight": torch.tensor([[1.0, 2.0]])}
    assert flat_update(model, update).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.slow
def test_measure__of_a_term_without_some_targets_is_unbiased_for_the_samples_that_have_one():
    """With 3 of 4 targets unknown, batches of 2 often have none, and still have the gradients of the others."""
    task, known = toys.partly_labelled(30)
    task.terms = task.terms[:1]
    index = np.random.default_rng(0).integers(0, 30, (200, 2))
    quaternion = sample_rotations("independent", index.size, 2, 0).reshape(200, 2, 2, 4)
    model = Linear().double()
    settings = GradientSettings(batches=200, samples=2, device="cpu")
    found = measure(Evaluation(model, task, dtype=torch.float64), index, quaternion, settings, None, 0)
    some = task.batch(known).to("cpu", torch.float64)
    c = losses.inner(some.inputs["positions"], some.inputs["positions"], some.weights["forces"]).mean() * 3
    a = MATRIX.trace() / 3
    exact = (2 * c / 9 * (a + 1)) ** 2 * 3
    square, error = (
        found[n].sel(layer="whole", part="mean").item() for n in ("gradient_square", "gradient_square_error")
    )
    assert error < 0.2 * exact
    assert abs(square - exact) < 3 * error
