"""Block Lanczos on matrices of known spectrum: eigenvalues, error bounds, weights, traces, memory."""

import numpy as np
import pytest
import torch

from twirlscope.curvature import lanczos
from twirlscope.errors import UserError


def matrix_with(eigenvalues, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(eigenvalues)
    q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator)).Q
    return (q * torch.as_tensor(eigenvalues, dtype=torch.float64)) @ q.T


def run(matrix, probes=4, steps=20, seed=0, **keys):
    block = lanczos.rademacher(len(matrix), probes, seed)
    return lanczos.lanczos(lambda v: matrix @ v, block, steps, seed=seed, **keys), block


def decaying(n=400):
    return np.concatenate([-(2.0 ** -np.arange(40)), 3.0 ** -np.arange(n - 40)])


def test_lanczos__finds_both_ends_of_a_decaying_spectrum():
    exact = lanczos.dense(matrix_with(decaying()))
    found, _ = run(matrix_with(decaying()))
    np.testing.assert_allclose(found.top(6)[0], exact.top(6)[0], atol=1e-13)
    np.testing.assert_allclose(found.bottom(6)[0], exact.bottom(6)[0], atol=1e-13)


def test_lanczos__errors_bound_the_distance_to_an_eigenvalue_where_it_has_not_converged():
    values = np.linspace(-1, 1, 500) ** 3
    found, _ = run(matrix_with(values), steps=10)
    distance = np.abs(found.value[:, None] - values).min(1)
    assert (distance <= found.error + 1e-13).all()
    assert found.error.max() > 1e-2  # the middle has not converged, and says so


@pytest.mark.parametrize("multiplicity", [1, 3, 7])
def test_lanczos__finds_a_cluster_and_multiple_eigenvalues_when_the_space_is_exhausted(multiplicity):
    values = np.sort(np.concatenate([np.full(multiplicity, 5.0), 5 + 1e-9 * np.arange(4), np.zeros(9), [-2.0]]))
    found, _ = run(matrix_with(values), probes=3, steps=40)
    assert found.complete
    np.testing.assert_allclose(found.value, values, atol=1e-13)
    assert found.trace()[0] == pytest.approx(values.sum(), abs=1e-12)


def test_lanczos__is_exact_for_a_matrix_of_low_rank_and_has_no_ghosts():
    values = np.concatenate([np.arange(1.0, 31.0), np.zeros(270)])
    found, _ = run(matrix_with(values), steps=30)
    np.testing.assert_allclose(found.top(30)[0], np.arange(30.0, 0, -1), atol=1e-12)
    assert (found.value > 1e-10).sum() == 30


def test_lanczos__accepts_a_matrix_of_zeros():
    found, _ = run(torch.zeros(50, 50, dtype=torch.float64), steps=5)
    assert (found.value == 0).all()
    np.testing.assert_allclose(found.weight.sum(1), 1)
    assert found.trace() == (0, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9])
def test_lanczos__spans_a_small_space_with_more_or_dependent_probes(size):
    values = np.arange(size) - 1.5
    found, block = run(matrix_with(values), probes=4, steps=3)
    assert found.complete
    np.testing.assert_allclose(found.value, values, atol=1e-13)
    np.testing.assert_allclose(found.weight.sum(1), 1)
    assert found.weight.shape == (block.shape[1], size)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_quadrature__reproduces_the_rayleigh_quotient_of_each_probe(dtype):
    matrix = matrix_with(decaying()).to(dtype)
    block = lanczos.rademacher(len(matrix), 4, 1).to(dtype)
    found = lanczos.lanczos(lambda v: matrix @ v, block, 12)
    quotient = ((block * (matrix @ block)).sum(0) / (block**2).sum(0)).numpy()
    np.testing.assert_allclose(found.weight @ found.value, quotient, rtol=1e3 * torch.finfo(dtype).eps)
    np.testing.assert_allclose(found.weight.sum(1), 1, rtol=1e-12)


def test_quadrature__integrates_polynomials_of_high_degree_exactly():
    values = np.linspace(-1, 1, 300)
    matrix = matrix_with(values)
    found, block = run(matrix, probes=2, steps=6)
    power = block
    for _ in range(11):  # block Gauss quadrature with m steps is exact to degree 2m - 1
        power = matrix @ power
    moment = ((block * power).sum(0) / len(matrix)).numpy()
    np.testing.assert_allclose(found.weight @ found.value**11, moment, atol=1e-14)


