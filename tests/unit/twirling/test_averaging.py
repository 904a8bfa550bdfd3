"""Test-time twirling against closed forms: invariant parts of polynomials, known spectra, the loss split."""

import doctest

import numpy as np
import pytest
import torch
from e3nn.o3 import Irreps

import twirlscope
from twirlscope.contracts import Batch, Evaluation
from twirlscope.errors import UserError
from twirlscope.estimators import loss_split
from twirlscope.geometry import action, so3
from twirlscope.geometry.rotation_sets import randomised, rotation_set, smallest
from twirlscope.twirling import averaging, twisting
from twirlscope.twirling.averaging import twirled

IRREPS_IN = {"r": "1o", "s": "1o"}


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def vectors(samples=7, atoms=3):
    return {"r": normal(samples, atoms, 3, seed=1), "s": normal(samples, atoms, 3, seed=2)}


A, B = normal(3, 3, seed=3), normal(3, 3, 3, seed=4)
LEVI = torch.linalg.cross(torch.eye(3).double()[:, None], torch.eye(3).double()[None], dim=-1).permute(2, 0, 1)


def quadratic(inputs):
    """Forces and energy of degree 2 in the rotation; the twisted forces are of degree 3."""
    r, s = inputs["r"], inputs["s"]
    force = r @ A.T + torch.einsum("ijk,naj,nak->nai", B, r, s)
    return {"force": force, "energy": torch.einsum("nai,ij,naj->n", r, A, s)[:, None]}


def invariant(inputs, inversion):
    """Mean of `quadratic` over SO(3): the isotropic parts of both tensors; inversion leaves only the first."""
    r, s = inputs["r"], inputs["s"]
    polar, axial = A.trace() / 3 * r, (B * LEVI).sum() / 6 * torch.linalg.cross(r, s)
    energy = A.trace() / 3 * (r * s).sum((1, 2))[:, None]
    return {"force": polar if inversion else polar + axial, "energy": energy}


IRREPS_OUT = {"force": "1o", "energy": "0e"}


@pytest.mark.parametrize("generator", [None, torch.Generator().manual_seed(0)], ids=["fixed", "random"])
@pytest.mark.parametrize("inversion", [False, True])
@pytest.mark.parametrize("rotations", ["O", smallest(3), "I", "lebedev5"], ids=["O", "smallest", "I", "lebedev5"])
def test_twirled__of_a_polynomial_is_its_invariant_part(rotations, inversion, generator):
    inputs = vectors()
    found = twirled(quadratic, rotations, IRREPS_IN, IRREPS_OUT, inversion=inversion, generator=generator)(inputs)
    for name, exact in invariant(inputs, inversion).items():
        torch.testing.assert_close(found[name], exact, rtol=0, atol=1e-12)


def test_twirled__over_too_small_a_set_is_not_the_invariant_part():
    inputs = vectors()
    found = twirled(quadratic, "T", IRREPS_IN, IRREPS_OUT)(inputs)
    exact = invariant(inputs, inversion=False)
    torch.testing.assert_close(found["energy"], exact["energy"], rtol=0, atol=1e-12)  # of degree 2, as T is
    assert (found["force"] - exact["force"]).abs().max() > 0.01


def test_twirled__is_equivariant_under_rotations_and_inversion():
    inputs = vectors()
    better = twirled(quadratic, "O", IRREPS_IN, IRREPS_OUT, inversion=True)
    for parity in (1, -1):
        g = so3.matrix(so3.haar(7, generator=torch.Generator().manual_seed(5)), parity)
        turned = better({k: action.rotate("1o", g, v) for k, v in inputs.items()})
        torch.testing.assert_close(turned["force"], action.rotate("1o", g, better(inputs)["force"]), rtol=0, atol=1e-12)
        torch.testing.assert_close(turned["energy"], better(inputs)["energy"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 5, 7, 20, 1000])
def test_twirled__takes_at_most_a_chunk_at_a_time_and_does_not_depend_on_it(chunk):
    sizes = []

    def watched(inputs):
        sizes.append(len(inputs["r"]))
        return quadratic(inputs)

    def run(predict, **options):
        generator = torch.Generator().manual_seed(0)
        return twirled(predict, "T", IRREPS_IN, IRREPS_OUT, generator=generator, inversion=True, **options)(vectors())

    found, expected = run(watched, chunk=chunk), run(quadratic)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert max(sizes) <= chunk
    assert sum(sizes) == 7 * 2 * 12


