"""Requirements on every model: it runs on a small batch, ignores padding, and has a right Hessian.

Checks the models of the package, or that of a user: TWIRLSCOPE_MODEL=my_model.py:MyModel.
"""

from __future__ import annotations

import os
from typing import get_args

import numpy as np
import pytest
import torch
import toys

from twirlscope import Batch, Evaluation, inner_products, losses, plugins, split
from twirlscope.geometry import rotation_sets
from twirlscope.runtime.precision import duplicate
from twirlscope.twirling import activation_degrees
from twirlscope.twirling.checks.before_training import check_before_training

SMALL = {"width": 8, "layers": 2, "heads": 2, "levels": 2}  # settings of many models; each gets those it has
SMALLER = {"steerable_unet": {"width": 2}}
TENSORS = {"l_max": 2}  # for a stress
OWN = os.environ.get("TWIRLSCOPE_MODEL")
MODELS = [OWN] if OWN else plugins.known("model")
# a coarser grid than by default, which a model of a user might not fit
TASKS = {} if OWN else {"voxel_denoising": {"size": 8, "resolution": 1.0}}


def cases_of(name: str) -> list[tuple[str, dict, str]]:
    """The model, each choice of its setting `forces`, if it has one, and the kind of data.

    The kind `crystals` stands for periodic frames with a stress, for models that support them.
    """
    cls = plugins.find("model", name)
    field, kind = cls.Settings.model_fields.get("forces"), plugins.find("task", cls.task).dataset_kind
    choices = [{"forces": choice} for choice in get_args(field.annotation)] if field else [{}]
    kinds = [kind, "crystals"] if {"cell", "stress"} <= cls.optional else [kind]
    return [(name, choice, kind) for kind in kinds for choice in choices]


CASES = [case for name in MODELS for case in cases_of(name)]
# toy data by `Task.dataset_kind`
DATA = {"frames": toys.frames, "molecules": toys.molecules, "backbones": toys.backbones, "crystals": toys.crystals}


def build(name: str, chosen: dict, kind: str):
    """A small instance of a model, in float64 and evaluation mode, its task, and a batch of four samples."""
    cls = plugins.find("model", name)
    stress = {"stress_weight": 1.0} if kind == "crystals" else {}
    task = plugins.make_task({"name": cls.task, **stress, **TASKS.get(cls.task, {})}, DATA[kind]())
    chosen_sizes = SMALL | SMALLER.get(name, {}) | (TENSORS if stress else {})
    sizes = {k: v for k, v in chosen_sizes.items() if k in cls.Settings.model_fields}
    torch.manual_seed(0)
    model = plugins.make_model({"name": name, **sizes, **chosen}, task.constants).double().eval()
    return model, task, task.batch(np.arange(4)).to("cpu", torch.float64)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join([case[0], *case[1].values(), case[2]]))
def case(request):
    torch.set_num_threads(1)
    return build(*request.param)


def loss(model, task, batch: Batch) -> torch.Tensor:
    """Weighted loss, a mean over samples."""
    out = model(batch.inputs)
    each = [t.weight * losses.mse(out[t.name], batch.targets[t.name], batch.weights[t.name]) for t in task.terms]
    return sum(each).mean()


def real(batch: Batch, term: str, prediction: torch.Tensor) -> torch.Tensor:
    """Predicted vectors with a weight, so without padding."""
    return prediction[batch.weights[term] > 0]


def test_model__predicts_every_term_in_the_shape_of_its_target(case):
    model, task, batch = case
    out = model(batch.inputs)
    assert set(out) == {t.name for t in task.terms}
    for name, prediction in out.items():
        assert prediction.shape == batch.targets[name].shape
        assert prediction.dtype == torch.float64
        assert prediction.isfinite().all()


def test_model__gives_the_same_numbers_twice_and_leaves_its_input_alone(case):
    model, _, batch = case
    before = batch.map(torch.clone)
    first, second = model(batch.inputs), model(batch.inputs)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert all(torch.equal(before.inputs[k], batch.inputs[k]) for k in batch.inputs)


def test_model__runs_in_float32_close_to_float64(case):
    model, task, batch = case
    exact = model(batch.inputs)
    single = model.float()(batch.to("cpu", torch.float32).inputs)
    model.double()
    for term in task.terms:
        assert single[term.name].dtype == torch.float32
        assert torch.allclose(single[term.name].double(), exact[term.name], atol=1e-4, rtol=1e-3)


def test_model__does_not_see_padding(case):
    model, task, batch = case
    if len({n.item() for n in (batch.weights[task.terms[0].name] > 0).reshape(len(batch), -1).sum(1)}) == 1:
        pytest.skip("samples of one size")
    size = batch.weights[task.terms[0].name].shape[1]
    wide = {
        k: torch.cat([v, torch.zeros_like(v[:, :3])], 1) if v.ndim > 1 and v.shape[1] == size else v
        for k, v in batch.inputs.items()
    }
    out, padded = model(batch.inputs), model(wide)
    alone = model(task.batch(np.array([0])).to("cpu", torch.float64).inputs)  # no padding
    for term in task.terms:
        a, b = out[term.name], padded[term.name]
        b = b[:, : a.shape[1]]
        assert torch.allclose(real(batch, term.name, a), real(batch, term.name, b), atol=1e-12)
        first = out[term.name][:1]
        first = first[:, : alone[term.name].shape[1]]
        assert torch.allclose(first, alone[term.name], atol=1e-12)


