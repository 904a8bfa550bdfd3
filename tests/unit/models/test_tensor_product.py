"""The tensor-product network: exactly equivariant in every way the package can measure, smooth, and able to learn."""

import e3nn
import numpy as np
import pytest
import torch
import toys

from twirlscope import losses, plugins
from twirlscope.contracts import Evaluation
from twirlscope.curvature import derivative_check
from twirlscope.curvature.objective import Objective
from twirlscope.estimators import loss_split
from twirlscope.geometry import rotation_sets, so3
from twirlscope.models.tensor_product import TensorProductNetwork
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.training import cost
from twirlscope.twirling import lie_derivative, measure
from twirlscope.twirling.twisting import inner_products

CONSTANTS = {"elements": [1, 6], "energy_scale": 0.5, "force_scale": 2.0}
KINDS = [(forces, l_max) for forces in ("direct", "conservative") for l_max in (1, 2)]
SAMPLES = 12


def model(forces="direct", l_max=2, seed=0, **sizes):
    torch.manual_seed(seed)
    sizes = {"width": 8, "layers": 2, "radial_width": 8, "average_neighbours": 4.0, **sizes}
    settings = TensorProductNetwork.Settings(forces=forces, l_max=l_max, **sizes)
    return TensorProductNetwork(settings, CONSTANTS).double().eval()


def count(name, elements=(1, 6, 7, 8, 9, 16), **settings):
    built = plugins.make_model({"name": name, **settings}, CONSTANTS | {"elements": list(elements)})
    return sum(p.numel() for p in built.parameters())


def test_tensor_product__has_by_default_the_parameters_of_its_counterpart_within_5_percent():
    assert abs(count("tensor_product") / count("vector_attention") - 1) < 0.05
    assert abs(count("tensor_product", l_max=2, width=36) / count("vector_attention") - 1) < 0.05


@pytest.mark.parametrize(("forces", "l_max"), KINDS)
def test_tensor_product__has_no_equivariance_error_in_double_precision_with_reflections(forces, l_max):
    task, parity = toys.force_field(SAMPLES), np.array([1, 1, 1, -1, -1, -1], np.int8)
    quaternion = so3.haar(SAMPLES, 6, generator=torch.Generator().manual_seed(1))
    found = inner_products(
        Evaluation(model(forces, l_max), task, dtype=torch.float64), np.arange(SAMPLES), quaternion, parity=parity
    )
    parts = loss_split.split(found["gram"], found["cross"], found["square"])
    assert (parts.total.mean(1) > 0.01).all()
    assert (abs(parts.equiv.mean(1)) < 1e-10 * parts.total.mean(1)).all()
    reach = np.diagonal(found["gram"], axis1=2, axis2=3).mean((1, 2))
    assert (reach > 1e-5).all()  # it does predict something
    assert (abs(parts.equiv.mean(1)) < 1e-10 * reach).all()


@pytest.mark.parametrize(("forces", "l_max"), KINDS)
def test_measure__of_a_tensor_product_network_is_rounding_in_single_precision(forces, l_max):
    task, settings = toys.force_field(SAMPLES), TwirlSettings(rotations=4, reflections=2)
    found = measure.measure(model(forces, l_max).float(), task, np.arange(SAMPLES), settings)
    assert (abs(found["loss_equiv"]) < 1e-6 * found["loss_total"]).all()
    assert (abs(found["o3_loss_equiv"]) < 1e-6 * found["o3_loss_total"]).all()


@pytest.mark.parametrize(("forces", "l_max"), KINDS)
def test_tensor_product__has_no_lie_derivative_forwards(forces, l_max):
    quaternion = so3.haar(2, 2, generator=torch.Generator().manual_seed(2))
    found = lie_derivative.lie_error(
        Evaluation(model(forces, l_max), toys.force_field(), dtype=torch.float64), np.arange(2), quaternion
    )
    assert found.method == "forward"
    for term in ("forces", "energy"):
        assert (found.values[term] < 1e-13).all()  # a square; constants of e3nn are in single precision


@pytest.mark.slow
@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_tensor_product__passes_the_certificate_of_curvature_in_forward_mode(forces):
    task = toys.force_field()
    net = model(forces, l_max=1, width=4, radial=4, radial_width=4)
    objective = Objective(net, task, task.batch(np.arange(2)), rotation_sets.sample_rotations("D2", 2, 0, 0))
    found = derivative_check.certify(objective, mode="dual")
    assert max(*found.error.values(), *found.gauss_newton.values()) < derivative_check.TOLERANCE


