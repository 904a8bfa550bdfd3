import numpy as np
import pytest
import torch

import toys
from twirlscope import plugins, sampling


def noise(count=3, residues=12):
    x = torch.randn(count, residues, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.ones(count, residues, dtype=torch.int64)
    mask[1, 8:] = 0
    x = x * mask[..., None]
    return (x - x.sum(1, keepdim=True) / mask.sum(1)[:, None, None]) * mask[..., None], mask


def to_target(target):
    """The exact velocity of a flow onto one chain: (x1 - x) / (1 - t)."""

    def model(inputs):
        rest = (1 - inputs["time"]).clamp_min(1e-9)[:, None, None]
        return {"velocity": (target - inputs["positions"]) / rest}

    return model


def test_integrate__follows_the_exact_flow_onto_a_chain_in_any_number_of_steps():
    x0, mask = noise()
    target, _ = noise()
    for steps in (1, 5):
        found = sampling.integrate(to_target(target.flip(-1)), x0, mask, steps, "euler")
        torch.testing.assert_close(found, target.flip(-1), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_integrate__converges_with_the_order_of_the_solver(solver, order):
    x0, mask = noise()
    spin = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0.5]], dtype=torch.float64)
    exact = x0 @ torch.linalg.matrix_exp(1.5 * spin)  # of dx/dt = 3 t x A

    def model(inputs):
        return {"velocity": 3 * inputs["time"][:, None, None] * inputs["positions"] @ spin}

    errors = [(sampling.integrate(model, x0, mask, n, solver) - exact).norm().item() for n in (20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_integrate__keeps_chains_centred_and_padding_empty_and_hands_on_the_clean_chain():
    x0, mask = noise()
    seen = []

    def model(inputs):
        seen.append(inputs["clean"])
        return {"velocity": inputs["positions"] + 5.0}

    x = sampling.integrate(model, x0, mask, 3, "euler")
    assert x.sum(1).abs().max() < 1e-9
    assert (x[mask == 0] == 0).all()
    assert not seen[0].any()
    torch.testing.assert_close(seen[1], (x0 + x0 + 5.0) * mask[..., None])


def test_distance_shares__of_a_line_are_counted_by_hand():
    line = np.stack([0.38 * np.arange(4), np.zeros(4), np.zeros(4)], 1)
    shares = sampling.distance_shares([line, line])
    expected = np.zeros(len(shares))
    expected[[7, 15, 22]] = [3 / 6, 2 / 6, 1 / 6]  # 0.38, 0.76 and 1.14 nm in bins of 0.05
    np.testing.assert_allclose(shares, expected)
    assert sampling.distance_shares([100 * line])[-1] == 1


def test_generate__makes_chains_of_the_data_by_the_exact_flow():
    data = toys.backbones(20)
    task = plugins.make_task(
        {"name": "flow_matching", "generate": 5, "generate_steps": 3, "generate_solver": "euler"}, data
    )
    chains = np.split(data["ca_positions"].values, np.cumsum(data["atoms"].values)[:-1])[15:]
    padded = torch.zeros(5, max(map(len, chains)), 3)
    for row, chain in zip(padded, chains, strict=True):
        row[: len(chain)] = torch.from_numpy(chain)
    made = task.generate(to_target(padded), "cpu")
    assert made["generated_atoms"].values.tolist() == [len(c) for c in chains]
    np.testing.assert_allclose(made["generated_positions"], np.concatenate(chains), atol=1e-4)
    np.testing.assert_allclose(made["distance_share"][0], made["distance_share"][1], atol=0.02)
    none = plugins.make_task({"name": "flow_matching", "generate": 0}, data)
    assert none.generate(to_target(padded), "cpu") is None