def test_model__passes_the_checks_before_a_training(case):
    model, task, batch = case
    check_before_training(duplicate(model).float(), task, np.arange(min(4, len(batch))), "cpu", 1)


def test_model__treats_samples_one_by_one(case):
    model, _, batch = case
    turned = model({k: v.flip(0) for k, v in batch.inputs.items()})
    for name, prediction in model(batch.inputs).items():
        assert torch.allclose(turned[name].flip(0), prediction, atol=1e-12)


def test_model__follows_a_permutation_of_the_atoms(case):
    model, _, batch = case
    if model.task != "force_field":
        pytest.skip("samples without atoms")
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = model(batch.inputs | {k: batch.inputs[k][:, order] for k in ("numbers", "positions")})
    out = model(batch.inputs)
    assert torch.allclose(shuffled["forces"], out["forces"][:, order], atol=1e-12)
    assert torch.allclose(shuffled["energy"], out["energy"], atol=1e-12)


def test_model__has_a_gradient_for_every_parameter(case):
    model, task, batch = case
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss(model, task, batch), parameters, allow_unused=True)
    dead = [n for n, g in zip(names, gradients, strict=True) if g is None or not g.any() or not g.isfinite().all()]
    assert not dead


def test_model__has_a_hessian_that_agrees_with_central_differences(case):
    model, task, batch = case
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(1)
    gradient = torch.autograd.grad(loss(model, task, batch), parameters, create_graph=True)
    vectors = [[torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters] for _ in range(3)]
    # a wrong second derivative can be right on the first call; one that is right on all has the sum of its products
    products = [
        torch.autograd.grad(gradient, parameters, v, retain_graph=True, materialize_grads=True) for v in vectors
    ]
    product, vector = ([sum(each) for each in zip(*rows, strict=True)] for rows in (products, vectors))
    reference = differences(model, task, batch, parameters, vector)
    error = sum((a - b).square().sum() for a, b in zip(product, reference, strict=True)).sqrt()
    assert error / sum(b.square().sum() for b in reference).sqrt() < 1e-6


def differences(model, task, batch, parameters, v, step=1e-5) -> list[torch.Tensor]:
    """Hessian-vector product by central differences of the gradient, of fourth order."""
    start = [p.detach().clone() for p in parameters]

    def move(shift):
        with torch.no_grad():
            for p, s, d in zip(parameters, start, v, strict=True):
                p.copy_(s + shift * d)

    def gradient_at(shift):
        move(shift)
        return torch.autograd.grad(loss(model, task, batch), parameters)

    near, far = (
        [(a - b) / (2 * h) for a, b in zip(gradient_at(h), gradient_at(-h), strict=True)] for h in (step, 2 * step)
    )
    move(0.0)
    return [(4 * a - b) / 3 for a, b in zip(near, far, strict=True)]


def test_model__survives_a_round_trip_of_its_state(case, request):
    model, _, batch = case
    other = build(*request.node.callspec.params["case"])[0]
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
    other.load_state_dict(model.state_dict())
    out, again = model(batch.inputs), other(batch.inputs)
    assert all(torch.equal(out[k], again[k]) for k in out)


def test_model__is_equivariant_exactly_where_it_claims_to_be(case):
    """With perturbed weights, as a model may be nearly equivariant at initialisation by chance."""
    model, task = duplicate(case[0]), case[1]
    index, generator = np.arange(4), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    turns = rotation_sets.uniform(task.group, 4, 4, generator=torch.Generator().manual_seed(1))
    found = inner_products(Evaluation(model, task, dtype=torch.float64), index, turns)
    share = split(found["gram"], found["cross"], found["square"]).equiv.mean(-1)
    share = share / np.einsum("tsrr->t", found["gram"]) * 16  # of the mean square of the prediction
    assert ((share < 1e-10).all(), (share > 1e-7).any()) == (model.equivariant, not model.equivariant), share


def test_model__names_activations_of_the_irreps_that_they_have(case):
    model, _, batch = case
    for path, irreps in model.activations.items():
        shapes = []
        with activation_degrees.output_hooks(model, {path: lambda out, seen=shapes: seen.append(out.shape)}):
            model(batch.inputs)
        assert shapes
        assert all(
            shape[1 if len(shape) == 5 else -1] == len(activation_degrees.degrees_of(irreps)) for shape in shapes
        )


def test_model__names_the_wrong_key_of_its_settings():
    for name in MODELS:
        _, errors = plugins.settings_of("model", {"name": name, "widht": 8}, "model")
        assert "widht" in str(errors[0])
