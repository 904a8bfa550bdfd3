"""Objectives with a term for symmetry, each against another road to the same number."""

import numpy as np
import pytest
import torch
from objective_cases import exact_rows, gradient, loop_of

from twirlscope.contracts import Evaluation
from twirlscope.curvature.gradients import part_gradients
from twirlscope.curvature.objective import Objective
from twirlscope.estimators import loss_split
from twirlscope.geometry import rotation_sets, so3
from twirlscope.losses import weighted_loss
from twirlscope.training import batches
from twirlscope.twirling import lie_derivative, twisting


def doubled(loop, update=0):
    """The rows of an update in float64."""
    return loop.rows(update).to("cpu", torch.float64)


def test_penalty__of_weight_one_is_augmentation_with_two_views():
    one, two = loop_of({"name": "equiv_penalty"}), loop_of({"name": "augment", "views": 2})
    torch.testing.assert_close(gradient(one), gradient(two), atol=1e-12, rtol=0)
    values = [loop.objective(loop.model, doubled(loop))["total"].item() for loop in (one, two)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_penalty__and_its_gradient_are_those_of_the_estimator_and_of_the_gradient_stage():
    loop, heavy = (loop_of({"name": "equiv_penalty", "weight": w}) for w in (1.0, 3.0))
    index = batches.batch_index(loop.index, 0, 12, 0)
    quaternion = rotation_sets.uniform("SO3", 24, generator=batches.turns_of(0, 0)).reshape(12, 2, 4)
    exact = Objective(loop.model, loop.task, loop.task.batch(index), quaternion, chunk=12, unbiased=True)
    rows = exact_rows(loop, index, quaternion)
    shown = doubled(loop).batch.inputs["positions"]
    torch.testing.assert_close(rows.batch.inputs["positions"], shown, atol=1e-5, rtol=0)
    slopes, values = part_gradients(exact)
    by_penalty = (gradient(heavy, rows=rows) - gradient(loop, rows=rows)) / 2
    assert (by_penalty - slopes[1]).norm() < 1e-10 * slopes[1].norm()
    found = loop.objective(loop.model, rows)
    assert found["equiv"].item() == pytest.approx(values[1], rel=1e-10)
    evaluation = Evaluation(loop.model, loop.task, dtype=torch.float64)
    products = twisting.with_weighted(loop.task, twisting.inner_products(evaluation, index, quaternion))
    split = loss_split.split(*(products[k][-1] for k in ("gram", "cross", "square")))
    assert found["equiv"].item() == pytest.approx(float(split.equiv.mean()), rel=1e-10)


def test_penalty__on_a_share_of_the_rows_is_a_mean_over_all_samples():
    loop = loop_of({"name": "equiv_penalty", "weight": 3.0, "share": 0.5})
    rows = doubled(loop)
    assert (len(rows), len(rows.sample)) == (18, 24)
    counts = rows.sample.bincount()
    assert counts.tolist().count(2) == 6
    z, loss, distances = loop.model(rows.batch.inputs), [], []
    for sample in range(18):
        of = [i for i in range(24) if rows.sample[i] == sample]
        single = [({k: v[[i]] for k, v in z.items()}, rows.batch.map(lambda t, i=i: t[[i]])) for i in of]
        each = [weighted_loss(loop.task, *one) for one in single]
        loss.append(sum(each) / len(each))
        if len(of) == 2:
            turned = [rows.rotation[i].mT for i in of]
            a, b = (z["forces"][i] @ turn.mT for i, turn in zip(of, turned, strict=True))
            weight = rows.batch.weights["forces"][of[0]]
            energies = (z["energy"][of[0]] - z["energy"][of[1]]).square().sum()
            distances.append((((a - b).square().mean(-1) * weight).sum() + 0.1 * energies) / 2)
    equiv = sum(distances) / 6
    found = loop.objective(loop.model, rows)
    assert found["equiv"].item() == pytest.approx(equiv.item(), rel=1e-10)
    assert found["total"].item() == pytest.approx((sum(loss) / 18 + 2 * equiv).item(), rel=1e-10)


def test_remul__with_both_views_uniform_and_equal_weights_is_augmentation_with_two_views():
    remul = loop_of({"name": "remul", "alpha": 0.5, "beta": 0.5, "first": "haar"})
    torch.testing.assert_close(gradient(remul), gradient(loop_of({"name": "equiv_penalty"})), atol=1e-12, rtol=0)


def test_remul__shows_the_first_view_as_the_data_lie():
    loop = loop_of({"name": "remul", "alpha": 2.0, "beta": 3.0})
    rows, index = doubled(loop), batches.batch_index(loop.index, 0, 12, 0)
    still = loop.task.batch(index).to("cpu", torch.float64)
    assert torch.equal(rows.batch.inputs["positions"][::2], still.inputs["positions"])
    found = loop.objective(loop.model, rows)
    first = weighted_loss(loop.task, loop.model(still.inputs), still)
    second = rows.batch.map(lambda t: t[1::2])
    second = weighted_loss(loop.task, loop.model(second.inputs), second)
    assert found["total"].item() == pytest.approx((2 * first + 3 * second).item(), rel=1e-10)


def test_gradnorm__uses_gradients_of_the_last_block_over_the_whole_update():
    loop = loop_of({"name": "remul", "balance": "gradnorm"})
    rows = doubled(loop)
    found = loop.objective(loop.model, rows)
    weights = list(loop.model.blocks[-1].parameters())
    slope = torch.autograd.grad(found["loss_rotated"], weights, retain_graph=True, allow_unused=True)
    flat = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(slope, weights, strict=True)])
    torch.testing.assert_close(found["gradients"][1], flat)
    assert not found["gradients"].requires_grad
    loop.update()
    assert loop.objective.weights.values.sum().item() == pytest.approx(2)
    assert loop.objective.weights.values[0] != 1


