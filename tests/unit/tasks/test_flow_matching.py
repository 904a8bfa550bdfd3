import numpy as np
import pytest
import torch
import toys
from scipy import stats

from twirlscope import losses, plugins
from twirlscope.geometry import so3
from twirlscope.settings import train
from twirlscope.sources import split_index
from twirlscope.tasks import flow_matching
from twirlscope.training.loop import Loop


@pytest.fixture(scope="module")
def data():
    return toys.backbones(400)


def flow(data, **settings):
    return plugins.make_task({"name": "flow_matching", **settings}, data)


def parts(batch):
    """Noise, chain, time and mask of a batch: x0 = x_t - t v, x1 = x_t + (1 - t) v."""
    x, v, t = batch.inputs["positions"], batch.targets["velocity"], batch.inputs["time"][:, None, None]
    return x - t * v, x + (1 - t) * v, t, batch.inputs["mask"]


def test_batch__lies_on_the_straight_path_from_centred_noise_to_the_chain(data):
    task, index = flow(data), np.array([3, 11, 3, 200])
    batch = task.batch(index)
    x0, x1, _, mask = parts(batch)
    first = np.concatenate([[0], np.cumsum(data["atoms"].values)])
    for row, i in enumerate(index):
        count = data["atoms"].values[i]
        assert mask[row].sum() == count
        np.testing.assert_allclose(x1[row, :count], data["ca_positions"].values[first[i] : first[i + 1]], atol=1e-5)
    for tensor in (x0, x1, batch.inputs["positions"], batch.targets["velocity"]):
        assert tensor.sum(1).abs().max() < 1e-4
        assert (tensor[mask == 0] == 0).all()
    assert torch.equal(batch.inputs["positions"][0], batch.inputs["positions"][2])  # the index decides, not the place


def test_batch__has_unit_noise_and_times_of_the_mixture(data):
    batch = flow(data).batch(np.arange(400))
    x0, _, t, mask = parts(batch)
    count = mask.sum(1)
    square = (x0**2).sum((1, 2)) / (3 * (count - 1))  # centring takes one residue
    assert square.mean().item() == pytest.approx(1, abs=4 * (2 / (3 * 10 * 400)) ** 0.5)

    def cumulative(t):
        return 0.02 * t + 0.98 * stats.beta(1.9, 1.0).cdf(t)

    assert stats.kstest(t.flatten().numpy(), cumulative).pvalue > 0.01
    uniform = flow(data, uniform=1.0).batch(np.arange(400)).inputs["time"].numpy()
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    assert stats.kstest(uniform, cumulative).pvalue < 1e-6


def test_loss__of_the_velocity_is_the_weighted_loss_of_the_clean_chain(data):
    task, index = flow(data), np.arange(50)
    batch = task.batch(index).to("cpu", torch.float64)
    _, x1, t, mask = parts(batch)
    guess = batch.targets["velocity"] + torch.randn(x1.shape, generator=torch.Generator().manual_seed(0)) * 0.3
    clean = batch.inputs["positions"] + (1 - t) * guess
    square = ((x1 - clean) ** 2).sum(-1) * mask
    weighted = square.sum(1) / (3 * mask.sum(1)) / ((1 - t[:, 0, 0]) ** 2 + task.settings.epsilon)
    found = losses.mse(guess, batch.targets["velocity"], batch.weights["velocity"])
    torch.testing.assert_close(found, weighted, rtol=1e-5, atol=1e-7)  # weights are stored in float32


def test_loss__weight_is_one_but_close_to_the_chain(data):
    batch = flow(data).batch(np.arange(400))
    share, t = batch.weights["velocity"].sum(1).numpy(), batch.inputs["time"].numpy()
    np.testing.assert_allclose(share, (1 - t) ** 2 / ((1 - t) ** 2 + 1e-5), rtol=1e-3)
    assert (share[t < 0.95] > 0.99).all()


