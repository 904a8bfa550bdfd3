"""Inner products of twisted predictions, for models whose loss split is known in closed form."""

import numpy as np
import pytest
import torch
import toys

from twirlscope.contracts import Batch, Evaluation
from twirlscope.errors import UserError
from twirlscope.estimators import loss_split
from twirlscope.geometry import so3
from twirlscope.geometry.rotation_sets import rotation_set
from twirlscope.twirling import twisting

BIAS = (0.3, -0.1, 0.2)
SQUARE = sum(b * b for b in BIAS) / 3  # |bias|^2 per component


def haar(samples, rotations, seed=0):
    return so3.haar(samples, rotations, generator=torch.Generator().manual_seed(seed))


def split_of(model, task, index, quaternion, **keys):
    products = twisting.inner_products(Evaluation(model, task, **keys), index, quaternion)
    return loss_split.split(products["gram"], products["cross"], products["square"])


@pytest.mark.parametrize(("dtype", "floor"), [(torch.float32, 1e-12), (torch.float64, 1e-15)])
def test_split__is_rounding_for_an_equivariant_model(dtype, floor):
    task, model = toys.force_field(), toys.Well(0.5).to(dtype)
    found = split_of(model, task, np.arange(20), haar(20, 4), dtype=dtype)
    assert found.total[0].mean() > 0.1
    assert abs(found.equiv).max() < floor


def test_split__of_a_bias_fixed_in_the_lab_is_the_known_number():
    """forces + v: L_equiv is |v|^2 / 3 per component for any forces, and the twirled prediction stays right."""
    task, n = toys.force_field(200), 200
    found = split_of(toys.Well(1.0, BIAS), task, np.arange(n), haar(n, 8))
    equiv, mean = found.equiv[0], found.mean[0]
    assert abs(equiv.mean() - SQUARE) < 4 * equiv.std() / n**0.5
    assert abs(mean.mean()) < 4 * mean.std() / n**0.5
    np.testing.assert_allclose(found.total[0], SQUARE, rtol=1e-4)  # |R^-1 v| = |v| for every rotation


@pytest.mark.parametrize("group", ["D2", "T", "O", "I"])
def test_split__over_a_whole_group_finds_the_bias_exactly(group):
    """A constant fixed in the lab has degree 1, which every group integrates exactly, without sampling error."""
    task, K = toys.force_field(), len(rotation_set(group))
    quaternion = rotation_set(group).quaternion.expand(10, K, 4)
    found = split_of(toys.Well(0.5, BIAS).double(), task, np.arange(10), quaternion, dtype=torch.float64)
    np.testing.assert_allclose(found.equiv[0] * (K - 1) / K, SQUARE, rtol=1e-7)  # a whole group needs no correction
    reference = split_of(toys.Well(0.5).double(), task, np.arange(10), quaternion, dtype=torch.float64)
    np.testing.assert_allclose(found.total[0], reference.total[0] + SQUARE, rtol=1e-7)


def test_with_weighted__makes_means_over_samples_those_over_samples_with_a_target():
    task, known = toys.partly_labelled(12)
    turns, model = haar(12, 3), toys.Well(0.3, BIAS)
    losses = {"length": {"forces": "l2", "energy": "l2"}}
    found = twisting.with_weighted(
        task, twisting.inner_products(Evaluation(model, task, chunk=9), np.arange(12), turns, True, losses=losses)
    )
    some = twisting.inner_products(Evaluation(model, task), known, turns[known], True, losses=losses)
    for name, axis in {"gram": 1, "cross": 1, "square": 1, "convex": 3}.items():
        terms = axis - 1
        mean = found[name].mean(axis)
        forces, energy, weighted = (mean.take(i, terms if axis == 1 else 2) for i in range(3))
        exact = some[name].mean(axis).take(0, terms if axis == 1 else 2)
        np.testing.assert_allclose(forces, exact, rtol=1e-5)
        np.testing.assert_allclose(weighted, exact + 0.1 * energy, rtol=1e-5)
    np.testing.assert_allclose(found["label"], some["label"], rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(found["known"][0]), known)


def test_split__does_not_depend_on_the_chunk():
    task, model = toys.force_field(), toys.Well(0.7, BIAS)
    results = [split_of(model, task, np.arange(30), haar(30, 3), chunk=c) for c in (2, 3, 7, 1000)]
    for other in results[1:]:
        np.testing.assert_allclose(other.total, results[0].total, rtol=1e-5)
        np.testing.assert_allclose(other.equiv[0], results[0].equiv[0], rtol=1e-4)