@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_tensor_product__has_a_continuous_slope_where_a_neighbour_crosses_the_cutoff(forces):
    net, step = model(forces, cutoff=3.0), 1e-4
    numbers = torch.tensor([[6, 6, 1]])

    def outputs(distance):
        positions = torch.tensor([[[0.0, 0, 0], [0, 1.2, 0], [distance, 0, 0]]], dtype=torch.float64)
        out = net({"numbers": numbers, "positions": positions})
        return torch.cat([out["forces"].flatten(), out["energy"].flatten()]).detach()

    def slope(distance):
        return (outputs(distance + step) - outputs(distance - step)) / (2 * step)

    beyond, within, far = slope(3.0 + 2 * step), slope(3.0 - 2 * step), slope(2.0)
    assert (outputs(2.0) - outputs(3.5)).abs().max() > 1e-3
    assert far.abs().max() > 1e-3
    assert (beyond - within).abs().max() < 0.01 * far.abs().max()


def test_tensor_product__does_not_see_where_the_molecule_is():
    net, inputs = model(), toys.force_field().batch(np.arange(4)).to("cpu", torch.float64).inputs
    moved = inputs["positions"] + torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)
    here, there = net(inputs), net(inputs | {"positions": moved})
    assert all(torch.allclose(here[k], there[k], atol=1e-12) for k in here)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_tensor_product__gives_an_atom_alone_no_force_and_finite_derivatives(forces):
    positions = torch.zeros(2, 2, 3, dtype=torch.float64)
    positions[1, 1, 0] = 1.0
    net = model(forces)
    out = net({"numbers": torch.tensor([[6, 0], [1, 6]]), "positions": positions})
    out["forces"].square().sum().backward()
    assert not out["forces"][0].any()
    assert out["forces"][1].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_tensor_product__refuses_an_element_it_was_not_trained_on():
    inputs = toys.force_field().batch(np.arange(2)).inputs
    with pytest.raises(ValueError, match=r"elements \[9\]"):
        model()(inputs | {"numbers": torch.where(inputs["numbers"] == 6, 9, inputs["numbers"])})


def test_tensor_product__is_never_compiled_and_leaves_the_settings_of_e3nn_alone():
    before = e3nn.get_optimization_defaults()
    try:
        e3nn.set_optimization_defaults(jit_mode="script")
        net = model()
        assert e3nn.get_optimization_defaults()["jit_mode"] == "script"
    finally:
        e3nn.set_optimization_defaults(jit_mode=before["jit_mode"])
    assert not [m for m in net.modules() if isinstance(m, torch.jit.ScriptModule)]
    assert e3nn.get_optimization_defaults() == before


def springs(samples, seed):
    """Molecules whose atoms are joined by springs of length 1.5 Å: numbers, positions, forces, weights."""
    batch = toys.force_field(samples, seed).batch(np.arange(samples))
    numbers, positions = (batch.inputs[k] for k in ("numbers", "positions"))
    vector = positions[:, None] - positions[:, :, None]
    length = vector.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    joined = ((numbers > 0)[:, None] & (numbers > 0)[:, :, None])[..., None]
    return batch.inputs, ((length - 1.5) * vector / length * joined).sum(2), batch.weights["forces"]


@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_tensor_product__learns_springs_and_predicts_molecules_it_has_not_seen(forces):
    net = model(forces, l_max=1, layers=1, cutoff=8.0).float()
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)
    inputs, target, weights = springs(60, seed=0)
    for _ in range(100):
        optimiser.zero_grad()
        losses.mse(net(inputs)["forces"], target, weights).mean().backward()
        optimiser.step()
    inputs, target, weights = springs(40, seed=1)
    found, zero = (losses.mse(p, target, weights).mean() for p in (net(inputs)["forces"], torch.zeros_like(target)))
    assert found < 0.1 * zero


def test_twirling__computes_what_its_passes_compute_and_turns_of_vectors():
    """FLOPs, since they do not depend on what else a machine does; the bench compares times."""
    task, net, rotations = toys.force_field(40), model(l_max=1).float(), 4
    quaternion = so3.haar(40, rotations, generator=torch.Generator().manual_seed(0))
    plain, twirled = (
        cost.flops(torch.no_grad()(work))
        for work in (
            lambda: net(task.batch(np.arange(40)).repeat(rotations).inputs),
            lambda: inner_products(Evaluation(net, task, chunk=40 * rotations), np.arange(40), quaternion),
        )
    )
    assert plain < twirled < 1.05 * plain
