"""Optimisers: each learns, Muon turns as it should, a resumed run ends with the same weights."""

import math
from pathlib import Path

import numpy as np
import pytest
import short_trainings
import torch
import toys
from short_trainings import unrehearsed  # noqa: F401

from twirlscope.errors import UserError
from twirlscope.settings.train import TrainSettings
from twirlscope.stages import train
from twirlscope.storage import registry, store
from twirlscope.training.checkpoints import Trained
from twirlscope.training.optimisers import Joined, optimiser

PLUGIN = Path(toys.__file__).with_name("toy_model.py")
KINDS = {"adamw": 0.03, "adam": 0.03, "sgd": 0.1, "rmsprop": 0.03, "muon": 0.03}  # with a learning rate for each


def linear(seed=0, inputs=6, outputs=4):
    torch.manual_seed(seed)
    return torch.nn.Linear(inputs, outputs, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_optimiser__finds_the_solution_of_least_squares(kind):
    model, generator = linear(), torch.Generator().manual_seed(1)
    x = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(6, 4, generator=generator, dtype=torch.float64) + 0.5
    made = optimiser(model, TrainSettings(optimiser=kind, learning_rate=KINDS[kind]))
    for step in range(600):
        for group in made.param_groups:
            group["lr"] = KINDS[kind] * 0.5 * (1 + math.cos(math.pi * step / 600))  # as the loop does
        made.zero_grad(set_to_none=True)
        (model(x) - y).square().mean().backward()
        made.step()
    exact = torch.linalg.lstsq(torch.cat([x, torch.ones(200, 1, dtype=torch.float64)], 1), y).solution
    found = torch.cat([model.weight.T, model.bias[None]]).detach()
    assert (found - exact).abs().max() < 0.02


def test_adamw__is_bit_for_bit_that_of_torch():
    ours, theirs = linear(), linear()
    settings = TrainSettings(learning_rate=1e-2, weight_decay=0.3)
    groups = [{"params": [theirs.weight], "weight_decay": 0.3}, {"params": [theirs.bias], "weight_decay": 0.0}]
    pair = [(ours, optimiser(ours, settings)), (theirs, torch.optim.AdamW(groups, lr=1e-2))]
    for step in range(5):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        for model, each in pair:
            each.zero_grad()
            model(x).square().sum().backward()
            each.step()
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd", "rmsprop"])
def test_optimiser__in_one_call_for_all_parameters_has_the_bits_of_one_after_the_other(kind):
    ends = []
    for together in (True, False):
        model = torch.nn.Sequential(linear(0), linear(1, 4, 5), linear(2, 5, 2)).float()
        made = optimiser(model, TrainSettings(optimiser=kind, learning_rate=1e-2, weight_decay=0.3))
        for group in made.param_groups:
            assert group["foreach"] is True
            group["foreach"] = together
        for step in range(10):
            made.zero_grad()
            model(torch.randn(8, 6, generator=torch.Generator().manual_seed(step))).square().sum().backward()
            if step % 3 == 0:
                model[1].weight.grad = None
            made.step()
        ends.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*ends)


@pytest.mark.parametrize("shape", [(16, 16), (48, 12), (12, 48)])
def test_muon__takes_the_gradient_to_its_nearest_orthogonal_matrix(shape):
    """The second road is the singular value decomposition; the iteration only promises singular values around 1."""
    model = torch.nn.Linear(shape[1], shape[0], bias=False)
    gradient = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
    before, model.weight.grad = model.weight.detach().clone(), gradient.clone()
    settings = TrainSettings(optimiser="muon", learning_rate=1e-2, momentum=0.9)
    optimiser(model, settings).step()
    scale = 1e-2 * 0.2 * math.sqrt(max(shape))
    update = (before - model.weight.detach()) / scale
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    exact = u @ v
    assert (update * exact).sum() / (update.norm() * exact.norm()) > 0.97
    assert update.norm() * 0.2 * math.sqrt(max(shape)) / math.sqrt(update.numel()) == pytest.approx(0.2, rel=0.25)