def test_inner_products__agree_with_predictions_taken_one_by_one():
    task, model, quaternion = toys.force_field(), toys.Well(0.7, BIAS), haar(5, 3)
    found = twisting.inner_products(Evaluation(model, task), np.arange(5), quaternion)
    for s in range(5):
        batch, z = task.batch(np.array([s])), []
        for r in range(3):
            R = so3.matrix(quaternion[s, r]).float()
            turned = {"numbers": batch.inputs["numbers"], "positions": batch.inputs["positions"] @ R.T}
            z.append((model(turned)["forces"] @ R).flatten())  # the inverse of R applied to rows is @ R
        y, n = batch.targets["forces"].flatten(), batch.inputs["numbers"].numel()
        z = torch.stack(z)
        np.testing.assert_allclose(found["gram"][0, s], (z @ z.T).detach() / (3 * n), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["cross"][0, s], (z @ y).detach() / (3 * n), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["square"][0, s], y @ y / (3 * n), rtol=1e-5)


def test_inner_products__by_label_add_up_to_the_term():
    task, model, n = toys.force_field(30), toys.Well(0.7, BIAS), np.arange(30)
    products = twisting.inner_products(Evaluation(model, task, chunk=20), n, haar(30, 3), labels=True)
    found = loss_split.split(products["gram"], products["cross"], products["square"])
    np.testing.assert_allclose(products["label"].sum(1), [found.total[0].mean(), found.equiv[0].mean()], rtol=1e-5)
    batch = task.batch(n)
    hydrogen = (batch.weights["forces"] * (batch.inputs["numbers"] == 1)).sum(1).mean()
    exact = (0.09 * (batch.targets["forces"] ** 2).mean(-1) + SQUARE) * batch.weights["forces"]
    exact = (exact * (batch.inputs["numbers"] == 1)).sum(1).mean()
    np.testing.assert_allclose(products["label"][0, 0], exact, rtol=0.25)
    np.testing.assert_allclose(products["label"][1, 0], SQUARE * hydrogen, rtol=0.25)


def test_inner_products__of_the_squared_error_by_jackknife_are_the_unbiased_split():
    """The jackknife is exact for the squared error, so it agrees with the split of the Gram matrices."""
    task, n, squared = toys.force_field(20), np.arange(20), {"squares": {"forces": "mse", "energy": "mse"}}
    model, parity = toys.Well(0.6, BIAS), np.array([1, 1, 1, -1, -1], np.int8)
    products = twisting.inner_products(Evaluation(model, task, chunk=12), n, haar(20, 5), parity=parity, losses=squared)
    found = loss_split.split(products["gram"][..., :3, :3], products["cross"][..., :3], products["square"])
    for i, part in enumerate(found):
        np.testing.assert_allclose(products["convex"][0, i], part, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(products["convex"][0, 3], products["square"], rtol=1e-10)


def test_inner_products__do_not_depend_on_the_dtype_of_a_scalar_target():
    """A first target of integers once cut the rotations to -1, 0 and 1, so every model seemed far from equivariant."""
    points = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    counts, weights = torch.arange(6)[:, None], torch.ones(6)
    found = []
    for target in (counts, counts.float()):
        batch = Batch({"points": points}, {"count": target}, {"count": weights})
        task = twisting.FixedBatchTask(batch, {"points": "1o"}, {"count": "0e"})
        model = lambda i: {"count": i["points"].square().sum((1, 2))[:, None]}  # noqa: E731
        found.append(twisting.inner_products(Evaluation(model, task), range(6), haar(6, 3)))
    np.testing.assert_array_equal(found[0]["gram"], found[1]["gram"])
    np.testing.assert_array_equal(found[0]["cross"], found[1]["cross"])
    parts = loss_split.split(found[0]["gram"], found[0]["cross"], found[0]["square"])
    assert abs(parts.equiv).max() < 1e-9


def test_inner_products__refuse_masks_in_place_of_weights_in_every_batch():
    """The check before a measurement sees a few samples; a mask among later samples is refused as well."""
    weights = torch.full((9, 4), 0.25)
    weights[8] = 1
    batch = Batch({"points": torch.randn(9, 4, 3)}, {"arrow": torch.randn(9, 4, 3)}, {"arrow": weights})
    task = twisting.FixedBatchTask(batch, {"points": "1o"}, {"arrow": "1o"})
    with pytest.raises(UserError, match="got 1 of 9 samples with others, the first is number 8, of sum 4"):
        twisting.inner_products(Evaluation(lambda i: {"arrow": i["points"]}, task), np.arange(9), haar(9, 2))