def test_basis__stays_orthogonal_through_convergence_and_breakdown(monkeypatch):
    kept = {}
    orthonormal = lanczos._orthonormal
    monkeypatch.setattr(lanczos, "_orthonormal", lambda b, q, *rest: kept.update(q=q) or orthonormal(b, q, *rest))
    for values in (decaying(300), np.concatenate([np.arange(1.0, 31.0), np.zeros(270)])):
        run(matrix_with(values), steps=50)
        q = kept["q"]
        assert (q @ q.T - torch.eye(len(q))).abs().max() < 1e-13


def test_lanczos__does_not_depend_on_the_scale_of_the_operator():
    matrix = matrix_with(decaying())
    one, _ = run(matrix)
    small, _ = run(1e-8 * matrix)
    np.testing.assert_allclose(1e8 * small.value, one.value, atol=1e-13)
    np.testing.assert_allclose(1e8 * small.error, one.error, atol=1e-6)
    np.testing.assert_allclose(small.top(8)[0], 1e-8 * one.top(8)[0], rtol=1e-11)


def test_lanczos__floors_the_errors_at_the_noise_of_the_products():
    found, _ = run(matrix_with(decaying()), noise=1e-7)
    assert found.error.min() == pytest.approx(1e-7 * np.abs(found.value).max())


@pytest.mark.parametrize("keys", [{"probes": 8}, {"probes": 2, "trace_probes": 8}])
def test_trace__is_unbiased_and_lies_within_its_standard_error(keys):
    rng = np.random.default_rng(0)
    values = rng.exponential(size=300)
    matrix = matrix_with(values)
    runs = np.array([run(matrix, steps=1, seed=seed, **keys)[0].trace() for seed in range(1000, 1100)])
    distance = runs[:, 0] - values.sum()
    assert abs(distance.mean()) < 3 * distance.std() / 10  # unbiased
    assert np.sqrt((runs[:, 1] ** 2).mean()) == pytest.approx(distance.std(), rel=0.25)


def test_trace__has_a_far_smaller_error_with_fresh_probes_if_few_eigenvalues_are_large():
    matrix = matrix_with(decaying())
    _, plain = run(matrix, probes=4, steps=12)[0].trace()
    trace, error = run(matrix, probes=2, steps=12, trace_probes=4)[0].trace()
    assert error < 0.1 * plain
    assert abs(trace - matrix.trace()) < 4 * error


@pytest.mark.parametrize("spectrum", [decaying(200), np.concatenate([np.ones(30), 1e-9 * np.arange(170)])])
def test_lanczos__in_a_float32_basis_is_right_to_its_rounding(spectrum):
    matrix, exact = matrix_with(spectrum).float(), np.sort(spectrum)
    found = lanczos.lanczos(lambda v: matrix @ v, lanczos.rademacher(200, 4, 0).float(), 20)
    distance = np.abs(found.value[found.converged][:, None] - exact).min(1)
    assert found.converged.sum() >= 4
    assert (distance <= 20 * found.error[found.converged]).all()
    assert found.error.min() == pytest.approx(torch.finfo(torch.float32).eps * np.abs(found.value).max())


@pytest.mark.parametrize(
    ("memory", "dtype", "probes"),
    [(32e6, torch.float64, 4), (31e6, torch.float32, 4), (15e6, torch.float32, 3), (8e6, torch.float32, 2)],
)
def test_fitting_basis__is_in_float32_first_and_then_of_fewer_probes(memory, dtype, probes):
    found = lanczos.fitting_basis(100_000, 4, 10, torch.float64, memory)
    assert (found.dtype, found.probes) == (dtype, probes)
    assert found.bytes == dtype.itemsize * 100_000 * 10 * probes <= memory


def test_fitting_basis__states_the_sizes_if_nothing_fits():
    text = r"0.008 GB or more.*0.032 GB as requested.*got 0.004 GB.*at most 5 lanczos_steps"
    with pytest.raises(UserError, match=text):
        lanczos.fitting_basis(100_000, 4, 10, torch.float64, 4e6)


def test_fitting_basis__has_no_more_directions_than_the_space():
    assert lanczos.fitting_basis(10, 4, 100, torch.float64, 800.0).bytes == 800


def test_dense__agrees_for_a_matrix_and_for_its_products():
    matrix = matrix_with(decaying(100))
    np.testing.assert_allclose(
        lanczos.dense(lambda v: matrix @ v, 100, block=7).value, lanczos.dense(matrix).value, atol=1e-14
    )


def test_lanczos__refuses_products_that_are_not_finite():
    with pytest.raises(FloatingPointError, match="not finite"):
        run(torch.full((5, 5), torch.nan, dtype=torch.float64))
