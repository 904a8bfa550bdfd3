"""Forces that are minus the gradient of an energy, against closed forms and central differences."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.curvature import derivative_check
from twirlscope.curvature.objective import Objective
from twirlscope.estimators import loss_split
from twirlscope.geometry import rotation_sets, so3
from twirlscope.models.layers.conservative_forces import with_forces
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.sources import split_index
from twirlscope.twirling import lie_derivative
from twirlscope.twirling.measure import measure
from twirlscope.twirling.twisting import inner_products

CONSTANTS = {"elements": [1, 6], "energy_scale": 0.5, "force_scale": 2.0}
MODELS = {
    "escaip": {"width": 8, "layers": 1, "heads": 2},
    "tensor_product": {"width": 4, "layers": 2, "radial": 4, "radial_width": 4},
    "vector_attention": {"width": 8, "layers": 1, "heads": 2, "cutoff": 6.0},
}


def model(name, seed=0, constants=CONSTANTS, forces="conservative"):
    torch.manual_seed(seed)
    return plugins.make_model({"name": name, "forces": forces, **MODELS[name]}, constants).double().eval()


def batch(samples=4):
    return toys.force_field().batch(np.arange(samples)).to("cpu", torch.float64)


def well(inputs):
    """Energy of an atom in a harmonic well of stiffness 1 [eV/Å²], over `energy_scale`."""
    atoms = (inputs["numbers"] > 0).sum(1, keepdim=True)
    return inputs["positions"].square().sum((1, 2))[:, None] / 2 / atoms / CONSTANTS["energy_scale"]


def test_with_forces__of_a_well_are_those_of_springs_in_their_own_unit():
    inputs = batch().inputs
    torch.testing.assert_close(with_forces(well, inputs, CONSTANTS)["forces"] * 2.0, -inputs["positions"])


@pytest.mark.parametrize("name", MODELS)
def test_models__have_forces_that_are_minus_the_gradient_of_their_energy_in_electronvolts(name):
    net, inputs = model(name), batch().inputs
    atoms = (inputs["numbers"] > 0).sum(1)
    forces, step = net(inputs)["forces"] * CONSTANTS["force_scale"], 1e-5
    for sample, atom, axis in [(0, 0, 0), (1, 2, 1), (3, 1, 2)]:
        energies = []
        for h in (step, -step):
            moved = inputs["positions"].clone()
            moved[sample, atom, axis] += h
            energy = net(inputs | {"positions": moved})["energy"][sample, 0]
            energies.append(energy * atoms[sample] * CONSTANTS["energy_scale"])
        slope = (energies[0] - energies[1]) / (2 * step)
        torch.testing.assert_close(forces[sample, atom, axis], -slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_models__have_conservative_forces_that_sum_to_nothing_and_none_on_padding(name):
    inputs = batch(8).inputs
    forces = model(name)(inputs)["forces"]
    assert forces.abs().max() > 1e-4
    torch.testing.assert_close(forces.sum(1), torch.zeros(8, 3).double(), atol=1e-12, rtol=0)
    assert not forces[inputs["numbers"] == 0].any()


@pytest.mark.parametrize("name", MODELS)
def test_models__predict_the_same_without_gradients_and_leave_no_trace(name):
    net, inputs = model(name), batch().inputs
    expected = net(inputs)
    with torch.no_grad():
        found = net(inputs)
    assert expected["forces"].requires_grad
    assert not inputs["positions"].requires_grad
    for term, value in found.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, expected[term].detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", MODELS)
def test_models__have_no_parameter_that_a_conservative_energy_does_not_use(name):
    net = model(name)
    out = net(batch().inputs)
    loss = out["energy"].square().sum() + out["forces"].square().sum()
    unused = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    assert all(g is not None and g.any() for g in unused)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models__with_conservative_forces_pass_the_certificate(name):
    """Third derivatives of the energy, against central differences of the gradient of the loss."""
    task = toys.force_field()
    objective = Objective(model(name), task, task.batch(np.arange(2)), rotation_sets.sample_rotations("T", 2, 0, 0))
    found = derivative_check.certify(objective)
    assert max(found.error.values()) < derivative_check.TOLERANCE
    assert max(found.precision.values()) < 1e-2


@pytest.mark.parametrize("name", MODELS)
def test_models__with_conservative_forces_have_lie_derivatives_forwards(name):
    task, net = toys.force_field(), model(name)
    quaternion = so3.haar(6, 2, generator=torch.Generator().manual_seed(0))
    ways = [
        lie_derivative.lie_error(Evaluation(net, task, dtype=torch.float64), np.arange(6), quaternion, method=m)
        for m in ("forward", "difference")
    ]
    for term in ("energy", "forces"):
        np.testing.assert_allclose(ways[0].values[term], ways[1].values[term], rtol=1e-4, atol=1e-14)


def test_escaip__with_conservative_forces_is_equivariant_and_with_direct_ones_is_not():
    task, quaternion = toys.force_field(), so3.haar(12, 4, generator=torch.Generator().manual_seed(0))
    errors = []
    for forces in ("conservative", "direct"):
        net = model("escaip", forces=forces)
        found = inner_products(Evaluation(net, task, dtype=torch.float64), np.arange(12), quaternion)
        errors.append(loss_split.split(found["gram"], found["cross"], found["square"]).equiv.mean(-1))
    (forces, energy), direct = errors
    assert max(forces, energy) < 1e-20
    assert direct[0] > 1e-6


def test_measure__gives_the_equivariance_errors_of_energy_and_forces_side_by_side():
    task, net = toys.force_field(), model("vector_attention").float()
    found = measure(net, task, split_index(toys.frames(), "test"), TwirlSettings(rotations=4))
    assert (found["loss_equiv"].sel(term=["forces", "energy"]) > 0).all()
