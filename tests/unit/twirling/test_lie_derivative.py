"""Lie-derivative error against closed forms, central differences and the spectrum of Gram matrices."""

import numpy as np
import pytest
import torch
import toys
from scipy.spatial.transform import Rotation

from twirlscope.contracts import Evaluation, Model, Term
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.models.vector_attention import VectorAttention
from twirlscope.twirling import lie_derivative, twisting

ICOSAHEDRAL = torch.from_numpy(Rotation.create_group("I").as_quat(scalar_first=True))  # 60, exact to degree 5
BIAS = (0.3, -0.1, 0.2)
SQUARE = sum(b * b for b in BIAS) / 3  # |bias|^2 per component


def haar(samples, rotations, seed=0):
    return so3.haar(samples, rotations, generator=torch.Generator().manual_seed(seed))


def product_set(degree):
    """Rotations and weights that integrate every Wigner matrix element up to this degree: Euler angles z, y, z."""
    turn = torch.arange(degree + 1, dtype=torch.float64) * (2 * torch.pi / (degree + 1))
    cosines, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    alpha, beta, gamma = (
        t.flatten() / 2 for t in torch.meshgrid(turn, torch.from_numpy(cosines).arccos(), turn, indexing="ij")
    )
    c, s, plus, minus = beta.cos(), beta.sin(), alpha + gamma, alpha - gamma
    quaternion = torch.stack([c * plus.cos(), -s * minus.sin(), s * minus.cos(), c * plus.sin()], -1)
    w = torch.from_numpy(weights).expand(degree + 1, -1)[..., None].expand(-1, -1, degree + 1).flatten()
    return so3.product(haar(1, 1)[0].expand_as(quaternion), quaternion), (w / w.sum()).numpy()


def spectrum(gram, quaternion, weights, degrees):
    """q_l by term from the Gram matrices of one sample over a weighted set of rotations."""
    half = (quaternion @ quaternion.mT).clamp(-1, 1).arccos().numpy()  # half the angle of g^-1 g'
    q, chi = [], np.ones_like(half)
    for l in range(degrees + 1):  # noqa: E741
        chi = chi + 2 * np.cos(2 * l * half) if l else chi
        q.append((2 * l + 1) * np.einsum("i,tij,j->t", weights, chi * gram, weights))
    return np.array(q)


class Quadratic(Model):
    """Energy of pure degree 2: the mean over atoms of r^T M r with M symmetric and traceless; no forces."""

    M = torch.tensor([[1.0, 0.3, -0.2], [0.3, -0.4, 0.5], [-0.2, 0.5, -0.6]], dtype=torch.float64)

    def forward(self, inputs):
        r = inputs["positions"]
        energy = torch.einsum("sai,ij,saj->s", r, self.M.to(r), r) / (inputs["numbers"] > 0).sum(1)
        return {"forces": torch.zeros_like(r), "energy": energy[:, None]}


class Conservative(Model):
    """Forces are minus the gradient of an energy that is not invariant; `cut` takes the gradient of a detached copy."""

    def __init__(self, activation=torch.tanh, cut=False):
        super().__init__()
        self.activation, self.cut = activation, cut

    def forward(self, inputs):
        with torch.enable_grad():
            r = inputs["positions"].detach() if self.cut else inputs["positions"]
            r = r.requires_grad_() if not r.requires_grad else r
            energy = self.activation(r @ torch.tensor([[1.0, 0.2], [0.5, -1.0], [-0.3, 0.4]]).to(r)).sum((1, 2))
            (gradient,) = torch.autograd.grad(energy.sum(), r, create_graph=self.activation is torch.tanh)
        return {"forces": -gradient.detach() if self.cut else -gradient, "energy": energy[:, None]}


def attention(seed=0):
    torch.manual_seed(seed)
    settings = VectorAttention.Settings(width=16, layers=2)
    return VectorAttention(settings, {"elements": [1, 6]}).double().eval()


@pytest.mark.parametrize(("dtype", "floor"), [(torch.float32, 1e-11), (torch.float64, 1e-28)])
def test_lie__is_zero_to_rounding_for_an_equivariant_model(dtype, floor):
    found = lie_derivative.lie_error(
        Evaluation(toys.Well(0.5).to(dtype), toys.force_field(), dtype=dtype), np.arange(20), haar(20, 3)
    )
    assert found.method == "forward"
    assert set(found.values) == {"forces", "energy", "weighted"}
    assert all(v.shape == (20,) and v.max() < floor for v in found.values.values())


@pytest.mark.parametrize("method", lie_derivative.METHODS)
def test_lie__of_a_lab_frame_bias_is_exact_at_every_orientation(method):
    """Degree 1: LEE = 1 (1 + 1) |v|^2 / 3, twice L_equiv, without any sampling error."""
    task, model = toys.force_field(), toys.Well(0.7, BIAS).double()
    found = lie_derivative.lie_error(
        Evaluation(model, task, dtype=torch.float64), np.arange(20), haar(20, 1), method=method
    )
    np.testing.assert_allclose(found.values["forces"], 2 * SQUARE, rtol=1e-7)
    np.testing.assert_allclose(found.values["weighted"], 2 * SQUARE, rtol=1e-7)  # the energy is invariant
    assert found.method == method


