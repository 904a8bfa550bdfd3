"""The measurement against models whose split is known in closed form."""

import numpy as np
import pytest
import torch

import toys
from twirlscope import estimators, so3, twirl
from twirlscope.contracts import Batch
from twirlscope.errors import UserError
from twirlscope.rotation_sets import rotation_set
from twirlscope.settings.twirl import TwirlSettings

BIAS = (0.3, -0.1, 0.2)
SQUARE = sum(b * b for b in BIAS) / 3  # |bias|^2 a component


def split_of(model, task, index, quaternion, **options):
    products = twirl.inner_products(model, task, index, quaternion, **options)
    return estimators.split(products["gram"], products["cross"], products["square"])


def haar(samples, rotations, seed=0):
    return so3.haar(samples, rotations, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dtype", "floor"), [(torch.float32, 1e-12), (torch.float64, 1e-15)])
def test_twirl__is_at_the_floor_for_an_equivariant_model(dtype, floor):
    task, model = toys.force_field(), toys.Well(0.5).to(dtype)
    found = split_of(model, task, np.arange(20), haar(20, 4), dtype=dtype)
    assert found.total[0].mean() > 0.1
    assert abs(found.equiv).max() < floor


def test_twirl__of_a_lab_frame_bias_is_the_known_number():
    """forces + v: L_equiv = |v|^2 / 3 a component whatever the forces are, and the twirled prediction stays right."""
    task, n = toys.force_field(200), 200
    found = split_of(toys.Well(1.0, BIAS), task, np.arange(n), haar(n, 8))
    equiv, mean = found.equiv[0], found.mean[0]
    assert abs(equiv.mean() - SQUARE) < 4 * equiv.std() / n**0.5
    assert abs(mean.mean()) < 4 * mean.std() / n**0.5
    np.testing.assert_allclose(found.total[0], SQUARE, rtol=1e-4)  # |R^-1 v| = |v| for every rotation


@pytest.mark.parametrize("group", ["D2", "T", "O", "I"])
def test_twirl__over_a_whole_group_finds_the_bias_exactly(group):
    """A constant in the lab is of degree 1, which every group integrates exactly: no sampling error is left."""
    task, K = toys.force_field(), len(rotation_set(group))
    quaternion = rotation_set(group).quaternion.expand(10, K, 4)
    found = split_of(toys.Well(0.5, BIAS).double(), task, np.arange(10), quaternion, dtype=torch.float64)
    np.testing.assert_allclose(found.equiv[0] * (K - 1) / K, SQUARE, rtol=1e-7)  # a whole group needs no correction
    reference = split_of(toys.Well(0.5).double(), task, np.arange(10), quaternion, dtype=torch.float64)
    np.testing.assert_allclose(found.total[0], reference.total[0] + SQUARE, rtol=1e-7)


def test_twirl__does_not_depend_on_the_chunk():
    task, model = toys.force_field(), toys.Well(0.7, BIAS)
    results = [split_of(model, task, np.arange(30), haar(30, 3), chunk=c) for c in (2, 3, 7, 1000)]
    for other in results[1:]:
        np.testing.assert_allclose(other.total, results[0].total, rtol=1e-5)
        np.testing.assert_allclose(other.equiv[0], results[0].equiv[0], rtol=1e-4)


def test_inner_products__agree_with_predictions_taken_one_by_one():
    task, model, quaternion = toys.force_field(), toys.Well(0.7, BIAS), haar(5, 3)
    found = twirl.inner_products(model, task, np.arange(5), quaternion)
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


def test_measure__gives_a_described_dataset_for_any_model():
    task = toys.force_field(100)
    found = twirl.measure(toys.Well(1.0, BIAS), task, np.arange(100), TwirlSettings(rotations=8))
    forces = found.sel(term="forces")
    assert forces["percent_equiv"] == pytest.approx(100, rel=0.1)
    assert forces["loss_equiv_low"] <= SQUARE <= forces["loss_equiv_high"]
    batch = task.batch(np.arange(100))
    atoms = (batch.inputs["numbers"] > 0).sum(1)
    zero = ((batch.targets["forces"] ** 2).sum((1, 2)) / (3 * atoms)).mean()
    assert forces["loss_zero"] == pytest.approx(zero.item(), rel=1e-5)


def test_measure__of_the_weighted_sum_is_the_weighted_sum():
    task = toys.force_field(30)
    found = twirl.measure(toys.Well(0.6, BIAS), task, np.arange(30))
    for name in ("loss_total", "loss_mean", "loss_equiv", "loss_zero"):
        parts = sum(t.weight * found[name].sel(term=t.name) for t in task.terms)
        np.testing.assert_allclose(found[name].sel(term="weighted"), parts, rtol=1e-10)


def test_measure__calls_a_percent_trivial_when_nothing_is_learned():
    task = toys.force_field(30)
    nothing = twirl.measure(toys.Well(0.0), task, np.arange(30))
    assert nothing["percent_equiv"].sel(term="forces") == pytest.approx(0, abs=1e-10)
    assert nothing["learned_fraction"].sel(term="forces") == pytest.approx(0, abs=1e-6)
    assert bool(nothing["trivial"].sel(term="forces"))
    assert not bool(twirl.measure(toys.Well(0.9), task, np.arange(30))["trivial"].sel(term="forces"))


def test_rotations__are_the_same_for_every_checkpoint():
    settings = TwirlSettings(seed=3)
    assert torch.equal(twirl.rotations(10, settings), twirl.rotations(10, settings))
    assert not torch.equal(twirl.rotations(10, settings), twirl.rotations(10, TwirlSettings(seed=4)))


def test_measure__needs_no_config_for_a_batch_and_a_function_of_ones_own():
    """A cloud of points and a vector for each: the function adds a lab-frame bias to an equivariant answer."""
    torch.manual_seed(0)
    points, v = torch.randn(50, 4, 3), torch.tensor([0.3, 0.0, 0.4])
    batch = Batch({"points": points}, {"arrow": -points}, {"arrow": torch.full((50, 4), 0.25)})
    given = twirl.Given(batch, turns={"points": "1o"}, irreps={"arrow": "1o"})
    found = twirl.measure(lambda inputs: {"arrow": -inputs["points"] + v}, given, settings=TwirlSettings(rotations=8))
    assert found["loss_total"].sel(term="arrow") == pytest.approx(0.25 / 3, rel=1e-4)
    assert found["percent_equiv"].sel(term="arrow") == pytest.approx(100, rel=0.15)


def test_measure__refuses_a_model_that_is_random_or_does_not_fit():
    task = toys.force_field(20)
    model = torch.nn.Sequential(torch.nn.Dropout(0.5))

    def noisy(inputs):
        forces = model(inputs["positions"])
        return {"forces": forces, "energy": forces.sum((1, 2))[:, None]}

    with pytest.raises(UserError, match="the same prediction"):
        twirl.measure(noisy, task, np.arange(20))
    with pytest.raises(UserError, match="energy"):
        twirl.measure(lambda inputs: {"forces": inputs["positions"]}, task, np.arange(20))


def test_inner_products__by_label_add_up_to_the_term():
    task, model, n = toys.force_field(30), toys.Well(0.7, BIAS), np.arange(30)
    products = twirl.inner_products(model, task, n, haar(30, 3), chunk=20, labels=True)
    found = estimators.split(products["gram"], products["cross"], products["square"])
    np.testing.assert_allclose(products["label"].sum(1), [found.total[0].mean(), found.equiv[0].mean()], rtol=1e-5)
    batch = task.batch(n)
    hydrogen = (batch.weights["forces"] * (batch.inputs["numbers"] == 1)).sum(1).mean()
    exact = (0.09 * (batch.targets["forces"] ** 2).mean(-1) + SQUARE) * batch.weights["forces"]
    exact = (exact * (batch.inputs["numbers"] == 1)).sum(1).mean()
    np.testing.assert_allclose(products["label"][0, 0], exact, rtol=0.25)
    np.testing.assert_allclose(products["label"][1, 0], SQUARE * hydrogen, rtol=0.25)
