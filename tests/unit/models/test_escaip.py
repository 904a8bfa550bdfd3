"""EScAIP against its closed form: the whole chain of measurement, from a model to the split and the spectrum."""

import math

import design_spectrum
import numpy as np
import pytest
import torch

from twirlscope.contracts import Batch, Evaluation
from twirlscope.estimators import loss_split
from twirlscope.geometry import rotation_sets, so3
from twirlscope.models.escaip import Escaip
from twirlscope.twirling import lie_derivative
from twirlscope.twirling.twisting import FixedBatchTask, inner_products, twisted

ELEMENTS = {"elements": [1, 6, 7, 8]}
PUBLISHED = {"width": 128, "layers": 6, "heads": 8, "neighbours": 20, "cutoff": 12.0, "radial": 600}
PUBLISHED |= {"distance_width": 512, "degrees": 10, "order_width": 64, "element_width": 128, "element_rows": 110}


def model(seed=0, **sizes):
    """The model with larger output weights of the energy: at initialisation, energies are nearly 0."""
    torch.manual_seed(seed)
    net = Escaip(Escaip.Settings(**sizes), ELEMENTS).double().eval()
    with torch.no_grad():
        net.energy.last.weight.mul_(100)
    return net


def molecules(samples=6, atoms=9, seed=0):
    """Points on a jittered grid, 1.2 Å apart, with random elements and targets; the last two are smaller."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3) * 1.2
    positions = np.stack([grid[rng.permutation(27)[:atoms]] for _ in range(samples)])
    real = np.arange(atoms) < np.where(np.arange(samples) < samples - 2, atoms, atoms - 4)[:, None]
    positions = (positions + 0.15 * rng.normal(size=positions.shape)) * real[..., None]
    numbers = rng.choice(ELEMENTS["elements"], size=(samples, atoms)) * real
    forces, energy = rng.normal(size=positions.shape) * real[..., None], rng.normal(size=(samples, 1))
    weights = {"forces": torch.from_numpy(real / real.sum(1, keepdims=True)), "energy": torch.ones(samples).double()}
    inputs = {"numbers": torch.from_numpy(numbers), "positions": torch.from_numpy(positions)}
    return Batch(inputs, {"forces": torch.from_numpy(forces), "energy": torch.from_numpy(energy)}, weights)


def given(batch):
    return FixedBatchTask(batch, {"positions": "1o"}, {"forces": "1o", "energy": "0e"})


def closed_form(net, batch):
    """Twirled forces, `L_mean` and `L_equiv` of the forces by sample, from the parts of the network."""
    real = batch.inputs["numbers"] > 0
    with torch.no_grad():
        graph = net.graph(batch.inputs)
        atom, messages = net.atom_features(graph)
        m, w = net.magnitude(atom), net.direction(net.edges(messages)) * graph.filled[..., None]
    mean = w.mean(-1, keepdim=True)
    twirled, variance = torch.zeros(*real.shape, 3).double(), torch.zeros(real.shape).double()
    twirled[real] = m * (mean * graph.direction).sum(1)
    B = torch.einsum("aki,akj->aij", w - mean, graph.direction)
    variance[real] = m[:, 0] ** 2 * B.square().sum((1, 2)) / 3
    weights = batch.weights["forces"] / 3  # losses are per component
    error = (twirled - batch.targets["forces"]).square().sum(-1)
    return twirled, (weights * error).sum(1).numpy(), (weights * variance).sum(1).numpy()


def test_escaip__has_the_published_number_of_parameters():
    def count(**sizes):
        with torch.device("meta"):
            return sum(p.numel() for p in Escaip(Escaip.Settings(**sizes), ELEMENTS).parameters())

    assert count() == 197_186
    assert count(**PUBLISHED) == 6_136_966


@pytest.mark.parametrize("name", ["T", "O", "I"])
def test_escaip__split_by_an_exact_set_is_the_closed_form(name):
    net, batch, chosen = model(), molecules(), rotation_sets.rotation_set(name)
    quaternion = rotation_sets.randomised(chosen, len(batch), 2, torch.Generator().manual_seed(1))
    found = inner_products(
        Evaluation(net, given(batch), dtype=torch.float64, chunk=64), np.arange(6), quaternion.flatten(1, 2)
    )
    n = len(chosen)
    gram, cross = found["gram"][0].reshape(6, 2, n, 2, n), found["cross"][0].reshape(6, 2, n)
    split = loss_split.split_design(gram, cross, found["square"][0], chosen.weight.numpy())
    _, mean, equiv = closed_form(net, batch)
    assert equiv.min() > 1e-4
    np.testing.assert_allclose(split.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(split.equiv, equiv, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_escaip__split_by_independent_rotations_is_right_on_average():
    net, batch = model(), molecules(samples=3)
    quaternion = so3.haar(3, 600, generator=torch.Generator().manual_seed(2))
    found = inner_products(Evaluation(net, given(batch), dtype=torch.float64, chunk=300), np.arange(3), quaternion)
    gram, cross = (found[k][0] for k in ("gram", "cross"))
    pairs = gram.reshape(3, 300, 2, 300, 2)[:, np.arange(300), :, np.arange(300)].swapaxes(0, 1)
    split = loss_split.split(pairs, cross.reshape(3, 300, 2), found["square"][0][:, None])
    for values, exact in zip((split.mean, split.equiv), closed_form(net, batch)[1:], strict=True):
        assert (abs(values.mean(1) - exact) < 4 * values.std(1) / 300**0.5).all()


def test_escaip__has_degrees_0_and_2_and_no_other():
    net, batch, chosen = model(), molecules(samples=3), rotation_sets.rotation_set("O7")
    quaternion = rotation_sets.randomised(chosen, 3, 2, torch.Generator().manual_seed(3))
    found = inner_products(
        Evaluation(net, given(batch), dtype=torch.float64, chunk=400), np.arange(3), quaternion.flatten(1, 2)
    )
    n = len(chosen)
    gram = found["gram"][0].reshape(3, 2, n, 2, n)
    q = design_spectrum.spectrum_design(gram, quaternion.numpy(), 4, chosen.weight.numpy())
    _, _, equiv = closed_form(net, batch)
    np.testing.assert_allclose(q[:, 2], equiv, rtol=1e-10)
    np.testing.assert_allclose(q[:, [1, 3, 4]], 0, atol=1e-12)


def test_escaip__twirled_prediction_is_the_closed_form():
    net, batch, chosen = model(), molecules(), rotation_sets.rotation_set("T")
    every = [twisted(net, given(batch), batch, R.expand(6, 3, 3))["forces"] for R in so3.matrix(chosen.quaternion)]
    torch.testing.assert_close(torch.stack(every).mean(0), closed_form(net, batch)[0], rtol=0, atol=1e-12)


def test_escaip__cannot_be_told_from_an_equivariant_model_by_half_turns_about_the_axes():
    net, batch = model(), molecules()
    here = net(batch.inputs)["forces"]
    for axis in range(3):
        half = so3.matrix(so3.axis_rotation(axis, torch.full((6,), math.pi, dtype=torch.float64)))
        turned = twisted(net, given(batch), batch, half)["forces"]
        torch.testing.assert_close(turned, here, rtol=0, atol=1e-12)
    R = so3.matrix(so3.haar(6, generator=torch.Generator().manual_seed(4)))
    assert (twisted(net, given(batch), batch, R)["forces"] - here).abs().max() > 0.01


def test_escaip__energy_is_invariant():
    net, batch = model(), molecules()
    R = so3.matrix(so3.haar(6, generator=torch.Generator().manual_seed(5)))
    here, turned = net(batch.inputs)["energy"], twisted(net, given(batch), batch, R)["energy"]
    assert here.std() > 0.01
    torch.testing.assert_close(turned, here, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_escaip__lie_derivative_sees_degree_2():
    net, batch, chosen = model(), molecules(), rotation_sets.rotation_set("O")
    quaternion = rotation_sets.randomised(chosen, 6, 1, torch.Generator().manual_seed(6)).flatten(1, 2)
    found = lie_derivative.lie_error(Evaluation(net, given(batch), dtype=torch.float64), np.arange(6), quaternion)
    assert found.method == "forward"
    np.testing.assert_allclose(found.values["forces"], 6 * closed_form(net, batch)[2], rtol=1e-9)
    np.testing.assert_allclose(found.values["energy"], 0, atol=1e-20)


def test_escaip__gives_an_atom_alone_no_force_and_finite_derivatives():
    net = model()
    positions = torch.zeros(1, 1, 3).double().requires_grad_()
    out = net({"numbers": torch.tensor([[6]]), "positions": positions})
    assert not out["forces"].any()
    assert torch.autograd.grad(out["energy"].sum(), positions)[0].isfinite().all()


def test_escaip__refuses_an_element_it_was_not_trained_on():
    batch = molecules()
    with pytest.raises(ValueError, match=r"elements \[9\]"):
        model()(batch.inputs | {"numbers": torch.where(batch.inputs["numbers"] == 6, 9, batch.inputs["numbers"])})


@pytest.mark.slow
def test_escaip__learns_the_forces_of_springs():
    batch = molecules(samples=16)
    centre = batch.inputs["positions"].sum(1, keepdim=True) / (batch.inputs["numbers"] > 0).sum(1)[:, None, None]
    wanted = (centre - batch.inputs["positions"]) * (batch.inputs["numbers"] > 0)[..., None]
    net = model().train()
    optimiser, losses = torch.optim.AdamW(net.parameters(), lr=3e-3), []
    for _ in range(40):
        loss = (net(batch.inputs)["forces"] - wanted).square().mean() / wanted.square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2
