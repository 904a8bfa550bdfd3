"""Products in every mode against dense Hessians and Gauss-Newton matrices."""

import functools

import numpy as np
import pytest
import torch
from small_models import (
    MODELS,
    Attention,
    Clouds,
    Conservative,
    Convolution,
    Direct,
    Equivariant,
    Messages,
    case,
    dense_hessians,
)
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from twirlscope.curvature.lanczos import dense, lanczos
from twirlscope.curvature.objective import LOSSES, PARTS, Objective, rademacher
from twirlscope.curvature.operators import CURVATURES, GRAPHS, MODES, graph_bytes, operator
from twirlscope.errors import UserError
from twirlscope.runtime import precision

CLOSE = {"difference": 1e-8}  # of the largest entry; all other modes are exact to rounding
TRAINED = [(model, steps) for model in MODELS for steps in (0, 20)]


def eye(objective):
    return torch.eye(len(objective.parameters), dtype=torch.float64)


@functools.cache
def known(model, steps):
    """Objective and dense Hessians; those of convolutions row by row, since they have no batched second derivative."""
    objective, parts = case(model, kind="D2", chunk=2, steps=steps)
    return objective, dict(zip(PARTS, dense_hessians(*parts, model is not Convolution), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "steps"), TRAINED)
def test_operator__is_the_dense_hessian_of_each_part_at_every_checkpoint(model, steps):
    """On random vectors, each of which shows a wrong entry anywhere."""
    objective, exact = known(model, steps)
    vectors = rademacher(len(objective.parameters), 8, 0)
    for part, matrix in exact.items():
        assert matrix.abs().max() > 1e-3
        expected = matrix @ vectors
        found = operator(objective, part)(vectors)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * expected.abs().max())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", MODELS)
def test_every_mode__multiplies_with_the_dense_hessian_of_each_part(model, mode):
    if (model, mode) == (Conservative, "vmap"):
        pytest.skip("torch.func refuses an autograd.grad inside of the model")
    objective, exact = known(model, 20)
    vectors = rademacher(len(objective.parameters), 3, 0)
    for part, matrix in exact.items():
        expected = matrix @ vectors
        found = operator(objective, part, mode=mode)(vectors)
        np.testing.assert_allclose(found, expected, atol=CLOSE.get(mode, 1e-13) * expected.abs().max())


@pytest.mark.parametrize("model", MODELS)
def test_dense_hessian__is_the_difference_of_gradients(model):
    objective, exact = known(model, 20)
    vector = rademacher(len(objective.parameters), 1, 0)[:, 0]
    at, step = objective.parameters.detach(), 1e-5
    difference = (objective.gradients(at + step * vector) - objective.gradients(at - step * vector)) / (2 * step)
    for found, matrix in zip(difference, exact.values(), strict=True):
        np.testing.assert_allclose(found, matrix @ vector, atol=1e-6 * (matrix @ vector).abs().max())


@functools.cache
def gauss_newton(model):
    """Gauss-Newton matrices of both parts, from Jacobians of the predictions row by row."""
    objective, _ = known(model, 0)
    found = dict.fromkeys(("mean", "equiv"), 0.0)
    with precision.differentiable():
        for chunk in objective.chunks:
            z = objective.twisted(objective.parameters, chunk)
            rows = [torch.autograd.grad(each, objective.parameters, retain_graph=True)[0] for each in z]
            jacobian = torch.stack(rows)
            for part in found:
                loss = lambda z, c=chunk, p=part: objective._parts(z, c)[p]  # noqa: E731
                inner = torch.autograd.functional.hessian(loss, z.detach())
                found[part] = found[part] + chunk.share * jacobian.T @ inner @ jacobian
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", MODELS)
def test_gauss_newton__is_the_jacobian_on_both_sides_of_the_curvature_of_the_loss(model, mode):
    if (model, mode) == (Conservative, "vmap"):
        pytest.skip("torch.func refuses an autograd.grad inside of the model")
    objective, _ = known(model, 0)
    vectors = rademacher(len(objective.parameters), 2, 0)
    for part, matrix in gauss_newton(model).items():
        expected = matrix @ vectors
        found = operator(objective, part, "gauss_newton", mode)(vectors)
        np.testing.assert_allclose(found, expected, atol=CLOSE.get(mode, 1e-13) * expected.abs().max())


