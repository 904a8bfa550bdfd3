"""Loss split without a workflow, for models whose split is known in closed form."""

import numpy as np
import pytest
import torch
import toys
import xarray as xr
from e3nn.o3 import Irreps

from twirlscope.contracts import Batch
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import measure, twisting

BIAS = (0.3, -0.1, 0.2)
SQUARE = sum(b * b for b in BIAS) / 3  # |bias|^2 per component


def haar(samples, rotations, seed=0):
    return so3.haar(samples, rotations, generator=torch.Generator().manual_seed(seed))


def test_measure__gives_a_described_dataset_for_any_model():
    task = toys.force_field(100)
    found = measure.measure(toys.Well(1.0, BIAS), task, np.arange(100), TwirlSettings(rotations=8))
    forces = found.sel(term="forces")
    assert forces["percent_equiv"] == pytest.approx(100, rel=0.1)
    assert forces["loss_equiv_low"] <= SQUARE <= forces["loss_equiv_high"]
    batch = task.batch(np.arange(100))
    atoms = (batch.inputs["numbers"] > 0).sum(1)
    zero = ((batch.targets["forces"] ** 2).sum((1, 2)) / (3 * atoms)).mean()
    assert forces["loss_zero"] == pytest.approx(zero.item(), rel=1e-5)


def test_measure__of_the_weighted_sum_is_the_weighted_sum():
    task = toys.force_field(30)
    found = measure.measure(toys.Well(0.6, BIAS), task, np.arange(30))
    for name in ("loss_total", "loss_mean", "loss_equiv", "loss_zero"):
        parts = sum(t.weight * found[name].sel(term=t.name) for t in task.terms)
        np.testing.assert_allclose(found[name].sel(term="weighted"), parts, rtol=1e-10)


def test_measure__calls_a_percent_trivial_when_nothing_is_learned():
    task = toys.force_field(30)
    nothing = measure.measure(toys.Well(0.0), task, np.arange(30))
    assert nothing["percent_equiv"].sel(term="forces") == pytest.approx(0, abs=1e-10)
    assert nothing["learned_fraction"].sel(term="forces") == pytest.approx(0, abs=1e-6)
    assert bool(nothing["trivial"].sel(term="forces"))
    assert not bool(measure.measure(toys.Well(0.9), task, np.arange(30))["trivial"].sel(term="forces"))


def test_measure__needs_no_config_for_a_batch_and_a_function():
    """The function predicts a vector per point: an equivariant one plus a constant fixed in the lab."""
    torch.manual_seed(0)
    points, v = torch.randn(50, 4, 3), torch.tensor([0.3, 0.0, 0.4])
    batch = Batch({"points": points}, {"arrow": -points}, {"arrow": torch.full((50, 4), 0.25)})
    given = twisting.FixedBatchTask(batch, irreps_in={"points": "1o"}, irreps_out={"arrow": "1o"})
    found = measure.measure(lambda inputs: {"arrow": -inputs["points"] + v}, given, settings=TwirlSettings(rotations=8))
    assert found["loss_total"].sel(term="arrow") == pytest.approx(0.25 / 3, rel=1e-4)
    assert found["percent_equiv"].sel(term="arrow") == pytest.approx(100, rel=0.15)


def test_measure__refuses_a_model_that_is_random_or_does_not_fit():
    task = toys.force_field(20)
    model = torch.nn.Sequential(torch.nn.Dropout(0.5))

    def noisy(inputs):
        forces = model(inputs["positions"])
        return {"forces": forces, "energy": forces.sum((1, 2))[:, None]}

    with pytest.raises(UserError, match="the same prediction"):
        measure.measure(noisy, task, np.arange(20))
    with pytest.raises(UserError, match="energy"):
        measure.measure(lambda inputs: {"forces": inputs["positions"]}, task, np.arange(20))


class Handed(toys.Well):
    """Equivariant under rotations, not under reflections: forces -r plus a pseudo-vector of the molecule."""

    def forward(self, inputs):
        found, r = super().forward(inputs), inputs["positions"]
        chiral = torch.linalg.cross(r[:, :1], r[:, 1:2]) * (inputs["numbers"] > 0)[..., None]
        return found | {"forces": found["forces"] + 0.3 * chiral}