def test_muon__turns_matrices_and_convolutions_and_leaves_the_rest_to_adamw():
    model = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(3, 5))
    model.stack = torch.nn.Parameter(torch.zeros(2, 4, 4))  # not known to be one matrix
    made = optimiser(model, TrainSettings(optimiser="muon", weight_decay=0.1))
    muon, adamw = made.parts
    assert [tuple(p.shape) for g in muon.param_groups for p in g["params"]] == [(3, 54), (5, 3)]
    others = {tuple(p.shape): g["weight_decay"] for g in adamw.param_groups for p in g["params"]}
    assert others == {(2, 4, 4): 0.1, (3,): 0.0, (5,): 0.0}
    assert len(made.param_groups) == 3


def test_muon__of_a_convolution_is_that_of_the_matrix_it_is():
    """A convolution whose kernel covers the whole grid is a dense layer."""
    torch.manual_seed(0)
    grid, dense = torch.nn.Conv3d(2, 4, 3), torch.nn.Linear(54, 4)
    with torch.no_grad():
        dense.weight.copy_(grid.weight.flatten(1))
        dense.bias.copy_(grid.bias)
    before = grid.weight.detach().clone()
    settings = TrainSettings(optimiser="muon", learning_rate=1e-2, momentum=0.9)
    pair = [(grid, optimiser(grid, settings)), (dense, optimiser(dense, settings))]
    for step in range(4):
        x = torch.randn(5, 2, 3, 3, 3, generator=torch.Generator().manual_seed(step))
        for model, made in pair:
            made.zero_grad(set_to_none=step % 2 == 0)
            model(x if model is grid else x.flatten(1)).square().sum().backward()
            made.step()
    assert torch.allclose(grid.weight.flatten(1), dense.weight, atol=1e-5)
    assert (grid.weight - before).abs().max() > 1e-3


def test_muon__is_refused_where_there_is_nothing_for_it():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LayerNorm(3))
    with pytest.raises(UserError, match="without matrices"):
        optimiser(model, TrainSettings(optimiser="muon"))


def test_joined__starts_again_from_its_state():
    rows = []
    for broken in (False, True):
        model = linear()
        made = optimiser(model, TrainSettings(optimiser="muon"))
        assert isinstance(made, Joined)
        for step in range(6):
            if broken and step == 3:
                state, made = made.state_dict(), optimiser(model, TrainSettings(optimiser="muon"))
                made.load_state_dict(state)
            made.zero_grad()
            model(torch.ones(2, 6, dtype=torch.float64) * (step + 1)).square().sum().backward()
            made.step()
        rows.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("unrehearsed")
def test_resumed_run__ends_with_identical_weights(tmp_path, monkeypatch, kind):
    registry.save(toys.frames(), data := tmp_path / "data.zarr.zip")
    settings = TrainSettings(steps=12, batch=4, warmup=3, device="cpu", optimiser=kind, learning_rate=1e-3)
    model = {"name": f"{PLUGIN}:Mlp"}
    run = {
        "dataset": "well",
        "task": {"name": "force_field"},
        "model": model,
        "train": settings.model_dump(),
        "seed": 0,
    }
    train.train(data, tmp_path / "whole" / "train.zarr.zip", run, "code")
    with short_trainings.killed_at(8):
        train.train(data, tmp_path / "broken" / "train.zarr.zip", run, "code")
    train.train(data, tmp_path / "broken" / "train.zarr.zip", run, "code")
    whole, broken = (tmp_path / name / "train.zarr.zip" for name in ("whole", "broken"))
    np.testing.assert_array_equal(store.load(whole)["loss"], store.load(broken)["loss"])
    last = [Trained(path, data).model(12).state_dict() for path in (whole, broken)]
    assert all(torch.equal(last[0][k], last[1][k]) for k in last[0])