@pytest.mark.parametrize("kind", ["T", "independent"])
def test_gauss_newton__is_positive_but_for_the_mean_that_is_corrected_for_its_bias(kind):
    objective, _ = case(kind=kind)
    lowest, largest = {}, {}
    for part in LOSSES:
        values = torch.linalg.eigvalsh(operator(objective, part, "gauss_newton")(eye(objective)))
        lowest[part], largest[part] = values[0], values[-1]
    positive = {p: lowest[p] > -1e-13 * largest[p] for p in LOSSES}
    assert positive == {"mean": kind == "T", "equiv": True, "total": True, "mean_plugin": True}
    assert min(largest.values()) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("curved", CURVATURES)
def test_parts__add_up_to_the_total_in_every_mode(curved, mode):
    objective, _ = case(Messages, kind="independent", chunk=2)
    vectors = rademacher(len(objective.parameters), 3, 0)
    mean, equiv, total, plugin = (operator(objective, p, curved, mode)(vectors) for p in LOSSES)
    assert (mean + equiv - total).norm() < 1e-10 * total.norm()
    count = objective.chunks[0].rotation.shape[0] // len(objective.chunks[0])
    assert (mean + equiv / count - plugin).norm() < 1e-10 * total.norm()
    assert equiv.norm() > 1e-3 * total.norm()
    assert (mean - plugin).norm() > 1e-3 * total.norm()


@pytest.mark.parametrize("kind", ["T", "independent"])
@pytest.mark.parametrize("curved", CURVATURES)
def test_operator__does_not_depend_on_chunks_or_kept_graphs(kind, curved):
    whole, _ = case(kind=kind)
    vectors = rademacher(len(whole.parameters), 2, 0)
    expected = operator(whole, "equiv", curved)(vectors)
    for chunk, keep in ((8, 0.0), (1, 1e9), (2, 1e9), (2, 0.0)):  # 2: the last chunk is ragged
        products = operator(case(kind=kind, chunk=chunk)[0], "equiv", curved, "cached", keep)
        for _ in range(2):
            np.testing.assert_allclose(products(vectors), expected, atol=1e-13 * expected.abs().max())
        assert products.products == 4


def bytes_of_a_graph(objective, part="mean"):
    return graph_bytes(lambda: GRAPHS["hessian"](objective, part, objective.chunks[0]), objective.parameters)


def test_operator__keeps_as_many_graphs_as_fit():
    objective, _ = case(chunk=1)
    products = operator(objective, "mean", keep_bytes=2.5 * bytes_of_a_graph(objective))
    products(rademacher(products.size, 1, 0))
    assert products.mode == "cached"
    assert [kept is not None for kept in products._kept_graphs] == [True, True, False]


def test_vmap__takes_no_more_columns_at_once_than_fit():
    objective, _ = case(chunk=1)
    vectors, taken = rademacher(len(objective.parameters), 5, 0), []
    for keep in (1.0, 1e9):
        products = operator(objective, "mean", mode="vmap", keep_bytes=keep)
        np.testing.assert_allclose(products(vectors), operator(objective, "mean")(vectors), atol=1e-12)
        taken.append(products._columns)
    assert taken[0] == 1 < 5 <= taken[1]


def test_auto__chooses_cached_where_a_graph_fits_and_rebuilt_where_none_does():
    objective, _ = case(chunk=1)
    each = bytes_of_a_graph(objective)
    assert [operator(objective, "mean", keep_bytes=k * each).mode for k in (0.5, 1.5)] == ["rebuilt", "cached"]


class Fused(Direct):
    """Attention with a kernel that has first derivatives only."""

    def forward(self, inputs):
        found = super().forward(inputs)
        x, kernel = found["forces"][:, None], SDPBackend.MATH if self.training else SDPBackend.FLASH_ATTENTION
        with sdpa_kernel(kernel):
            return found | {"forces": nn.functional.scaled_dot_product_attention(x, x, x)[:, 0]}


