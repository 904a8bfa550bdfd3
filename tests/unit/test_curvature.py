import copy
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from twirlscope import action, curvature, so3
from twirlscope.certificate import certify, suspects
from twirlscope.contracts import Batch, Task, Term
from twirlscope.curvature import Objective
from twirlscope.errors import UserError
from twirlscope.lanczos import dense, lanczos, rademacher
from twirlscope.operators import GRAPHS, graph_bytes, operator
from twirlscope.rotation_sets import rotation_set

SAMPLES = 3


class Clouds(Task):
    """Three points a sample, the last of the first sample padding; a vector a point and a scalar a sample."""

    turns: ClassVar = {"positions": "1o"}
    terms = (Term("forces", "1o", weight=2.0), Term("energy", "0e", loss="l2", weight=0.5))

    def __init__(self):
        pass

    def batch(self, index):
        generator = torch.Generator().manual_seed(0)
        forces = torch.randn(SAMPLES, 3, 3, generator=generator)
        weights = torch.full((SAMPLES, 3), 1 / 3)
        weights[0] = torch.tensor([0.5, 0.5, 0])
        forces[0, 2] = 0
        whole = Batch(
            {"positions": torch.randn(SAMPLES, 3, 3, generator=generator)},
            {"forces": forces, "energy": torch.randn(SAMPLES, 1, generator=generator)},
            {"forces": weights, "energy": torch.ones(SAMPLES)},
        )
        return whole.map(lambda t: t[index])


class Norm(nn.Module):
    """A layer norm by hand: its derivatives of all orders are right."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return self.weight * x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


class Direct(nn.Module):
    """A vector a point and a scalar, from a dense network; one parameter is never used."""

    def __init__(self, norm=Norm):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 6), norm(6), nn.SiLU(), nn.Linear(6, 4))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, inputs):
        out = self.body(inputs["positions"])
        return {"forces": out[..., :3], "energy": out[..., 3].mean(1, keepdim=True)}


class Conservative(Direct):
    """Forces are minus the gradient of the energy: the Hessian of their loss is a third derivative."""

    def forward(self, inputs):
        positions = inputs["positions"].detach().requires_grad_()
        energy = self.body(positions)[..., 3].mean(1, keepdim=True)
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return {"forces": -gradient, "energy": energy}


class Equivariant(nn.Module):
    """Positions times a function of their length, exactly equivariant for every value of the parameters."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, inputs):
        out = self.body(inputs["positions"].square().sum(-1, keepdim=True))
        return {"forces": out[..., :1] * inputs["positions"], "energy": out[..., 1].mean(1, keepdim=True)}


def case(model=Direct, kind="T", dtype=torch.float64, chunk=8, **keys):
    torch.manual_seed(1)
    model = model(**keys).to(dtype)
    quaternion = curvature.rotations(kind, SAMPLES, 5, 0)
    batch = Clouds().batch(np.arange(SAMPLES))
    return Objective(model, Clouds(), batch, quaternion, chunk, kind == "independent"), (model, batch, quaternion)


def plain_losses(model, batch, quaternion):
    """The two plug-in parts by loops over samples, rotations and terms: a second road."""
    mean = equiv = 0.0
    task, batch = Clouds(), batch.to("cpu", torch.float64)
    for s in range(len(batch)):
        one = batch.map(lambda t, s=s: t[s : s + 1])
        z = []
        for q in quaternion[s]:
            rotation = so3.matrix(q)[None]
            response = model(task.rotate(one, rotation).inputs)
            z.append({t.name: action.twist(t.irreps, rotation, response[t.name]) for t in task.terms})
        for term in task.terms:
            stack = torch.stack([each[term.name] for each in z])
            weights = one.weights[term.name][..., None] * term.weight / stack.shape[-1] / len(batch)
            mean = mean + (weights * (stack.mean(0) - one.targets[term.name]) ** 2).sum()
            equiv = equiv + (weights * (stack - stack.mean(0)) ** 2).sum() / len(stack)
    return mean, equiv