def test_rotate__commutes_with_the_path(data):
    """Noise, path, chain and velocity turned: the path of the turned ends is the turned path."""
    task, index = flow(data), np.arange(12)
    batch = task.batch(index).to("cpu", torch.float64)
    R = so3.matrix(so3.haar(12, generator=torch.Generator().manual_seed(0)))
    turned = task.rotate(batch, R)
    x0, x1, t, _ = parts(batch)
    y0, y1 = x0 @ R.mT, x1 @ R.mT
    torch.testing.assert_close(turned.inputs["positions"], (1 - t) * y0 + t * y1, atol=1e-12, rtol=0)
    torch.testing.assert_close(turned.targets["velocity"], y1 - y0, atol=1e-12, rtol=0)
    assert torch.equal(turned.inputs["time"], batch.inputs["time"])


def test_task__has_rotations_but_no_reflections_as_symmetry():
    assert plugins.find("task", "flow_matching").reflections is False


def test_draw__gives_fresh_noise_and_times_from_the_generator_and_batch_does_not(data):
    task, index = flow(data), np.arange(6)
    first, second, again = (task.draw(index, np.random.default_rng(s)) for s in (1, 2, 1))
    assert not torch.equal(first.inputs["time"], second.inputs["time"])
    assert torch.equal(first.inputs["positions"], again.inputs["positions"])
    assert not torch.equal(first.inputs["positions"], task.batch(index).inputs["positions"])
    other = flow(data, seed=1).batch(index)
    assert not torch.equal(other.inputs["time"], task.batch(index).inputs["time"])


def test_training__sees_another_noise_in_every_update_and_the_same_when_it_is_repeated(data):
    seen = []
    task = flow(data)
    task.draw = lambda index, rng: seen.append(type(task).draw(task, index, rng)) or seen[-1]
    run = {"model": {"name": "protein_transformer", "width": 8, "heads": 2, "layers": 1}, "seed": 0}
    settings = train.TrainSettings(steps=3, batch=4, warmup=0)
    for _ in range(2):
        loop = Loop(task, run, settings, split_index(data, "train")[:4])
        for _ in range(3):
            loop.update()
    times = [b.inputs["time"].sort().values for b in seen]
    assert not torch.equal(times[0], times[1])
    for first, again in zip(times[:3], times[3:], strict=True):
        assert torch.equal(first, again)


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
        found = flow_matching.integrate(to_target(target.flip(-1)), x0, mask, steps, "euler")
        torch.testing.assert_close(found, target.flip(-1), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_integrate__converges_with_the_order_of_the_solver(solver, order):
    x0, mask = noise()
    spin = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0.5]], dtype=torch.float64)
    exact = x0 @ torch.linalg.matrix_exp(1.5 * spin)  # of dx/dt = 3 t x A

    def model(inputs):
        return {"velocity": 3 * inputs["time"][:, None, None] * inputs["positions"] @ spin}

    errors = [(flow_matching.integrate(model, x0, mask, n, solver) - exact).norm().item() for n in (20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_integrate__keeps_chains_centred_and_padding_empty_and_hands_on_the_clean_chain():
    x0, mask = noise()
    seen = []

    def model(inputs):
        seen.append(inputs["clean"])
        return {"velocity": inputs["positions"] + 5.0}

    x = flow_matching.integrate(model, x0, mask, 3, "euler")
    assert x.sum(1).abs().max() < 1e-9
    assert (x[mask == 0] == 0).all()
    assert not seen[0].any()
    torch.testing.assert_close(seen[1], (x0 + x0 + 5.0) * mask[..., None])


def test_distance_histogram__of_a_line_are_counted_by_hand():
    line = np.stack([0.38 * np.arange(4), np.zeros(4), np.zeros(4)], 1)
    shares = flow_matching.distance_histogram([line, line])
    expected = np.zeros(len(shares))
    expected[[7, 15, 22]] = [3 / 6, 2 / 6, 1 / 6]  # 0.38, 0.76 and 1.14 nm in bins of 0.05
    np.testing.assert_allclose(shares, expected)
    assert flow_matching.distance_histogram([100 * line])[-1] == 1


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