def test_measure__tells_rotations_from_reflections():
    task, n = toys.force_field(60), np.arange(60)
    found = measure.measure(Handed(1.0), task, n).sel(term="forces")
    r = task.batch(n).inputs["positions"]
    exact = 0.09 * (torch.linalg.cross(r[:, 0], r[:, 1]) ** 2).mean().item()
    assert found["loss_equiv"] == pytest.approx(0, abs=1e-9)
    assert found["loss_mean"] == pytest.approx(exact, rel=1e-4)
    assert found["o3_loss_equiv"] == pytest.approx(exact, rel=1e-4)
    assert found["o3_reflection_error"] == pytest.approx(exact, rel=1e-4)
    assert found["o3_loss_mean"] == pytest.approx(0, abs=1e-6)
    assert found["o3_percent_equiv"] == pytest.approx(100, rel=1e-3)


def test_measure__leaves_reflections_out_where_they_are_no_symmetry():
    batch = Batch(
        {"points": torch.randn(9, 4, 3)}, {"arrow": torch.randn(9, 4, 3)}, {"arrow": torch.full((9, 4), 0.25)}
    )
    given = twisting.FixedBatchTask(batch, irreps_in={"points": "1o"}, irreps_out={"arrow": "1o"})
    found = measure.measure(lambda inputs: {"arrow": inputs["points"].tanh()}, given)
    assert "o3_loss_equiv" not in found
    assert found.sizes["rotation"] == TwirlSettings().rotations
    task = toys.force_field(9)
    assert "o3_loss_equiv" not in measure.measure(toys.Well(0.5), task, np.arange(9), TwirlSettings(reflections=0))


def test_measure__splits_other_losses_beside_the_squared_error():
    """The l2 loss of an equivariant model is all mean; for a bias, the jackknife is near a split by many rotations."""
    task, n = toys.force_field(40), np.arange(40)
    right = measure.measure(toys.Well(0.5), task, n).sel(convex="l2", term="forces")
    assert right["convex_loss_equiv"] == pytest.approx(0, abs=1e-6)
    assert right["convex_learned_fraction"] == pytest.approx(0.5, rel=1e-5)
    settings = TwirlSettings(rotations=8, losses=["l2", "huber"])
    found = measure.measure(toys.Well(0.3, BIAS), task, n, settings).sel(convex="l2", term="forces")
    batch, bias = task.batch(n), torch.tensor(BIAS, dtype=torch.float64)
    turned = torch.einsum("gji,j->gi", so3.matrix(haar(1, 4000)[0]), bias)
    error = 0.7 * batch.inputs["positions"][:, :, None].double() + turned  # z - y = (1 - stiffness) r + R^-1 b
    total = (error.norm(dim=-1).mean(-1) * batch.weights["forces"]).sum(1).mean()
    mean = 0.7 * (batch.inputs["positions"].norm(dim=-1) * batch.weights["forces"]).sum(1).mean()
    assert found["convex_loss_total"] == pytest.approx(total.item(), rel=0.02)
    assert found["convex_loss_equiv"] == pytest.approx((total - mean).item(), rel=0.15)


def test_measure__splits_the_training_loss_where_it_is_not_the_squared_error():
    data, n = toys.frames(20), np.arange(20)
    published = toys.ForceField.Settings(force_loss="l2", energy_loss="l2", force_weight=100.0, energy_weight=4.0)
    mixed = toys.ForceField.Settings(force_loss="huber")
    for settings, names in ((published, ["l2"]), (mixed, ["l2", "training"]), (toys.ForceField.Settings(), ["l2"])):
        found = measure.measure(toys.Well(0.5, BIAS), toys.ForceField(settings, data), n)
        assert list(found["convex"].values) == names
        each = found["convex_loss_total"].sel(convex=names[-1])
        parts = settings.force_weight * each.sel(term="forces") + settings.energy_weight * each.sel(term="energy")
        np.testing.assert_allclose(each.sel(term="weighted"), parts, rtol=1e-10)