@pytest.mark.parametrize("kind", ["D2", "T"])
def test_losses__are_the_plug_in_parts_of_the_squared_error(kind):
    objective, (model, batch, quaternion) = case(kind=kind)
    mean, equiv = plain_losses(model, batch, quaternion)
    values = objective.values()
    np.testing.assert_allclose([values["mean"], values["equiv"]], [mean.item(), equiv.item()], rtol=1e-12)
    assert values["total"] == pytest.approx((mean + equiv).item(), rel=1e-12)


def test_losses__of_independent_rotations_are_unbiased():
    mean, equiv = [], []
    torch.manual_seed(1)
    model, batch = Direct().double(), Clouds().batch(np.arange(SAMPLES))
    exact = Objective(model, Clouds(), batch, curvature.rotations("I", SAMPLES, 0, 5)).values()  # exact to degree 5
    for seed in range(200):
        quaternion = curvature.rotations("independent", SAMPLES, 3, seed)
        values = Objective(model, Clouds(), batch, quaternion, unbiased=True).values()
        mean.append(values["mean"]), equiv.append(values["equiv"])
    for draws, value in ((mean, exact["mean"]), (equiv, exact["equiv"])):
        assert abs(np.mean(draws) - value) < 3 * np.std(draws) / np.sqrt(200)


@pytest.mark.parametrize("model", [Direct, Conservative])
@pytest.mark.parametrize("part", [0, 1])
def test_operator__is_the_dense_hessian_of_each_part(model, part):
    objective, (module, batch, quaternion) = case(model, kind="D2")
    shapes = {n: p.shape for n, p in module.named_parameters()}
    sizes = [s.numel() for s in shapes.values()]

    def loss(theta):
        named = {n: t.view(s) for (n, s), t in zip(shapes.items(), theta.split(sizes), strict=True)}
        return plain_losses(lambda x: torch.func.functional_call(module, named, (x,)), batch, quaternion)[part]

    exact = torch.autograd.functional.hessian(loss, objective.parameters.detach())
    found = operator(objective, curvature.PARTS[part])(torch.eye(len(exact), dtype=torch.float64))
    np.testing.assert_allclose(found, exact, atol=1e-12 * exact.abs().max())


def test_operator__of_the_total_loss_is_the_sum_of_the_parts():
    objective, _ = case(Conservative)
    vectors = rademacher(len(objective.parameters), 3, 0)
    mean, equiv, total = (operator(objective, p)(vectors) for p in ("mean", "equiv", "total"))
    assert (mean + equiv - total).abs().max() < 1e-13 * total.abs().max()
    assert equiv.norm() > 1e-3 * total.norm()


@pytest.mark.parametrize("kind", ["T", "independent"])
def test_operator__does_not_depend_on_chunks_or_kept_graphs(kind):
    whole, _ = case(kind=kind)
    vectors = rademacher(len(whole.parameters), 2, 0)
    expected = operator(whole, "equiv")(vectors)
    for chunk, keep in ((8, 0.0), (1, 1e9), (2, 1e9), (2, 0.0)):  # 2: the last chunk is ragged
        products = operator(case(kind=kind, chunk=chunk)[0], "equiv", mode="cached", keep_bytes=keep)
        for _ in range(2):
            np.testing.assert_allclose(products(vectors), expected, atol=1e-13 * expected.abs().max())


def test_operator__keeps_as_many_graphs_as_fit():
    objective, _ = case(chunk=1)
    make = lambda: GRAPHS["hessian"](objective, "mean", objective.chunks[0])  # noqa: E731
    products = operator(objective, "mean", keep_bytes=2.5 * graph_bytes(make, objective.parameters))
    products(rademacher(products.size, 1, 0))
    assert [kept is not None for kept in products._kept] == [True, True, False]


def test_operator__leaves_unused_parameters_in_the_null_space():
    objective, (model, *_) = case()
    matrix = operator(objective, "mean")(torch.eye(len(objective.parameters), dtype=torch.float64))
    start = [n for n, _ in model.named_parameters()].index("unused")
    first = sum(p.numel() for p in list(model.parameters())[:start])
    assert (matrix[first : first + 2] == 0).all()
    assert (matrix[:, first : first + 2] == 0).all()