def test_lie__of_a_function_of_degree_two_is_six_times_its_power():
    """Over rotations, r^T M r of a traceless M has the variance 2/5 |M|^2 |S|^2 / 2, S the traceless moment of r."""
    task, index = toys.force_field(), np.arange(12)
    quaternion = ICOSAHEDRAL.expand(12, 60, 4)  # exact to degree 5; |L_a z|^2 is of degree 4
    found = lie_derivative.lie_error(Evaluation(Quadratic(), task, dtype=torch.float64), index, quaternion)
    r, atoms = task.batch(index).inputs["positions"].double(), (task.batch(index).inputs["numbers"] > 0).sum(1)
    S = torch.einsum("sai,saj->sij", r, r) / atoms[:, None, None]
    S = S - torch.eye(3) * torch.einsum("sii->s", S)[:, None, None] / 3
    power = Quadratic.M.square().sum() * S.square().sum((1, 2)) / 5
    np.testing.assert_allclose(found.values["energy"], 6 * power, rtol=1e-12)
    assert not found.values["forces"].any()


@pytest.mark.parametrize(("seed", "factor", "tolerance"), [(0, 0.5, 2e-3), (1, 0.5, 2e-3), (0, 0.2, 1e-6)])
def test_lie__agrees_with_the_spectrum_of_the_gram_matrices(seed, factor, tolerance):
    """Casimir: SUM_a |L_a z|^2 = SUM_l l (l + 1) q_l, from derivatives and, independently, from characters.

    The sum ends at degree 5. The remainder falls with the weights of the directions of the pairs.
    """
    task, model, degrees, (quaternion, weights) = toys.force_field(), attention(seed), 5, product_set(10)
    for name, parameter in model.named_parameters():
        parameter.data *= factor if "direction" in name else 1.0
    each = lie_derivative.lie_error(
        Evaluation(model, task, dtype=torch.float64), np.full(len(weights), seed), quaternion[:, None]
    ).values
    gram = twisting.inner_products(Evaluation(model, task, dtype=torch.float64), np.array([seed]), quaternion[None])[
        "gram"
    ][:, 0]
    q = spectrum(gram, quaternion, weights, degrees)
    casimir = np.array([l * (l + 1) for l in range(degrees + 1)])  # noqa: E741
    for t, term in enumerate(task.terms):
        lee, power = weights @ each[term.name], weights @ np.diagonal(gram[t])
        np.testing.assert_allclose(q[:, t].sum(), power, rtol=tolerance)  # Parseval
        np.testing.assert_allclose(casimir @ q[:, t], lee, rtol=tolerance)
        assert 0 < q[1:, t].sum() <= lee / 2


def test_lie__from_random_orientations_is_unbiased():
    task, model, (quaternion, weights) = toys.force_field(), attention(), product_set(8)
    index = np.full(len(weights), 3)
    sharp = (
        weights
        @ lie_derivative.lie_error(Evaluation(model, task, dtype=torch.float64), index, quaternion[:, None]).values[
            "forces"
        ]
    )
    rough = lie_derivative.lie_error(Evaluation(model, task, dtype=torch.float64), index[:400], haar(400, 1, 5)).values[
        "forces"
    ]
    assert abs(rough.mean() - sharp) < 4 * rough.std() / 400**0.5


@pytest.mark.parametrize("make", [attention, Conservative, lambda: toys.Well(0.7, BIAS).double()])
def test_forward_mode__agrees_with_central_differences(make):
    task, model, R = toys.force_field(), make(), so3.matrix(haar(6, 1)[:, 0])
    batch = task.batch(np.arange(6)).to("cpu", torch.float64)
    with torch.no_grad():
        pairs = list(
            zip(
                lie_derivative.forward_mode(model, task, batch, R),
                lie_derivative.central_differences(model, task, batch, R),
                strict=True,
            )
        )
    for exact, near in pairs:
        for k in exact:
            torch.testing.assert_close(exact[k], near[k], rtol=1e-6, atol=1e-8)


def test_lie__in_float32_is_near_that_in_float64():
    task, index, quaternion = toys.force_field(), np.arange(10), haar(10, 2)
    exact = lie_derivative.lie_error(Evaluation(attention(), task, dtype=torch.float64), index, quaternion)
    single = lie_derivative.lie_error(Evaluation(attention().float(), task), index, quaternion)
    assert exact.error < 1e-6
    for k, v in exact.values.items():
        np.testing.assert_allclose(single.values[k], v, rtol=1e-3)