def test_measure__of_a_model_without_a_workflow_needs_no_activations():
    assert "degree_share" not in measure.measure(toys.Well(0.5), toys.force_field(), np.arange(4), TwirlSettings())


def test_measure__of_copies_of_samples_has_the_intervals_of_the_samples():
    """5 molecules, 20 identical frames of each; the loss of an equivariant model does not depend on the rotation."""
    task, five = toys.force_field(5), np.arange(5)
    many, settings = np.repeat(five, 20), TwirlSettings(resamples=500)
    model = toys.Well(0.5)
    single = measure.measure(model, task, five, settings).sel(term="forces")
    clustered = measure.measure(model, task, many, settings, cluster=many).sel(term="forces")
    as_if_independent = measure.measure(model, task, many, settings).sel(term="forces")
    for name in ("loss_total", "loss_mean"):
        low, value, high = (f"{name}_low", name, f"{name}_high")
        assert clustered[value] == pytest.approx(float(single[value]), rel=1e-5)
        width = float(single[high] - single[low])
        assert clustered[high] - clustered[low] == pytest.approx(width, rel=1e-3)
        assert as_if_independent[high] - as_if_independent[low] < 0.4 * width
    np.testing.assert_array_equal(clustered["cluster"], many)
    np.testing.assert_array_equal(single["cluster"], five)


