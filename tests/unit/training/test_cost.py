"""The cost of a training against what is known by hand: products counted on paper, a clock and counters of our own."""

import itertools
import math
import sys
import types

import numpy as np
import pytest
import short_trainings
import torch
import toys
from short_trainings import unrehearsed  # noqa: F401

from twirlscope import losses, plugins
from twirlscope.models.layers.conservative_forces import with_forces
from twirlscope.models.layers.neighbours import neighbour_pairs
from twirlscope.runtime import energy, identity
from twirlscope.settings.train import TrainSettings
from twirlscope.stages import train
from twirlscope.storage import registry, store
from twirlscope.training import cost, optimisers

BATCH, WIDE, NARROW = 6, 32, 16
CPU = torch.device("cpu")


def metered(updates=3):
    meter = cost.Meter("cpu")
    for _ in range(updates):
        with meter.update():
            pass
    return meter


def measured(model, inputs, loss):
    return cost.measure(model, [inputs], [loss], ())


class Dense(torch.nn.Module):
    """One product, of the inputs with the weights."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(WIDE, NARROW)

    def forward(self, inputs):
        return self.layer(inputs["x"])


def test_measure__counts_a_dense_layer_as_by_hand():
    """Forward one product, backward the one for the weights: the inputs need no gradient."""
    model, inputs = Dense(), {"x": torch.randn(BATCH, WIDE)}
    found = measured(model, inputs, lambda: model(inputs).square().mean())
    assert found["flops_inference"] == 2 * WIDE * NARROW
    assert found["flops_update"] == 2 * 2 * BATCH * WIDE * NARROW


def test_measure__counts_attention_as_by_hand():
    """Queries with keys, weights with values; backward two products for each, and the first once more."""
    tokens, features, inputs = 12, 8, {"x": torch.randn(BATCH, 1, 12, 8)}
    model = torch.nn.Linear(features, 3 * features)

    def attention(given):
        return torch.nn.functional.scaled_dot_product_attention(*model(given["x"]).chunk(3, -1))

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, given):
            return attention(given)

    found = measured(Attention(), inputs, lambda: attention(inputs).sum())
    product, dense = 2 * tokens * tokens * features, 2 * tokens * features * 3 * features
    assert found["flops_inference"] == 2 * product + dense
    assert found["flops_update"] == BATCH * ((2 + 5) * product + 2 * dense)


def test_measure__counts_the_double_backward_of_conservative_forces():
    """E = |x A|^2: forward x A, the force is one more product; backward two for each of them."""
    matrix = torch.nn.Parameter(torch.randn(3, NARROW))
    inputs = {"numbers": torch.ones(BATCH, 5, dtype=torch.int64), "positions": torch.randn(BATCH, 5, 3)}
    constants = {"energy_scale": 1.0, "force_scale": 1.0}

    class Spring(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = matrix

        def forward(self, given):
            return with_forces(lambda i: (i["positions"] @ matrix).square().sum((1, 2))[:, None], given, constants)

    model, product = Spring(), 2 * 5 * 3 * NARROW
    found = measured(model, inputs, lambda: model(inputs)["forces"].square().mean())
    assert found["flops_inference"] == 2 * product
    assert found["flops_update"] == 6 * BATCH * product


def test_measure__counts_vector_attention_as_its_formula():
    """Every product is a dense layer on the atoms A or on the pairs P; backward is twice forward, but for the inputs.

    The radial features and the directions need no gradient, and the first layers on them lack that product.
    """
    task = toys.force_field()
    model = plugins.make_model({"name": "vector_attention", "width": 8, "layers": 2, "heads": 2}, task.constants)
    batch = task.batch(np.arange(BATCH))
    s = model.settings
    atoms, receiver, *_ = neighbour_pairs(batch.inputs, s.cutoff, s.neighbours)
    A, P, w, h, r = len(atoms), len(receiver), s.width, round(s.hidden * s.width), s.radial
    once = P * (2 * r * w + 3 * w) + s.layers * P * 3 * h + P * 3 * w  # of inputs without a gradient
    first = P * w * w + 2 * A * w * w
    attention = 2 * A * w * w + 2 * P * w * w
    block = attention + 3 * A * w * 2 * h + P * 3 * w * h + 2 * A * w * h
    readout = P * (2 * w * w + 3 * w) + 2 * A * w * w + A * (2 * w * w + 4 * w)
    rest = first + s.layers * block + readout

    def loss():
        return sum(losses.loss_terms(task, model(batch.inputs), batch).values())

    found = cost.measure(model, [batch.inputs], [loss], ())
    assert found["flops_inference"] * BATCH == 2 * (once + rest)
    assert found["flops_update"] == 2 * (2 * once + 3 * rest)


def test_measure__says_why_a_model_cannot_be_counted():
    class Shy(Dense):
        def forward(self, inputs):
            if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
                raise RuntimeError("not while somebody looks")
            return super().forward(inputs)

    model, inputs = Shy(), {"x": torch.randn(BATCH, WIDE)}
    found = measured(model, inputs, lambda: model(inputs).mean())
    assert np.isnan(found["flops_update"])
    assert np.isnan(found["memory_peak"])
    assert found["seconds_inference"] > 0
    assert found["cost_missing"] == "RuntimeError: not while somebody looks"


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimiser_flops__of_muon_are_those_of_its_iterations(name):
    """Five times X X^T, its square, and their product with X, of 16 x 32 numbers; AdamW multiplies no matrices."""
    model, settings = Dense(), TrainSettings(optimiser=name, warmup=0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found, _, reason = cost.first_update(model, lambda m: optimisers.optimiser(m, settings))
    products = 5 * 2 * (NARROW * NARROW * WIDE + NARROW**3 + NARROW * NARROW * WIDE)
    assert (found, reason) == ({"adamw": 0, "muon": products}[name], "")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.usefixtures("unrehearsed")
def test_cost__of_an_update_holds_that_of_the_optimiser(tmp_path):
    registry.save(toys.frames(atoms=(5, 5)), tmp_path / "data.zarr.zip")
    model, found = {"name": f"{toys.__file__.replace('toys', 'toy_model')}:Mlp"}, {}
    for name in ("adamw", "muon"):
        settings = TrainSettings(steps=2, batch=6, warmup=0, optimiser=name, device="cpu")
        run = {"dataset": "well", "task": {"name": "force_field"}, "model": model, "train": settings.model_dump()}
        train.train(tmp_path / "data.zarr.zip", tmp_path / name / "train.zarr.zip", run | {"seed": 0}, "code")
        found[name] = float(store.load(tmp_path / name / "train.zarr.zip")["flops_update"])
    made = plugins.make_model(model, {})
    own, _, _ = cost.first_update(made, lambda m: optimisers.optimiser(m, TrainSettings(optimiser="muon", warmup=0)))
    assert own > 0
    assert found["muon"] - found["adamw"] == own


def test_measure__leaves_weights_and_mode_alone():
    model, inputs = Dense(), {"x": torch.randn(BATCH, WIDE)}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    measured(model, inputs, lambda: model(inputs).mean())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_allocated__is_the_most_that_was_alive_at_once():
    megabyte = torch.zeros(250_000)
    with cost.Allocated() as memory:
        a = megabyte + 1
        b = a * 2
        del a
        c = torch.exp(b)
        c.view(10, -1).t().add_(1)  # no memory of its own
        del b, c
    assert memory.peak == 2_000_000
    assert memory.live == 0


def test_meter__leaves_out_what_is_set_aside(monkeypatch):
    clock = itertools.accumulate([0, 1, 10, 2, 100, 3, 5])  # start, aside from and to, end; start, end
    monkeypatch.setattr(cost.time, "perf_counter", lambda: float(next(clock)))
    meter = cost.Meter("cpu")
    with meter.update(), meter.aside():
        pass
    with meter.update():
        pass
    assert meter.elapsed == [3, 6]


def test_meter__does_not_count_an_update_that_failed():
    meter = metered(1)
    with pytest.raises(KeyboardInterrupt), meter.update():
        raise KeyboardInterrupt
    assert len(meter.elapsed) == 1


@pytest.mark.usefixtures("unrehearsed")
def test_cost__of_an_update_does_not_depend_on_its_pieces(tmp_path):
    """Samples of one size cost the same, so that few of them, scaled, say what all cost."""
    registry.save(toys.frames(atoms=(5, 5)), tmp_path / "data.zarr.zip")
    model, found = {"name": f"{toys.__file__.replace('toys', 'toy_model')}:Mlp"}, {}
    for pieces in (0, 1, 3):
        settings = TrainSettings(steps=3, batch=6, warmup=0, micro_batch=pieces, device="cpu").model_dump()
        run = {"dataset": "well", "task": {"name": "force_field"}, "model": model, "train": settings, "seed": 0}
        train.train(tmp_path / "data.zarr.zip", tmp_path / f"{pieces}/train.zarr.zip", run, "code")
        found[pieces] = store.load(tmp_path / f"{pieces}/train.zarr.zip")
    assert found[0]["flops_update"] > 0
    assert {float(f["flops_update"]) for f in found.values()} == {float(found[0]["flops_update"])}
    assert found[1]["memory_peak"] <= found[3]["memory_peak"] <= found[0]["memory_peak"]


@pytest.mark.usefixtures("unrehearsed")
def test_elapsed__goes_on_where_a_killed_training_was_saved(tmp_path, monkeypatch):
    registry.save(toys.frames(), tmp_path / "data.zarr.zip")
    settings = TrainSettings(steps=12, batch=4, warmup=0, device="cpu").model_dump()
    model = {"name": "vector_attention", "width": 8, "layers": 1, "heads": 2}
    run = {"dataset": "well", "task": {"name": "force_field"}, "model": model, "train": settings, "seed": 0}
    arguments = (tmp_path / "data.zarr.zip", tmp_path / "train.zarr.zip", run, "code")
    with short_trainings.killed_at(8):
        train.train(*arguments)
    state = torch.load(next(tmp_path.glob(f"checkpoints/*/{identity.STATE_FILE}")), weights_only=True)
    train.train(*arguments)
    found = store.load(tmp_path / "train.zarr.zip")
    assert 0 < state["step"] <= 8
    np.testing.assert_array_equal(found["elapsed"][: state["step"]], state["meter"]["elapsed"])
    assert found.sizes["update"] == 12
    assert np.all(np.diff(found["elapsed"]) > 0)
    assert found["device_hours"] == pytest.approx(float(found["elapsed"][-1]) * found.attrs["threads"] / 3600)
    assert found["memory_peak"] * 1e6 > 4 * 4 * found.attrs["parameters"]  # weights, two moments, gradients


def sockets(folder, **microjoules):
    for name, value in microjoules.items():
        zone = folder / name.replace("_", ":").replace("intel", "intel-rapl")
        zone.mkdir(exist_ok=True)
        (zone / "max_energy_range_uj").write_text("1000000\n")
        (zone / "energy_uj").write_text(f"{value}\n")


def test_energy__of_all_sockets_over_the_end_of_their_counters(tmp_path):
    sockets(tmp_path, intel_0=900_000, intel_0_0=5, intel_1=0)
    counter = energy._rapl(tmp_path)
    sockets(tmp_path, intel_0=100_000, intel_0_0=77, intel_1=300_000)
    assert counter() == pytest.approx(0.2 + 0.3)
    sockets(tmp_path, intel_1=400_000)
    assert counter() == pytest.approx(0.6)


def test_energy__is_unknown_where_nothing_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "RAPL", tmp_path)
    meter = metered(2)
    assert math.isnan(meter.energy)
    assert energy.energy_counter("mps") is None


def test_energy__of_a_gpu_is_what_its_driver_counts(monkeypatch):
    counts = iter([0, 5000, 8000])
    fake = types.SimpleNamespace(
        NVMLError=ValueError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID={"GPU-1-2": "it"}.__getitem__,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counts),
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="1-2"))
    meter = cost.Meter("cuda")
    with meter.update():
        pass
    assert meter.energy == pytest.approx(3)