def test_near_views__converge_to_the_derivative_through_the_model():
    exact = loop_of({"name": "lie_penalty", "method": "exact"}, batch=8)
    rows = doubled(exact)
    expected = exact.objective(exact.model, rows)["penalty"].item()
    errors = []
    for width in (0.2, 0.02):
        near = loop_of({"name": "lie_penalty", "method": "near", "width": width}, batch=16)
        views = doubled(near)
        start = views.rotation[::2]
        turn = so3.matrix(so3.about(rows.axis, width)).double()
        rotation = torch.stack([start, turn @ start], 1).flatten(0, 1)  # the second view again, in float64
        still = near.task.batch(batches.batch_index(near.index, 0, 8, 0)).to("cpu", torch.float64).repeat(2)
        views = type(views)(near.task.rotate(still, rotation), views.sample, rotation)
        errors.append(abs(near.objective(near.model, views)["penalty"].item() / expected - 1))
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 3


def test_exact_derivative__is_the_lie_error_of_the_panel():
    loop = loop_of({"name": "lie_penalty", "method": "exact"}, batch=8)
    rows, axes = doubled(loop), torch.eye(3, dtype=torch.float64)
    found = [
        loop.objective(loop.model, type(rows)(rows.batch, rows.sample, None, axis.expand(8, 3)))["penalty"].item()
        for axis in axes
    ]
    here = torch.eye(3, dtype=torch.float64).repeat(8, 1, 1)
    squares = []
    for change in lie_derivative.forward_mode(loop.model, loop.task, rows.batch, here):
        weights = rows.batch.weights
        forces = (change["forces"].square().mean(-1) * weights["forces"]).sum(-1)
        squares.append(forces + 0.1 * change["energy"].square().mean(-1))
    assert np.mean(found) == pytest.approx(sum(squares).mean().item(), rel=1e-10)


def test_torque__is_the_derivative_of_the_energy_with_respect_to_the_rotation():
    loop = loop_of({"name": "lie_penalty", "method": "torque"}, batch=4)
    rows = doubled(loop)
    found = loop.objective(loop.model, rows)["penalty"].item()
    scale = loop.task.constants["energy_scale"] / loop.task.constants["force_scale"]
    lengths = []
    for i in range(4):
        inputs = {k: v[[i]] for k, v in rows.batch.inputs.items()}
        slope = []
        for axis in torch.eye(3, dtype=torch.float64):
            ends = [so3.matrix(so3.about(axis[None], t)).double() for t in (1e-5, -1e-5)]
            e = [loop.model(inputs | {"positions": inputs["positions"] @ R.mT})["energy"].item() for R in ends]
            slope.append((e[0] - e[1]) / 2e-5)
        lengths.append(np.linalg.norm(slope) * scale)  # of the energy per atom
    assert found == pytest.approx(np.mean(lengths), rel=1e-4)


def test_latent__compares_mapped_features_of_the_mean_atom():
    loop = loop_of({"name": "latent"})
    rows, kept = doubled(loop), []
    handle = loop.model.blocks[-1].register_forward_hook(lambda _m, _i, out: kept.append(out[0]))
    found = loop.objective(loop.model, rows)
    handle.remove()
    counts = (rows.batch.inputs["numbers"] > 0).sum(1).tolist()
    h = torch.stack([part.mean(0) for part in kept[0].split(counts)])
    errors = []
    for i in range(0, 24, 2):
        between = rows.rotation[i + 1] @ rows.rotation[i].mT
        mapped = loop.objective.map(torch.cat([h[i], between.flatten()]))
        errors.append((mapped - h[i + 1]).square().mean())
    assert found["latent"].item() == pytest.approx((sum(errors) / 12).item(), rel=1e-10)
    assert found["latent_variance"].item() == pytest.approx(h.var(0, correction=0).mean().item(), rel=1e-10)
    task_loss = weighted_loss(loop.task, loop.model(rows.batch.inputs), rows.batch).item()
    assert found["total"].item() == pytest.approx(task_loss + found["latent"].item() / 3, rel=1e-10)
