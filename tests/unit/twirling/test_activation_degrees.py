"""Variance shares of hand-made activations, losses with a degree ablated, and invariance of both under rotations."""

import numpy as np
import pytest
import torch
import toys

from twirlscope.contracts import Evaluation, Model
from twirlscope.geometry import so3
from twirlscope.models.tensor_product import TensorProductNetwork
from twirlscope.storage import registry
from twirlscope.twirling import activation_degrees

CONSTANTS = {"elements": [1, 6], "energy_scale": 0.5, "force_scale": 2.0}
IRREPS = "2x0e+1x1o+1x3o"


class Named(Model):
    """Model with one named activation of irreps `0e+1o`; forces are its vector, the energy its scalar."""

    task = "force_field"

    def __init__(self, settings=None, constants=None, named=True):
        super().__init__()
        self.features, self.named = torch.nn.Identity(), named

    @property
    def activations(self):
        return {"features": "0e+1o"} if self.named else {}

    def forward(self, inputs):
        real = inputs["numbers"] > 0
        scalar = torch.where(real, 2.0, 77.0)[..., None]  # padding is not 0
        out = self.features(torch.cat([scalar, -0.5 * inputs["positions"]], -1))
        return {"forces": out[..., 1:] * real[..., None], "energy": out[:, 0, :1]}


def tensor_product(l_max=2, **settings):
    torch.manual_seed(0)
    sizes = {"width": 6, "layers": 2, "radial_width": 8, "average_neighbours": 4.0, **settings}
    return TensorProductNetwork(TensorProductNetwork.Settings(l_max=l_max, **sizes), CONSTANTS).double().eval()


def test_variance_shares__of_activations_made_by_hand_are_known():
    rows = torch.zeros(2, 12)
    rows[:, 0] = torch.tensor([1.0, 3.0])  # varies by 1 about its mean of 2
    rows[:, 1] = 100.0  # does not vary
    rows[:, 2:5] = torch.tensor([0.0, 0.0, 2.0])  # a vector of square 4: over all orientations its mean is 0
    rows[0, 5] = 4.0  # degree 3, mean square 8
    found = activation_degrees.variance_shares(rows, activation_degrees.degrees_of(IRREPS))
    np.testing.assert_allclose(found, [1 / 13, 4 / 13, 0, 8 / 13], rtol=1e-12)


def test_degrees_of__are_those_of_the_features_in_the_order_of_e3nn():
    assert activation_degrees.degrees_of(IRREPS).tolist() == [0, 0, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3]


def test_variance_shares__sum_to_one():
    rows = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    found = activation_degrees.variance_shares(rows, activation_degrees.degrees_of(IRREPS))
    assert found.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_measure_degrees__does_not_depend_on_the_orientation_of_the_samples(forces):
    task, model = toys.force_field(), tensor_product(forces=forces)
    index = np.arange(8)
    batch = task.batch(index).to("cpu", torch.float64)
    rotation = so3.matrix(so3.haar(8, generator=torch.Generator().manual_seed(3)))
    found = []
    for each in (batch, task.rotate(batch, rotation)):
        task.batch = lambda _, each=each: each
        found.append(activation_degrees.measure_degrees(Evaluation(model, task, dtype=torch.float64), index))
    here, there = found
    assert np.isfinite(here.share[0]).all()
    assert (here.share[0] > 1e-4).all()
    np.testing.assert_allclose(there.share, here.share, rtol=0, atol=1e-7)  # constants of e3nn are in single precision
    np.testing.assert_allclose(there.removed, here.removed, rtol=1e-5)
    assert (abs(here.removed[0, :, -1] - here.full[-1]).mean(-1) > 1e-6).all()  # every degree does something


def test_measure_degrees__of_a_model_without_named_activations_is_none():
    assert activation_degrees.measure_degrees(Evaluation(Named(named=False), toys.force_field()), np.arange(4)) is None
    assert not activation_degrees.degrees_dataset([], [None]).data_vars


def test_measure_degrees__leaves_padding_out_and_the_model_as_it_was():
    task, model = toys.force_field(), Named()
    found = activation_degrees.measure_degrees(Evaluation(model, task), np.arange(12))
    assert len({len(task.batch(np.array([i])).inputs["numbers"][0]) for i in range(12)}) > 1
    np.testing.assert_allclose(found.share, [[0, 1]], atol=1e-12)  # 77 on padding would make a share of degree 0
    assert not model.features._forward_hooks