def test_operator__does_not_change_the_model_and_does_not_follow_it():
    objective, (model, *_) = case()
    model.train()
    products, vectors = operator(objective, "mean"), rademacher(len(objective.parameters), 1, 0)
    before = products(vectors)
    with torch.no_grad():
        model.body[0].weight.mul_(2)
    assert torch.equal(products(vectors), before)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_equiv_hessian__is_rounding_for_an_equivariant_model():
    objective, _ = case(Equivariant)
    vectors = rademacher(len(objective.parameters), 2, 0)
    equiv, total = (operator(objective, p)(vectors).norm() for p in ("equiv", "total"))
    assert equiv < 1e-14 * total
    assert total > 0.1
    assert objective.values()["equiv"] < 1e-28


def test_lanczos__finds_the_dense_spectrum_of_both_parts():
    objective, _ = case()
    size = len(objective.parameters)
    for part in curvature.PARTS:
        exact = dense(operator(objective, part), size)
        found = lanczos(operator(objective, part), rademacher(size, 2, 0), 15)
        scale = np.abs(exact.value).max()
        np.testing.assert_allclose(found.top(3)[0], exact.top(3)[0], atol=1e-10 * scale)
        assert (np.abs(found.top(8)[0] - exact.top(8)[0]) <= found.top(8)[1] + 1e-12 * scale).all()


@pytest.mark.parametrize("kind", ["D2", "T", "O"])
def test_rotations__of_a_group_hold_the_group_between_two_uniform_rotations(kind):
    quaternion = curvature.rotations(kind, 2, 0, 0)
    matrices = so3.matrix(quaternion)
    traces = lambda m: torch.einsum("gij,hij->gh", m, m).flatten().sort().values  # noqa: E731
    for each in matrices:
        torch.testing.assert_close(traces(each), traces(so3.matrix(rotation_set(kind).quaternion)))
    assert (matrices[0] - matrices[1]).abs().max() > 0.1
    assert matrices.mean(1).abs().max() < 1e-12  # exact to degree 1


@pytest.mark.parametrize("kind", ["lebedev5", "H"])
def test_rotations__refuse_a_set_with_weights_and_one_that_does_not_exist(kind):
    with pytest.raises(UserError, match=kind):
        curvature.rotations(kind, 2, 0, 0)


@pytest.mark.parametrize("model", [Direct, Conservative, Equivariant])
def test_certify__accepts_a_model_whose_derivatives_are_right(model):
    _, (module, batch, quaternion) = case(model, dtype=torch.float32)
    found = certify(module, Clouds(), batch, quaternion)
    assert max(found.error.values()) < 1e-6
    assert max(*found.symmetry.values(), found.split) < 1e-12
    assert max(found.precision.values()) < 1e-4
    assert next(module.parameters()).dtype == torch.float32


def test_certify__rejects_a_layer_norm_inside_a_force_that_is_a_gradient():
    _, (module, batch, quaternion) = case(Conservative, norm=nn.LayerNorm)
    with pytest.raises(UserError, match=r"body\.1 \(LayerNorm\)") as caught:
        certify(module, Clouds(), batch, quaternion)
    assert "hessian, model Conservative" in str(caught.value)


def test_certify__rejects_numbers_that_are_not_finite():
    _, (module, batch, quaternion) = case()
    with torch.no_grad():
        module.body[0].weight[0, 0] = torch.nan
    with pytest.raises(UserError, match="nan"):
        certify(module, Clouds(), batch, quaternion)


def test_suspects__names_scripted_modules():
    model = nn.ModuleDict({"inner": torch.jit.script(nn.Linear(2, 2)), "good": nn.SiLU()})
    assert [s.split()[0] for s in suspects(copy.copy(model))] == ["inner"]


def test_differentiable__restores_what_it_changed(monkeypatch):
    flags = SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", flags)
    with torch.no_grad(), curvature.differentiable():
        assert not flags.allow_tf32
        assert torch.is_grad_enabled()
    assert flags.allow_tf32