def test_auto__falls_back_on_differences_in_float64_where_a_model_has_first_derivatives_only():
    objective, _ = case(Fused, kind="D2", dtype=torch.float32)
    with pytest.warns(UserWarning, match="no products in mode 'rebuilt'.*not implemented"):
        products = operator(objective, "mean")
    assert products.mode == "difference"
    objective.model.train()  # the same function, differentiable
    vectors = rademacher(products.size, 2, 0)
    expected = operator(objective, "mean", mode="cached")(vectors)
    np.testing.assert_allclose(products(vectors), expected, atol=1e-5 * expected.abs().max())


def test_auto__takes_a_model_with_an_inner_gradient_in_reverse_and_the_dual_mode_agrees():
    objective, _ = case(Conservative)
    vectors = rademacher(len(objective.parameters), 2, 0)
    products = operator(objective, "total")
    assert products.mode == "cached"
    other = operator(objective, "total", mode="dual")(vectors)
    np.testing.assert_allclose(products(vectors), other, atol=1e-12 * other.abs().max())


def test_operator__leaves_unused_parameters_in_the_null_space():
    objective, (model, *_) = case()
    start = [n for n, _ in model.named_parameters()].index("unused")
    first = sum(p.numel() for p in list(model.parameters())[:start])
    vectors = torch.cat([eye(objective)[:, first : first + 2], rademacher(len(objective.parameters), 2, 0)], 1)
    for mode in MODES:
        products = operator(objective, "mean", mode=mode)(vectors)
        assert (products[first : first + 2] == 0).all()
        assert (products[:, :2] == 0).all()
        assert (products[:, 2:] != 0).any()


@pytest.mark.parametrize("mode", MODES)
def test_operator__of_some_frozen_parameters_is_the_block_of_the_others(mode):
    objective, exact = known(Convolution, 0)
    _, (model, *samples) = case(Convolution, kind="D2")
    model.body[0].weight.requires_grad_(False)
    frozen = model.body[0].weight.numel()  # the first of the parameters
    part = Objective(model, Clouds(), *samples)
    assert len(part.parameters) == len(objective.parameters) - frozen
    expected = exact["equiv"][frozen:, frozen:]
    found = operator(part, "equiv", mode=mode)(eye(part))
    np.testing.assert_allclose(found, expected, atol=CLOSE.get(mode, 1e-13) * expected.abs().max())


def test_operator__uses_buffers_and_leaves_them_unchanged():
    objective, (model, *samples) = case(Messages, kind="D2")
    vectors = rademacher(len(objective.parameters), 1, 0)
    before, lab = operator(objective, "equiv")(vectors), model.lab.clone()
    assert torch.equal(model.lab, lab)
    model.lab *= 2
    after = operator(Objective(model, Clouds(), *samples), "equiv")(vectors)
    assert (after - before).norm() > 0.01 * before.norm()


def test_operator__neither_changes_the_model_nor_follows_its_changes():
    objective, (model, *_) = case(Attention)
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


def test_products__are_those_of_a_model_of_three_thousand_parameters():
    objective, _ = case(functools.partial(Attention, width=22), kind="D2")
    assert 2000 < len(objective.parameters) <= 3000
    vectors = rademacher(len(objective.parameters), 2, 0)
    expected = operator(objective, "total", mode="difference")(vectors)
    found = operator(objective, "total")(vectors)
    np.testing.assert_allclose(found, expected, atol=1e-8 * expected.abs().max())


def test_lanczos__finds_the_dense_spectrum_of_both_parts():
    objective, _ = case()
    size = len(objective.parameters)
    for part in PARTS:
        exact = dense(operator(objective, part), size)
        found = lanczos(operator(objective, part), rademacher(size, 2, 0), 15)
        scale = np.abs(exact.value).max()
        np.testing.assert_allclose(found.top(3)[0], exact.top(3)[0], atol=1e-10 * scale)
        assert (np.abs(found.top(8)[0] - exact.top(8)[0]) <= found.top(8)[1] + 1e-12 * scale).all()


@pytest.mark.parametrize(("key", "known_name"), [("part", "mean"), ("curvature", "hessian"), ("mode", "cached")])
def test_operator__refuses_unknown_names(key, known_name):
    objective, _ = case()
    with pytest.raises(UserError, match=f"operator, {key}.*did you mean '{known_name}'"):
        operator(objective, **{"part": "total"} | {key: f"{known_name}s"})
