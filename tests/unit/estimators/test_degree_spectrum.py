"""The spectrum of functions of known degree, by exact quadrature and by simulation; seeds are fixed.

With fixed seeds the limits of 3 standard errors always hold; with others a few of the many comparisons would fail.
"""

import functools

import design_spectrum
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from twirlscope.estimators import bootstrap, degree_spectrum, loss_split
from twirlscope.geometry import action, so3
from twirlscope.geometry.rotation_sets import rotation_set

DEGREES = (0.6, 0.3, 0.2, 0.1)  # q_0..q_3 of the polynomial
ONE = np.ones(1)


def haar(random, *shape):
    """Independent rotations."""
    quaternion = random.normal(size=(*shape, 4))
    return quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)


def product(a, b):
    """Quaternion product, b first, broadcast."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = (Rotation.from_quat(np.broadcast_to(q, shape).reshape(-1, 4), scalar_first=True) for q in (a, b))
    return (a * b).as_quat(scalar_first=True).reshape(shape)


def matrices(quaternion):
    return so3.matrix(torch.from_numpy(np.ascontiguousarray(quaternion)))


@functools.lru_cache
def exact(degree):
    """A weighted set that integrates every Wigner matrix up to this degree: Gauss-Legendre between equal angles."""
    nodes, weight = np.polynomial.legendre.leggauss(degree // 2 + 1)
    equal = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    angles = np.stack([m.ravel() for m in np.meshgrid(equal, np.arccos(nodes), equal, indexing="ij")], -1)
    weights = np.broadcast_to(weight[:, None] / 2 / (degree + 1) ** 2, (degree + 1, len(nodes), degree + 1)).ravel()
    return Rotation.from_euler("zyz", angles).as_quat(scalar_first=True), weights


@functools.lru_cache
def group(name):
    return Rotation.create_group(name).as_quat(scalar_first=True)


@functools.lru_cache
def coefficients():
    """For each degree a tensor of two output components, scaled to the wanted q_l: |C|^2 / (2l+1) / d."""
    random, found = np.random.default_rng(5), []
    for degree, q in enumerate(DEGREES):
        c = random.normal(size=(2, 2 * degree + 1, 2 * degree + 1))
        found.append(c * (q * 2 * (2 * degree + 1) / (c**2).sum()) ** 0.5)
    return found


def polynomial(quaternion):
    """z(g) with two components, a polynomial in the entries of the rotation matrix with the spectrum `DEGREES`."""
    rotation = matrices(quaternion)
    wigner = (action.representation(f"{degree}e", rotation).numpy() for degree in range(len(DEGREES)))
    return sum(np.einsum("...ij,cij->...c", D, c) for D, c in zip(wigner, coefficients(), strict=True))


def smooth(samples, seed=2):
    """A random tanh network of the nine entries of R for each sample; not a polynomial. Maps [sample, ..., 4]."""
    random = np.random.default_rng(seed)
    first, shift = random.normal(0, 0.8, (samples, 9, 16)), random.normal(0, 1, (samples, 1, 16))
    last = random.normal(0, 1, (samples, 16, 3))

    def function(quaternion):
        flat = matrices(quaternion).numpy().reshape(samples, -1, 9)
        return (np.tanh(flat @ first + shift) @ last).reshape(*quaternion.shape[:-1], 3)

    return function


def gram_of(z):
    """Products of all pairs, per component; z [..., rotation, component]."""
    return z @ np.swapaxes(z, -1, -2) / z.shape[-1]


def gram_of_design(z):
    """As `gram_of` for z [..., replicate, rotation, component]."""
    *batch, R, n, d = z.shape
    return gram_of(z.reshape(*batch, R * n, d)).reshape(*batch, R, n, R, n)


def near(values, truth, errors=3):
    """True if the mean over the first axis is the truth within that many standard errors."""
    return np.all(abs(values.mean(0) - truth) < errors * values.std(0) / len(values) ** 0.5 + 1e-12)


def alpha(quaternion, weight, highest):
    """Share of each degree that remains after twirling with the set."""
    chi = design_spectrum.relative_characters(quaternion[:, None], quaternion, highest)
    return np.einsum("ijl,i,j->l", chi, weight, weight) / (2 * np.arange(highest + 1) + 1)


def test_characters__are_the_ratio_of_sines_and_2l_plus_1_at_the_identity():
    a, b = haar(np.random.default_rng(0), 2, 50)
    angle = (Rotation.from_quat(a, scalar_first=True).inv() * Rotation.from_quat(b, scalar_first=True)).magnitude()
    degree = np.arange(41)
    expected = np.sin((2 * degree + 1) * angle[:, None] / 2) / np.sin(angle[:, None] / 2)
    np.testing.assert_allclose(design_spectrum.relative_characters(a, b, 40), expected, atol=1e-11)
    np.testing.assert_array_equal(
        design_spectrum.relative_characters(ONE * [1.0, 0, 0, 0], ONE * [1.0, 0, 0, 0], 40), 2 * degree + 1
    )
    np.testing.assert_allclose(
        design_spectrum.relative_characters(a, -a, 40), np.tile(2 * degree + 1, (50, 1)), rtol=1e-11
    )


def test_characters__are_traces_of_the_representation():
    a, b = haar(np.random.default_rng(1), 2, 5)
    relative = matrices(a).mT @ matrices(b)
    trace = [torch.einsum("bii->b", action.representation(f"{degree}e", relative)).numpy() for degree in range(5)]
    np.testing.assert_allclose(design_spectrum.relative_characters(a, b, 4), np.stack(trace, -1), atol=1e-11)


def exact_design(function, degree, seed=0, replicates=2):
    """Products and rotations of an exact set under independent offsets."""
    nodes, weight = exact(degree)
    quaternion = product(haar(np.random.default_rng(seed), replicates)[:, None], nodes)
    z = function(quaternion)
    return gram_of_design(z), quaternion, weight, z


@pytest.mark.parametrize("replicates", [2, 3])
def test_spectrum_design__of_an_exact_set_is_exact_and_adds_up_to_the_equivariance_error(replicates):
    gram, quaternion, weight, z = exact_design(polynomial, 6, replicates=replicates)
    q = design_spectrum.spectrum_design(gram, quaternion, 3, weight)
    np.testing.assert_allclose(q, DEGREES, atol=1e-12)
    found = loss_split.split_design(gram, z @ np.zeros(2), 0.0, weight)
    assert found.equiv == pytest.approx(q[1:].sum(), abs=1e-12)
    assert found.mean == pytest.approx(DEGREES[0], abs=1e-12)
    assert abs(degree_spectrum.remainder(q, found.equiv)) < 1e-12


def test_spectrum_design__of_a_lab_frame_bias_has_degree_1_only():
    """f(g x) = rho(g) T + v with a vector v fixed in the lab: z(g) = T + g^-1 v."""
    twirled, bias = np.array([3.0, -2.0, 1.0]), np.array([0.1, 0.05, -0.2])
    gram, quaternion, weight, _ = exact_design(lambda q: twirled + bias @ matrices(q).numpy(), 6)
    q = design_spectrum.spectrum_design(gram, quaternion, 3, weight)
    np.testing.assert_allclose(q, [twirled @ twirled / 3, bias @ bias / 3, 0, 0], atol=1e-12)
    assert design_spectrum.effective_degree(q) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("K", [2, 3, 4, 8])
def test_spectrum__and_split_are_unbiased(K):
    quaternion, target = haar(np.random.default_rng(K), 8000, K), np.array([0.5, -1.0])
    z = polynomial(quaternion)
    assert near(design_spectrum.spectrum(gram_of(z), quaternion, 4), [*DEGREES, 0])
    found = loss_split.split(gram_of(z), z @ target / 2, target @ target / 2)
    twirled = coefficients()[0][:, 0, 0]
    assert near(found.equiv, sum(DEGREES[1:]))
    assert near(found.mean, ((twirled - target) ** 2).mean())


def octahedral(random, draws, replicates=2):
    """Independent offsets of the 24 octahedral rotations."""
    return product(haar(random, draws, replicates)[:, :, None], group("O"))


def by_wigner(function, highest, degree):
    """The spectrum by another method: Wigner coefficients of the function by exact quadrature."""
    nodes, weight = exact(degree)
    z, rotation, found = function(nodes), matrices(nodes), []
    for order in range(highest + 1):
        wigner = action.representation(f"{order}e", rotation).numpy()
        coefficient = np.einsum("n,nc,nij->cij", weight, z, wigner, optimize=True)
        found.append((2 * order + 1) * (coefficient**2).sum() / z.shape[-1])
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [2, 3])
def test_spectrum_design__and_split_design_are_unbiased_for_a_group_that_is_not_exact(replicates):
    """Degree 6 under the octahedral group, which is exact to 3."""

    def function(quaternion):
        return polynomial(quaternion) ** 2

    quaternion = octahedral(np.random.default_rng(replicates), 600, replicates)
    z, target, equal = function(quaternion), np.array([0.5, -1.0]), np.full(24, 1 / 24)
    gram = gram_of_design(z)
    q = by_wigner(function, 6, 12)
    assert near(design_spectrum.spectrum_design(gram, quaternion, 6, equal), q)
    found = loss_split.split_design(gram, z @ target / 2, target @ target / 2, equal)
    nodes, weight = exact(12)
    assert near(found.equiv, q[1:].sum())
    assert near(found.mean, ((weight @ function(nodes) - target) ** 2).mean())


def test_spectrum__of_an_equivariant_prediction_is_free_of_noise_from_three_rotations_on():
    quaternion, z = haar(np.random.default_rng(0), 5, 4), np.full((5, 4, 2), 7.0)
    np.testing.assert_allclose(
        design_spectrum.spectrum(gram_of(z), quaternion, 6), [[49, 0, 0, 0, 0, 0, 0]] * 5, atol=1e-11
    )


def test_spectrum__centred_has_less_noise_and_two_rotations_do_better_about_the_target():
    def constant(q):
        return polynomial(q) + 5

    spread = {}
    for K in (2, 4):
        quaternion = haar(np.random.default_rng(K), 4000, K)
        z, target = constant(quaternion), coefficients()[0][:, 0, 0] + 5.2
        gram = gram_of(z)
        spread[K] = design_spectrum.spectrum(gram, quaternion, 2).std(0)[1:]
        moved = degree_spectrum.error_gram(gram, z @ target / 2, target @ target / 2)
        np.testing.assert_allclose(moved, gram_of(z - target), atol=1e-12)
        spread[K, "target"] = design_spectrum.spectrum(moved, quaternion, 2).std(0)[1:]
    assert (spread[2] > 10 * spread[2, "target"]).all()
    assert (spread[2] > 10 * spread[4]).all()
    np.testing.assert_allclose(spread[4], spread[4, "target"])


def test_spectrum__broadcasts_rotations_over_checkpoints_and_does_not_depend_on_the_block(monkeypatch):
    random = np.random.default_rng(0)
    quaternion, z = haar(random, 5, 4), random.normal(size=(3, 2, 5, 4, 6))
    whole = design_spectrum.spectrum(gram_of(z), quaternion, 3)
    assert whole.shape == (3, 2, 5, 4)
    each = [design_spectrum.spectrum(gram_of(z[2, 1, s]), quaternion[s], 3) for s in range(5)]
    np.testing.assert_allclose(whole[2, 1], each, rtol=1e-10)
    monkeypatch.setattr(design_spectrum, "LARGEST", 70)
    np.testing.assert_allclose(design_spectrum.spectrum(gram_of(z), quaternion, 3), whole, rtol=1e-12)


def test_spectrum__refuses_one_rotation_and_weights_that_do_not_sum_to_one():
    with pytest.raises(ValueError, match="at least 2"):
        design_spectrum.spectrum(np.ones((1, 1)), np.ones((1, 4)), 2)
    with pytest.raises(ValueError, match="sum to 1"):
        design_spectrum.spectrum_design(np.ones((2, 3, 2, 3)), np.ones((2, 3, 4)), 2, np.ones(3))


def test_split_design__with_two_octahedral_replicates_has_less_variance_than_48_independent_rotations():
    function, random, spread = smooth(1), np.random.default_rng(0), []
    for design in (False, True):
        quaternion = octahedral(random, 2000) if design else haar(random, 2000, 48, 1)
        z = function(quaternion[None])[0]
        weight = np.full(z.shape[-2], 1 / z.shape[-2])
        spread.append(loss_split.split_design(gram_of_design(z), z[..., 0], 0.0, weight).equiv.var())
    assert spread[0] > 1.8 * spread[1]


def test_twirling_residual__predicts_the_residual_of_twirling_with_a_group():
    """The spectrum from 2 turned sets of degree 7 on a panel of 64 samples; the residual by running the function."""
    samples, random, panel = 64, np.random.default_rng(0), rotation_set("O7")
    function, weight = smooth(samples), panel.weight.numpy()
    quaternion = product(haar(random, samples, 2)[:, :, None], panel.quaternion.numpy())
    gram = gram_of_design(function(quaternion))
    q = design_spectrum.spectrum_design(gram, quaternion, 5, weight).mean(0)
    equiv = loss_split.split_design(gram, gram[..., 0, 0], 0.0, weight).equiv.mean()
    nodes, shares = exact(13)
    twirled = np.einsum("n,snc->sc", shares, function(np.broadcast_to(nodes, (samples, *nodes.shape))))
    for name in ("D2", "T", "O"):
        rotations, n = group(name), len(group(name))
        a, b = haar(random, 2, samples, 60, 1)
        z = function(product(product(a, rotations), b)).mean(2)
        measured = ((z - twirled[:, None]) ** 2).mean()
        of_set = alpha(rotations, np.full(n, 1 / n), 12)
        predicted = degree_spectrum.twirling_residual(q, of_set, equiv, 1 / n)
        assert predicted.value == pytest.approx(measured, rel=0.1)
        assert predicted.low <= predicted.value <= predicted.high
        bounds = degree_spectrum.twirling_residual(q, of_set[:6], equiv, 1 / n)
        assert bounds.low <= predicted.low
        assert bounds.high >= predicted.high


def test_twirling_residual__of_independent_rotations_is_the_equivariance_error_over_their_number():
    q, K = np.array([0.6, 0.3, 0.2, 0.1]), 8
    found = degree_spectrum.twirling_residual(q, np.array([1, 1 / K, 1 / K, 1 / K, 1 / K]), 0.75, 1 / K)
    np.testing.assert_allclose(found, 0.75 / K)
    assert degree_spectrum.twirled_loss(0.2, 0.75, K) == pytest.approx(0.2 + found.value)


def test_twirling_residual__needs_alpha_of_every_degree_measured():
    with pytest.raises(ValueError, match="0 to 3"):
        degree_spectrum.twirling_residual(np.ones(4), np.ones(3), 1.0, 0.1)


def derivatives(function, quaternion, step=1e-4):
    """Central differences of z(g) along the three generators."""
    found = []
    for axis in np.eye(3):
        ends = [np.array([np.cos(s * step / 2), *(np.sin(s * step / 2) * axis)]) for s in (1, -1)]
        ahead, behind = (function(product(end, quaternion)) for end in ends)
        found.append((ahead - behind) / (2 * step))
    return np.stack(found)


def test_lie_error__is_the_squared_derivative_along_three_generators():
    nodes, weight = exact(6)
    squares = (derivatives(polynomial, nodes) ** 2).mean(-1).sum(0)
    q = np.array(DEGREES)
    assert weight @ squares == pytest.approx(design_spectrum.lie_error(q), rel=1e-6)
    assert q[1:].sum() <= design_spectrum.lie_error(q) / 2
    expected = (2 * 0.3 + 6 * 0.2 + 12 * 0.1) / 0.6
    effective = design_spectrum.effective_degree(q)
    assert effective * (effective + 1) == pytest.approx(expected)


def test_effective_degree__is_the_degree_of_an_error_of_one_degree_and_nan_without_error():
    np.testing.assert_allclose(design_spectrum.effective_degree(np.eye(5)[1:]), [1, 2, 3, 4])
    assert np.isnan(design_spectrum.effective_degree(np.array([1.0, 0.0, 0.0])))


def test_equigrad_square__is_the_squared_gradient_by_a_matrix_of_a_scalar():
    """Energy of a fixed direction in the lab; A - A^T as the generator, as orb does, by automatic differentiation."""
    nodes, weight = exact(6)
    start = matrices(nodes)
    generator = torch.zeros(len(nodes), 3, 3, dtype=torch.float64, requires_grad=True)
    turned = torch.linalg.matrix_exp(generator - generator.mT) @ start
    energy = 1 + 2 * turned[:, 2, 0] + turned[:, 0, 1] * turned[:, 2, 2]
    (gradient,) = torch.autograd.grad(energy.sum(), generator)
    measured = weight @ (gradient**2).sum((1, 2)).numpy()
    gram, quaternion, weight, _ = exact_design(
        lambda q: (lambda R: 1 + 2 * R[..., 2:, 0] + R[..., :1, 1] * R[..., 2:, 2])(matrices(q).numpy()), 6
    )
    q = design_spectrum.spectrum_design(gram, quaternion, 3, weight)
    assert design_spectrum.equigrad_square(q) == pytest.approx(measured, rel=1e-10)


def test_remul_square__is_twice_and_the_deviation_the_root_of_the_equivariance_error():
    nodes, weight = exact(6)
    z, equiv = polynomial(nodes), sum(DEGREES[1:])
    pairs = ((z[:, None] - z) ** 2).mean(-1)
    assert weight @ pairs @ weight == pytest.approx(degree_spectrum.remul_square(equiv), rel=1e-12)
    deviation = (weight @ (z - weight @ z) ** 2).mean() ** 0.5
    assert degree_spectrum.rotational_deviation(equiv) == pytest.approx(deviation, rel=1e-12)
    assert np.isnan(degree_spectrum.rotational_deviation(np.array([-1e-9]))).all()


def test_pooled__gives_the_spectrum_of_a_panel_with_both_error_bars():
    quaternion = haar(np.random.default_rng(3), 200, 16)
    q = design_spectrum.spectrum(gram_of(polynomial(quaternion)), quaternion, 3)
    found = bootstrap.pooled(np.swapaxes(q, -1, -2), 1000, 0)
    assert (abs(found.value - DEGREES) < 3 * found.error).all()
    np.testing.assert_allclose(found.high - found.low, 2 * 1.96 * found.error, rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("fitted", [3, 5])
def test_spectrum_fit__is_unbiased_from_the_highest_degree_there_is_and_less_noisy(fitted):
    quaternion = octahedral(np.random.default_rng(8), 600, 3)
    gram = gram_of_design(polynomial(quaternion))
    flat, turns = gram.reshape(len(gram), 72, 72), quaternion.reshape(len(gram), 72, 4)
    fit = degree_spectrum.spectrum_fit(flat, turns, 3, fitted)
    assert near(fit, DEGREES)
    plain = design_spectrum.spectrum_design(gram, quaternion, 3, np.full(24, 1 / 24))
    assert fit[:, 3].std() < 0.7 * plain[:, 3].std()


def test_spectrum_fit__of_independent_rotations_is_unbiased_and_does_not_depend_on_the_block(monkeypatch):
    quaternion = haar(np.random.default_rng(9), 2000, 12)
    gram = gram_of(polynomial(quaternion))
    fit = degree_spectrum.spectrum_fit(gram, quaternion, 3, 3)
    assert near(fit, DEGREES)
    monkeypatch.setattr(degree_spectrum, "LARGEST", 10_000)
    np.testing.assert_allclose(degree_spectrum.spectrum_fit(gram, quaternion, 3, 3), fit, rtol=1e-8)


def test_spectrum_fit__is_biased_by_what_lies_beyond_its_last_degree():
    """A group has few angles, so the fit must include degrees above the reported ones."""
    quaternion = octahedral(np.random.default_rng(10), 1500, 2)
    gram = gram_of_design(polynomial(quaternion)).reshape(1500, 48, 48)
    turns = quaternion.reshape(1500, 48, 4)
    assert not near(degree_spectrum.spectrum_fit(gram, turns, 2, 2), DEGREES[:3], errors=5)
    assert near(degree_spectrum.spectrum_fit(gram, turns, 2, 3), DEGREES[:3])


def fitted_by_hand(gram, quaternion, highest, fitted):
    """One sample: least squares over all pairs, rows and columns centred, by a design matrix of characters."""
    n = len(quaternion)
    rotation = Rotation.from_quat(quaternion, scalar_first=True)
    angle = np.array([[(a.inv() * b).magnitude() for b in rotation] for a in rotation])
    degree = np.arange(1, fitted + 1)[:, None, None]
    with np.errstate(invalid="ignore"):
        basis = np.sin((2 * degree + 1) * angle / 2) / np.sin(angle / 2) / (2 * degree + 1)
    basis = np.where(angle < 1e-6, 1.0, basis)
    centre = np.eye(n) - 1 / n
    columns = np.stack([(centre @ b @ centre).ravel() for b in (*basis, np.eye(n))], 1)
    q = np.linalg.lstsq(columns, (centre @ gram @ centre).ravel(), rcond=None)[0][:fitted]
    rest = gram - np.tensordot(q, basis, 1)
    return np.concatenate([[rest[~np.eye(n, dtype=bool)].mean()], q])[: highest + 1]


@pytest.mark.parametrize(("highest", "fitted"), [(1, 1), (2, 2), (1, 3)])
def test_spectrum_fit__is_least_squares_over_all_pairs_of_rotations(highest, fitted):
    quaternion = haar(np.random.default_rng(12), 2, 3, 7)
    gram = gram_of(polynomial(quaternion))
    found = degree_spectrum.spectrum_fit(gram, quaternion, highest, fitted)
    assert found.shape == (2, 3, highest + 1)
    for place in np.ndindex(2, 3):
        expected = fitted_by_hand(gram[place], quaternion[place], highest, fitted)
        np.testing.assert_allclose(found[place], expected, atol=1e-7)


@pytest.mark.parametrize("most", [1, 3 * 7**2 * 2, 10**7])
def test_spectrum_fit__does_not_depend_on_the_numbers_in_memory(most, monkeypatch):
    quaternion = haar(np.random.default_rng(12), 5, 7)
    gram = gram_of(polynomial(quaternion))
    whole, blocks = degree_spectrum.spectrum_fit(gram, quaternion, 2, 2), []
    inner = degree_spectrum._fitted
    monkeypatch.setattr(degree_spectrum, "LARGEST", most)
    monkeypatch.setattr(degree_spectrum, "_fitted", lambda g, h, f: blocks.append(len(g)) or inner(g, h, f))
    np.testing.assert_allclose(degree_spectrum.spectrum_fit(gram, quaternion, 2, 2), whole, rtol=1e-8)
    assert blocks == {1: [1] * 5, 294: [2, 2, 1], 10**7: [5]}[most]


def test_characters__begin_with_1_and_the_trace_of_the_rotation():
    found = list(degree_spectrum.characters(np.cos(np.array([0.0, 0.4, 2.0]) / 2), 2))
    assert len(found) == 3
    np.testing.assert_array_equal(found[0], 1)
    np.testing.assert_allclose(found[1], 1 + 2 * np.cos([0.0, 0.4, 2.0]))
    np.testing.assert_allclose(found[2], 1 + 2 * np.cos([0.0, 0.4, 2.0]) + 2 * np.cos([0.0, 0.8, 4.0]))


def test_error_gram__is_that_of_the_errors_of_every_sample_and_term():
    random = np.random.default_rng(13)
    z, y = random.normal(size=(2, 3, 4, 5)), random.normal(size=(2, 3, 5))
    gram, cross, square = z @ z.transpose(0, 1, 3, 2) / 5, (z @ y[..., None])[..., 0] / 5, (y**2).mean(-1)
    error = z - y[:, :, None]
    np.testing.assert_allclose(degree_spectrum.error_gram(gram, cross, square), error @ error.transpose(0, 1, 3, 2) / 5)
    one = degree_spectrum.error_gram(gram[0, 0], cross[0, 0], float(square[0, 0]))
    np.testing.assert_allclose(one, error[0, 0] @ error[0, 0].T / 5)


def test_remainder__is_the_error_above_the_measured_degrees_of_every_sample():
    q = np.array([[[5.0, 1.0, 2.0], [6.0, 0.5, 0.25]]])
    np.testing.assert_allclose(degree_spectrum.remainder(q, np.array([[4.0, 0.5]])), [[1.0, -0.25]])


def test_twirling_residual__weighs_what_is_known_and_bounds_the_rest():
    """q_1 = 1, q_2 = 2 and 4 or 1 beyond; the set leaves 0.1, 0.2 of degrees 1 and 2, and 0.05 to 0.5 of 3 and 4."""
    q, alpha, equiv = (
        np.array([[5.0, 1.0, 2.0], [5.0, 1.0, 2.0]]),
        np.array([1, 0.1, 0.2, 0.5, 0.05]),
        np.array([7, 2.0]),
    )
    found = degree_spectrum.twirling_residual(q, alpha, equiv, 0.25)
    np.testing.assert_allclose(found.value, [0.5 + 4 * 0.25, 0.5 - 0.25])
    np.testing.assert_allclose(found.low, [0.5 + 4 * 0.05, 0.5 - 0.5])
    np.testing.assert_allclose(found.high, [0.5 + 4 * 0.5, 0.5 - 0.05])
    unknown = degree_spectrum.twirling_residual(q, alpha[:3], equiv, 0.25)
    np.testing.assert_allclose(unknown.low, [0.5, 0.5 - 1])
    np.testing.assert_allclose(unknown.high, [0.5 + 4, 0.5])
    np.testing.assert_allclose(unknown.value, found.value)
    with pytest.raises(ValueError, match=r"^alpha needs the degrees of the spectrum, 0 to 2, got 0 to 1$"):
        degree_spectrum.twirling_residual(q, alpha[:2], equiv, 0.25)


@pytest.mark.filterwarnings("error")
def test_quantities_of_the_equivariance_error__are_its_root_its_double_and_its_share_of_rotations():
    equiv = np.array([0.25, 4.0, -1.0])
    np.testing.assert_array_equal(degree_spectrum.rotational_deviation(equiv), [0.5, 2, np.nan])
    np.testing.assert_array_equal(degree_spectrum.remul_square(equiv), [0.5, 8, -2])
    np.testing.assert_array_equal(degree_spectrum.twirled_loss(np.array([1.0, 1, 1]), equiv, 4), [1.0625, 2, 0.75])