def test_measure_degrees__without_vectors_has_the_loss_of_no_force_and_without_scalars_that_of_no_energy():
    task, index = toys.force_field(), np.arange(12)
    found = activation_degrees.measure_degrees(Evaluation(Named(), task), index)
    batch = task.batch(index).to("cpu", torch.float64)
    squares = (batch.targets["forces"].square().mean(-1) * batch.weights["forces"]).sum(1).numpy()
    energies = batch.targets["energy"][:, 0].square().numpy()
    np.testing.assert_allclose(found.removed[0, 1, 0], squares, rtol=1e-6)
    np.testing.assert_allclose(found.full[0], 0.25 * squares, rtol=1e-6)  # half of the true force, -r
    np.testing.assert_allclose(found.removed[0, 0, 1], energies, rtol=1e-6)
    np.testing.assert_allclose(found.removed[0, 0, 0], found.full[0], rtol=1e-12)


def test_measure_degrees__weights_the_terms_as_the_task_does():
    task = toys.force_field()
    found = activation_degrees.measure_degrees(Evaluation(tensor_product().float(), task), np.arange(6))
    weights = [t.weight for t in task.terms]
    np.testing.assert_allclose(found.full[-1], np.tensordot(weights, found.full[:-1], 1), rtol=1e-12)
    np.testing.assert_allclose(found.removed[:, :, -1], np.tensordot(weights, found.removed[:, :, :-1], ((0,), (2,))))


def test_measure_degrees__is_nan_for_a_degree_that_a_layer_lacks():
    found = activation_degrees.measure_degrees(
        Evaluation(tensor_product(forces="conservative"), double(toys.force_field()), dtype=torch.float64), np.arange(6)
    )
    assert np.isnan(found.share[1, 1:]).all()  # what energies are read out of is invariant
    assert found.share[1, 0] == 1
    assert np.isnan(found.removed[1, 1:]).all()


def double(task):
    """The task with batches in float64."""
    batch = task.batch
    task.batch = lambda index: batch(index).to("cpu", torch.float64)
    return task


def test_rows_and_without__take_the_features_of_fields_from_axis_1():
    torch.manual_seed(0)
    field = torch.randn(3, 4, 5, 5, 5)
    gone = np.array([False, True, True, True])
    left = activation_degrees._without(field, gone)
    assert torch.equal(left[:, 0], field[:, 0])
    assert not left[:, 1:].any()
    assert torch.equal(activation_degrees._rows(field, torch.ones(3, 2) > 0)[:125, 2], field[0, 2].flatten())


def test_degrees_dataset__is_declared_and_holds_means_and_paired_errors():
    task, index = toys.force_field(), np.arange(12)
    measured = [activation_degrees.measure_degrees(Evaluation(Named(), task), index)] * 2
    found = activation_degrees.degrees_dataset(["features"], measured)
    assert {n: v.dims for n, v in found.variables.items()} == {n: registry.VARIABLES[n].dims for n in found.variables}
    change = measured[0].removed[0, 1, 0] - measured[0].full[0]
    assert found["degree_removed_loss"][0, 0, 1, 0] == pytest.approx(measured[0].removed[0, 1, 0].mean())
    assert found["degree_removed_loss_error"][0, 0, 1, 0] == pytest.approx(change.std(ddof=1) / 12**0.5)
    cluster = np.arange(12, dtype=np.int32) // 3
    found = activation_degrees.degrees_dataset(["features"], measured, cluster)
    means = change.reshape(4, 3).mean(1)
    assert found["degree_removed_loss_error"][0, 0, 1, 0] == pytest.approx(means.std(ddof=1) / 2)


def test_measure_degrees__has_the_loss_of_the_samples_with_a_target():
    task, known = toys.partly_labelled(12)
    model = tensor_product()
    every, some = (
        activation_degrees.measure_degrees(Evaluation(model, task, dtype=torch.float64), index).full.mean(1)
        for index in (np.arange(12), known)
    )
    assert every[0] == pytest.approx(some[0], rel=1e-5)
