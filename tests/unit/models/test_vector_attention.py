import numpy as np
import pytest
import torch

from twirlscope import losses
from twirlscope.geometry import action, so3
from twirlscope.models.vector_attention import VectorAttention

ELEMENTS = {"elements": [1, 6, 7, 8]}


def model(seed=0, **sizes):
    torch.manual_seed(seed)
    return VectorAttention(VectorAttention.Settings(**sizes), ELEMENTS).double().eval()


def molecules(samples=8, atoms=9, seed=0):
    """Points on a jittered grid, 1.2 Å apart, with random elements."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3) * 1.2
    positions = np.stack([grid[rng.permutation(27)[:atoms]] for _ in range(samples)])
    positions = positions + 0.15 * rng.normal(size=positions.shape)
    numbers = rng.choice(ELEMENTS["elements"], size=(samples, atoms))
    return {
        "numbers": torch.from_numpy(numbers),
        "positions": torch.from_numpy(positions - positions.mean(1, keepdims=True)),
    }


def test_vector_attention__goes_from_ten_thousand_to_a_hundred_million_parameters():
    def count(**sizes):
        with torch.device("meta"):
            parameters = VectorAttention(VectorAttention.Settings(**sizes), ELEMENTS).parameters()
        return sum(p.numel() for p in parameters)

    assert 0.8e4 < count(width=16, layers=2) < 1.2e4
    assert 5e4 < count() < 3e5
    assert 0.8e8 < count(width=1024, layers=6, heads=16) < 1.2e8


@pytest.mark.parametrize("seed", range(3))
def test_vector_attention__is_far_from_equivariant_before_training(seed):
    data, rotations = molecules(samples=16), 8
    quaternion = so3.haar(16 * rotations, generator=torch.Generator().manual_seed(seed))
    g = so3.matrix(quaternion)
    numbers, positions = (data[k].repeat_interleave(rotations, 0) for k in ("numbers", "positions"))
    with torch.no_grad():
        response = model(seed)({"numbers": numbers, "positions": action.rotate("1o", g, positions)})
    z = action.twist("1o", g, response["forces"]).unflatten(0, (16, rotations))
    equiv = z.var(1).mean()
    total = z.square().mean() + 1.0  # against independent targets of unit variance
    assert 0.15 < equiv / total < 0.9
    assert response["energy"].unflatten(0, (16, rotations)).var(1).mean() > 1e-6


def test_vector_attention__does_not_see_where_the_molecule_is():
    data, net = molecules(), model()
    there = data | {"positions": data["positions"] + torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)}
    here, moved = net(data), net(there)
    assert all(torch.allclose(here[k], moved[k], atol=1e-10) for k in here)


def test_vector_attention__is_smooth_where_a_neighbour_crosses_the_cutoff():
    net = model(cutoff=4.0)
    numbers = torch.tensor([[6, 8, 1]])

    def forces(distance):
        positions = torch.tensor([[[0.0, 0, 0], [0, 1.2, 0], [distance, 0, 0]]], dtype=torch.float64)
        return net({"numbers": numbers, "positions": positions})["forces"][0, 0]

    with torch.no_grad():
        jump = (forces(4.0 + 1e-5) - forces(4.0 - 1e-5)).abs().max()
        assert jump < 1e-11
        assert (forces(3.0) - forces(5.0)).abs().max() > 1e-4


def test_vector_attention__takes_an_atom_without_neighbours():
    alone = {"numbers": torch.tensor([[6, 0], [1, 8]]), "positions": torch.zeros(2, 2, 3, dtype=torch.float64)}
    alone["positions"][1, 1, 0] = 1.0
    net = model()
    out = net(alone)
    out["forces"].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert out["forces"].isfinite().all()
    assert not out["forces"][0, 1].any()


def test_vector_attention__refuses_an_element_it_has_not_seen():
    data = molecules(samples=1)
    for z in (2, 35):
        data["numbers"][0, 0] = z
        with pytest.raises(ValueError, match=rf"\[{z}\]"):
            model()(data)


def test_vector_attention__refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="heads"):
        model(width=30, heads=4)


def test_vector_attention__learns_a_batch():
    torch.manual_seed(0)
    data = {k: v.float() if v.is_floating_point() else v for k, v in molecules(samples=4, atoms=6).items()}
    target, weights = torch.randn(4, 6, 3), torch.full((4, 6), 1 / 6)
    net = VectorAttention(VectorAttention.Settings(width=16, layers=1), ELEMENTS)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(200):
        loss = losses.mse(net(data)["forces"], target, weights).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.05