def clouds(n=30, dtype=torch.float32):
    """Task of points whose target is minus the point, and a linear model with a bias fixed in the lab."""
    points = torch.randn(n, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    batch = Batch({"points": points}, {"arrow": -points}, {"arrow": torch.full((n, 4), 0.25, dtype=dtype)})
    return twisting.FixedBatchTask(batch, irreps_in={"points": "1o"}, irreps_out={"arrow": "1o"})


class Biased(torch.nn.Module):
    """Minus half of a point, plus a bias, with weights in a dtype."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)
        with torch.no_grad():
            self.linear.weight.copy_(-0.5 * torch.eye(3))
            self.linear.bias.copy_(torch.tensor(BIAS))

    def forward(self, inputs):
        assert inputs["points"].dtype == self.linear.weight.dtype
        return {"arrow": self.linear(inputs["points"])}


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_measure__takes_the_dtype_of_the_model(dtype, close):
    expected = measure.measure(Biased().eval(), clouds()).sel(term="arrow")
    found = measure.measure(Biased().to(dtype).eval(), clouds()).sel(term="arrow")
    for name in ("loss_total", "loss_equiv", "loss_mean"):
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=close)
    assert found["square"].equals(expected["square"])  # targets are not rounded to half precision


def test_measure__takes_a_dtype_for_a_plain_function():
    seen = set()

    def predict(inputs):
        seen.add(inputs["points"].dtype)
        return {"arrow": -inputs["points"]}

    for dtype in (None, torch.float64, torch.float16):
        measure.measure(predict, clouds(), dtype=dtype)
    assert seen == {torch.float32, torch.float64, torch.float16}
    with pytest.raises(UserError, match=r"a floating-point dtype, got torch\.int64"):
        measure.measure(predict, clouds(), dtype=torch.int64)


def test_measure__accepts_indices_as_list_tensor_and_mask_and_irreps_as_objects():
    mask = np.zeros(30, bool)
    mask[[1, 4, 7]] = True
    task = clouds()
    task.terms = (type(task.terms[0])("arrow", Irreps("1o")),)
    task.irreps_in = {"points": Irreps("1o")}
    expected = measure.measure(Biased().eval(), clouds(), np.array([1, 4, 7]))
    for index in ([1, 4, 7], torch.tensor([1, 4, 7]), torch.from_numpy(mask), mask, range(1, 8, 3)):
        xr.testing.assert_identical(measure.measure(Biased().eval(), task, index), expected)


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ([0, 30], "indices from 0 and below 30, got 0 to 30"),
        ([-1], "indices from 0 and below 30, got -1 to -1"),
        ([], "indices of one or more samples"),
        ([0.5], "dtype float64"),
        (np.ones(29, bool), "a mask that is true for a sample, of length 30, got length 29"),
    ],
)
def test_measure__refuses_indices_of_no_samples(index, text):
    with pytest.raises(UserError, match=f"index: .*{text}"):
        measure.measure(Biased().eval(), clouds(), index)


def test_measure__needs_an_index_for_a_task_that_is_no_fixed_batch():
    with pytest.raises(UserError, match="measure, index: expected indices of samples, as ForceField is no"):
        measure.measure(toys.Well(), toys.force_field())


def test_measure__uses_the_device_of_the_model(monkeypatch):
    """With a GPU in the machine, a model on the CPU is measured on the CPU, and a function too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    devices = set()

    def predict(inputs):
        devices.add(inputs["points"].device.type)
        return {"arrow": -inputs["points"]}

    measure.measure(predict, clouds())
    measure.measure(Biased().eval(), clouds())
    assert devices == {"cpu"}
    assert measure.evaluation_of(Biased().to("meta"), clouds(), TwirlSettings()).device == "meta"
    with pytest.raises(UserError, match="expected auto or cpu, the device of the model, got 'cuda'"):
        measure.measure(Biased().eval(), clouds(), settings=TwirlSettings(device="cuda"))


def test_measure__refuses_integer_targets_of_vectors_and_accepts_those_of_scalars():
    labels = torch.tensor([[0], [1], [2], [3]])
    points = torch.randn(4, 2, 3)
    batch = Batch({"points": points}, {"count": labels}, {"count": torch.ones(4)})
    task = twisting.FixedBatchTask(batch, {"points": "1o"}, {"count": "0e"})
    found = measure.measure(lambda i: {"count": i["points"].square().sum((1, 2))[:, None]}, task).sel(term="count")
    exact = ((points.double().square().sum((1, 2))[:, None] - labels) ** 2).mean()
    assert float(found["loss_total"]) == pytest.approx(exact.item(), rel=1e-5)
    assert float(found["loss_equiv"]) == pytest.approx(0, abs=1e-10)
    whole = Batch({"points": points}, {"arrow": points.long()}, {"arrow": torch.full((4, 2), 0.5)})
    with pytest.raises(UserError, match="term arrow: expected a floating-point tensor"):
        measure.measure(
            lambda i: {"arrow": i["points"]}, twisting.FixedBatchTask(whole, {"points": "1o"}, {"arrow": "1o"})
        )


def test_measure__of_a_term_without_some_targets_is_that_of_the_samples_that_have_one():
    """Losses and the loss of predicting zero are means over samples with a target; percentages do not change."""
    task, known = toys.partly_labelled(80)
    model = toys.Well(0.6, BIAS)
    every, some = (
        measure.measure(model, task, index, TwirlSettings(rotations=2, reflections=2, losses=["l2"]))
        for index in (np.arange(80), known)
    )
    every, some = (d.sel(term="forces").squeeze("convex") for d in (every, some))
    for name in ("loss_total", "loss_zero", "learned_fraction", "convex_loss_zero", "o3_loss_total"):
        assert every[name] == pytest.approx(float(some[name]), rel=0.03), name  # these hardly depend on the rotations
    assert every["loss_equiv"] == pytest.approx(SQUARE, rel=0.5)


def test_measure__with_a_panel_has_the_spectrum_of_the_stage():
    """A bias fixed in the lab has degree 1 alone."""
    task, bias = toys.force_field(30), (0.3, -0.1, 0.2)
    settings = TwirlSettings(panel=8, resamples=200)
    found = measure.measure(toys.Well(0.5, bias), task, np.arange(30), settings, panel=True).sel(term="forces")
    square = sum(b * b for b in bias) / 3
    np.testing.assert_allclose(found["panel_loss_equiv"], square, rtol=1e-4)
    assert int(found["spectrum"][1:].argmax()) == 0
    with pytest.raises(UserError, match="two samples or more for a panel"):
        measure.measure(toys.Well(0.5, bias), task, np.arange(1), settings, panel=True)