def test_lie__does_not_depend_on_the_chunk():
    task, model, quaternion = toys.force_field(), attention(), haar(4, 2)
    results = [
        lie_derivative.lie_error(Evaluation(model, task, dtype=torch.float64, chunk=chunk), np.arange(4), quaternion)
        for chunk in (1, 3, 1000)
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other.values["forces"], results[0].values["forces"], rtol=1e-9)


def test_lie__of_the_weighted_sum_is_the_weighted_sum():
    task = toys.force_field()
    values = lie_derivative.lie_error(
        Evaluation(attention(), task, dtype=torch.float64), np.arange(5), haar(5, 2)
    ).values
    np.testing.assert_allclose(sum(t.weight * values[t.name] for t in task.terms), values["weighted"])


@pytest.mark.parametrize("irreps", ["1e", "2e", "0e+1o+2e"])
def test_lie__of_any_irreps_counts_their_degrees(irreps):
    """A constant in the lab of degree l has LEE = l (l + 1) |v_l|^2 / d at every orientation."""
    blocks = [int(part[0]) for part in irreps.split("+")]
    task, size = toys.force_field(), sum(2 * l + 1 for l in blocks)  # noqa: E741
    task.terms = (Term("tensor", irreps),)
    plain, value = task.batch, torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def batch(index):
        parts = plain(index)
        return type(parts)(parts.inputs, {"tensor": torch.zeros(len(index), size)}, {"tensor": torch.ones(len(index))})

    task.batch = batch
    lee = lie_derivative.lie_error(
        Evaluation(
            lambda x: {"tensor": value.to(x["positions"]).expand(len(x["positions"]), -1)}, task, dtype=torch.float64
        ),
        np.arange(6),
        haar(6, 2),
    )
    degree = torch.cat([torch.full((2 * l + 1,), float(l)) for l in blocks])  # noqa: E741
    expected = (degree * (degree + 1) * value**2).mean()
    np.testing.assert_allclose(lee.values["tensor"], expected, rtol=1e-7)


def test_lie__of_a_conservative_model_goes_forward_or_falls_back_to_differences():
    """The gradient of silu has no forward-mode derivative; that of tanh has one."""
    task, index, quaternion = toys.force_field(), np.arange(6), haar(6, 2)
    direct = lie_derivative.lie_error(Evaluation(Conservative(), task, dtype=torch.float64), index, quaternion)
    assert direct.method == "forward"
    check = lie_derivative.lie_error(
        Evaluation(Conservative(), task, dtype=torch.float64), index, quaternion, method="difference"
    )
    for k, v in direct.values.items():
        np.testing.assert_allclose(v, check.values[k], rtol=1e-7)
    fallback = lie_derivative.lie_error(Evaluation(Conservative(torch.nn.functional.silu), task), index, quaternion)
    assert (fallback.method, fallback.error) == ("difference", None)
    assert fallback.values["forces"].min() > 0.01


def test_lie__refuses_wrong_forward_derivatives():
    """A gradient of a detached copy silently loses its tangent."""
    task, index, quaternion = toys.force_field(), np.arange(6), haar(6, 2)
    with pytest.raises(UserError, match=r"Conservative.*in forces.*detach.*method=\"difference\""):
        lie_derivative.lie_error(Evaluation(Conservative(cut=True), task, dtype=torch.float64), index, quaternion)
    right = lie_derivative.lie_error(Evaluation(Conservative(), task, dtype=torch.float64), index, quaternion)
    mended = lie_derivative.lie_error(Evaluation(Conservative(cut=True), task), index, quaternion, method="difference")
    np.testing.assert_allclose(mended.values["forces"], right.values["forces"], rtol=1e-7)


class Rounded(toys.Well):
    def forward(self, inputs):
        return {k: v.float() for k, v in super().forward(inputs).items()}


@pytest.mark.parametrize(
    ("model", "method", "text"),
    [
        (toys.Well(), "forwards", "did you mean 'forward'"),
        (Rounded(), None, "computes in float64"),
        (lambda inputs: torch.nn.functional.linear(inputs["positions"], torch.eye(3)), None, "computes in float64"),
        (Conservative(torch.nn.functional.silu), "forward", "supports forward-mode"),
    ],
)
def test_lie__refuses_unknown_methods_and_models_that_do_not_support_them(model, method, text):
    with pytest.raises(UserError, match=text):
        lie_derivative.lie_error(Evaluation(model, toys.force_field()), np.arange(4), haar(4, 1), method=method)


def test_lie__leaves_no_graph_and_ignores_what_is_not_finite_on_padding():
    class Lengths(toys.Well):
        def forward(self, inputs):
            out = super().forward(inputs)
            length = inputs["positions"].square().sum(-1, keepdim=True).sqrt()  # derivative 0/0 on padding
            return out | {"forces": out["forces"] * length}

    model = Lengths(0.5).double()
    found = lie_derivative.lie_error(
        Evaluation(model, toys.force_field(), dtype=torch.float64), np.arange(10), haar(10, 1)
    )
    assert found.values["forces"].max() < 1e-25
    assert model.stiffness.grad is None