def test_twirled__keeps_dtype_shape_and_gradient_of_the_prediction():
    inputs = {k: v.float().requires_grad_() for k, v in vectors().items()}
    found = twirled(lambda i: {"force": i["r"] @ A.T.float()}, "O", {"r": "1o"}, {"force": "1o"})(inputs)["force"]
    assert found.dtype == torch.float32
    assert found.shape == (7, 3, 3)
    (gradient,) = torch.autograd.grad(found.square().sum() / 2, inputs["r"])
    torch.testing.assert_close(gradient, (A.trace().float() / 3) ** 2 * inputs["r"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["D2", "T", "O"])
def test_twirled__of_a_known_spectrum_leaves_the_share_alpha_of_each_degree(name):
    """f(x) = SUM_l a_l . Y_l(x) has q_l = |a_l|^2 / (2l+1) and T = a_0; the residual is SUM_l q_l alpha_l."""
    from e3nn.o3 import spherical_harmonics

    samples, highest = 4000, 6
    a = [normal(2 * degree + 1, seed=degree) for degree in range(highest + 1)]
    x = torch.nn.functional.normalize(normal(samples, 3, seed=9), dim=-1)

    def harmonics(inputs):
        y = [spherical_harmonics(degree, inputs["x"], True, normalization="norm") for degree in range(highest + 1)]
        return {"value": sum(y_l @ a_l for y_l, a_l in zip(y, a, strict=True))[:, None]}

    generator = torch.Generator().manual_seed(1)
    better = twirled(harmonics, name, {"x": "1o"}, {"value": "0e"}, generator=generator, chunk=50_000)
    left = (better({"x": x})["value"][:, 0] - a[0]).square().numpy()
    q = np.array([(v.square().sum() / len(v)).item() for v in a])
    predicted = q[1:] @ rotation_set(name).alpha(highest)[1:]
    error = left.std() / samples**0.5
    assert error < 0.05 * predicted
    assert abs(left.mean() - predicted) < 4 * error


def test_twirled__has_the_loss_that_the_split_calls_mean():
    """If the set is exact for the prediction, the loss of the twirled prediction is the mean part of the loss."""
    inputs = vectors()
    target = {"force": normal(7, 3, 3, seed=6), "energy": normal(7, 1, seed=7)}
    weights = {k: torch.full(v.shape[:-1], 1 / v[0, ..., 0].numel(), dtype=v.dtype) for k, v in target.items()}
    task = twisting.FixedBatchTask(Batch(inputs, target, weights), IRREPS_IN, IRREPS_OUT)
    quaternion = randomised(rotation_set("O7"), 7, 2, torch.Generator().manual_seed(0))
    products = twisting.inner_products(
        Evaluation(quadratic, task, dtype=torch.float64), np.arange(7), quaternion.flatten(1, 2)
    )
    gram = products["gram"].reshape(2, 7, 2, 168, 2, 168)
    cross = products["cross"].reshape(2, 7, 2, 168)
    split = loss_split.split_design(gram, cross, products["square"], rotation_set("O7").weight.numpy())
    found = twirled(quadratic, smallest(3), IRREPS_IN, IRREPS_OUT)(inputs)
    for term, mean, equiv in zip(task.terms, split.mean, split.equiv, strict=True):
        loss = (found[term.name] - target[term.name]).square().flatten(1).mean(1)
        np.testing.assert_allclose(mean, loss, rtol=1e-10)
        assert (equiv > 0.01).all()


def test_twirled__refuses_names_and_irreps_that_do_not_fit():
    inputs = vectors()
    with pytest.raises(UserError, match="averaging, irreps_in: expected the name of an input, got 't'"):
        twirled(quadratic, "O", {"t": "1o"}, IRREPS_OUT)(inputs)
    with pytest.raises(UserError, match="predictions whose irreps are given, got 'energy'"):
        twirled(quadratic, "O", IRREPS_IN, {"force": "1o"})(inputs)
    with pytest.raises(UserError, match="did you mean 'force'"):
        twirled(quadratic, "O", IRREPS_IN, {"forces": "1o", "energy": "0e"})(inputs)
    with pytest.raises(UserError, match="3 components on the last axis"):
        twirled(quadratic, "O", IRREPS_IN, {"force": "1o", "energy": "1o"})(inputs)
    with pytest.raises(UserError, match="rotation set"):
        twirled(quadratic, "Q", IRREPS_IN, IRREPS_OUT)


def test_twirled__has_an_example_that_runs():
    found = doctest.testmod(averaging)
    assert found.failed == 0
    assert found.attempted >= 4
    assert twirlscope.twirled is averaging.twirled


def test_twirled__averages_integer_predictions_in_floating_point():
    """In integers the weights of the set would be cut to 0."""
    points = torch.randn(5, 3, 3)
    better = twirlscope.twirled(
        lambda i: {"sign": (i["points"][:, :1, 0] > 0).long()}, "D2", {"points": "1o"}, {"sign": "0e"}
    )
    found = better({"points": points})["sign"]
    assert found.is_floating_point()
    np.testing.assert_allclose(found, 0.5)  # D2 maps x to -x in two of its four elements


def test_twirled__takes_e3nn_irreps():
    points, irreps = torch.randn(5, 3, 3), Irreps("1o")
    predict = lambda i: {"arrow": i["points"].tanh()}  # noqa: E731
    found = twirlscope.twirled(predict, "T", {"points": irreps}, {"arrow": irreps})({"points": points})
    expected = twirlscope.twirled(predict, "T", {"points": "1o"}, {"arrow": "1o"})({"points": points})
    assert torch.equal(found["arrow"], expected["arrow"])
