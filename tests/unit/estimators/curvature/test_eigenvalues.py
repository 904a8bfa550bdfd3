import numpy as np
import pytest
import torch
from scipy import stats

from twirlscope.curvature.lanczos import dense, lanczos, rademacher
from twirlscope.estimators.curvature.eigenvalues import Spectrum, converged, density, symlog_grid


def runs(values, probes, steps, seeds=range(20)):
    """A Lanczos run on a matrix with these eigenvalues; for a diagonal one, sign probes give the exact trace."""
    values, size = torch.as_tensor(values, dtype=torch.float64), len(values)
    q = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    matrix = (q * values) @ q.T
    for seed in seeds:
        yield lanczos(lambda v: matrix @ v, rademacher(size, probes, seed), steps, seed=seed)


def decaying(n=400):
    return np.concatenate([-(2.0 ** -np.arange(40)), 3.0 ** -np.arange(n - 40)])


def test_deflated__counts_every_converged_eigenvalue_once_and_sums_to_one():
    for found in runs(decaying(), 4, 10, range(3)):
        assert found.converged.sum() > 10
        np.testing.assert_allclose(found.deflated.sum(1), 1)
        np.testing.assert_allclose(found.deflated[:, found.converged], 1 / 400, rtol=1e-12)


def test_deflated__knows_the_sum_of_magnitudes_far_better_than_the_plain_weights():
    exact = np.abs(decaying()).sum()
    plain, better = np.array([
        [400 * np.abs(f.value) @ w.mean(0) - exact for w in (f.weight, f.deflated)] for f in runs(decaying(), 4, 10)
    ]).T  # fmt: skip
    assert np.sqrt(np.mean(better**2)) < 0.1 * np.sqrt(np.mean(plain**2))


@pytest.mark.parametrize(("copies", "probes"), [(200, 1), (200, 4), (40, 2)])
def test_deflated__leaves_its_weight_to_an_eigenvalue_with_more_copies_than_probes(copies, probes):
    values = np.concatenate([np.full(copies, 5.0), np.linspace(0, 1, 400 - copies)])
    counts = [400 * f.deflated.mean(0)[f.value > 4].sum() for f in runs(values, probes, 12)]
    error = copies * np.sqrt(2 / copies / probes / 20)
    assert abs(np.mean(counts) - copies) < 4 * error


def test_deflated__weighs_all_eigenvalues_the_same_where_the_spectrum_is_complete():
    np.testing.assert_array_equal(dense(torch.diag(torch.arange(5.0))).deflated, np.full((1, 5), 0.2))


def test_half__is_the_run_of_half_as_many_steps():
    for whole, short in zip(runs(decaying(), 3, 11, [7]), runs(decaying(), 3, 5, [7]), strict=True):
        np.testing.assert_allclose(whole.half.value, short.value, atol=1e-14)
        np.testing.assert_allclose(whole.half.weight, short.weight, atol=1e-12)
        large = short.error > 1e-12
        np.testing.assert_allclose(whole.half.error[large], short.error[large], rtol=1e-3)


def test_half__is_none_for_a_single_step_or_a_complete_spectrum():
    assert next(runs(decaying(), 3, 1)).half is None
    assert next(runs(np.arange(6.0), 3, 4)).half is None


def test_converged__is_relative_to_the_value_and_never_holds_for_zero():
    value, error = np.array([1e-8, 1.0, 0.0, np.nan]), np.array([1e-12, 1e-2, 0.0, np.nan])
    np.testing.assert_array_equal(converged(value, error), [True, False, False, False])


def test_deflated__keeps_the_weights_of_probes_that_have_none_left():
    weight = np.array([[0.5, 0.5]])
    found = Spectrum(np.array([1.0, 2.0]), np.array([1e-9, 1e-9]), weight, 4, False, np.zeros(0))
    np.testing.assert_allclose(found.deflated, weight)


def test_top__is_padded_where_there_are_fewer():
    value, error = dense(torch.diag(torch.tensor([1.0, 2.0]))).top(3)
    np.testing.assert_array_equal(value, [2, 1, np.nan])
    assert np.isnan(error[2])


def test_density__integrates_to_one_over_the_symmetric_logarithmic_axis():
    found = next(runs(decaying(), 4, 20))
    grid = symlog_grid(1e3, 1e-3, 2001)
    value = np.append(found.value, np.nan)  # padding, as in a store
    weight = np.append(found.weight.T, np.zeros((1, 4)), 0)
    each = density(value, weight, grid, 0.2, 1e-3)
    assert each.shape == (2001, 4)
    np.testing.assert_allclose(np.trapezoid(each, np.arcsinh(grid / 1e-3), axis=0), 1, rtol=1e-3)


def made(value, error, weight, size, **more):
    """A run with these nodes; rows of `weight` are probes."""
    arrays = (np.array(v, float) for v in (value, error, weight))
    return Spectrum(*arrays, size, more.pop("complete", False), np.array(more.pop("rest", []), float), **more)


def test_top_and_bottom__are_the_ends_of_the_values_with_their_errors():
    found = made([-3, 1, 4], [0.1, 0.2, 0.3], [[0.2, 0.3, 0.5]], 9)
    np.testing.assert_array_equal(found.top(2), [[4, 1], [0.3, 0.2]])
    np.testing.assert_array_equal(found.bottom(2), [[-3, 1], [0.1, 0.2]])
    np.testing.assert_array_equal(found.bottom(4), [[-3, 1, 4, np.nan], [0.1, 0.2, 0.3, np.nan]])
    np.testing.assert_array_equal(found.top(4), [[4, 1, -3, np.nan], [0.3, 0.2, 0.1, np.nan]])


def test_trace__is_the_sum_of_all_values_or_of_the_basis_and_the_fresh_probes_or_a_quadrature():
    weight = [[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]
    whole = made([-3, 1, 4], [0.3, 0.0, 0.4], weight, 3, complete=True)
    assert whole.trace() == (2.0, pytest.approx(0.5))
    fresh = made([-3, 1, 4], [0.3, 0.0, 0.4], weight, 9, rest=[1.0, 2.0, 6.0])
    assert fresh.trace() == (pytest.approx(5), pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5))
    each = [9 * (-0.6 + 0.3 + 2), 9 * (-1.8 + 0.1 + 1.2), 9 * (-0.3 + 0.1 + 3.2)]
    plain = made([-3, 1, 4], [0.3, 0.0, 0.4], weight, 9)
    assert plain.trace() == (pytest.approx(np.mean(each)), pytest.approx(np.std(each, ddof=1) / 3**0.5))
    assert np.isnan(made([1, 2], [0, 0], [[0.5, 0.5]], 9).trace()[1])


def test_deflated__gives_a_converged_value_one_parameter_and_shares_the_rest():
    weight = [[0.2, 0.3, 0.1, 0.4], [0.6, 0.1, 0.1, 0.2]]
    found = made([-3, 1, 2, 50], [9, 9, 9, 0.04], weight, 10)  # 0.04 is 0.8 thousandths of 50
    np.testing.assert_array_equal(found.converged, [False, False, False, True])
    rest = np.array([[0.2, 0.3, 0.1], [0.6, 0.1, 0.1]]) * 0.9 / np.array([[0.6], [0.8]])
    np.testing.assert_allclose(found.deflated, np.concatenate([rest, [[0.1], [0.1]]], 1))
    other = made([-3, 1, 2, 50], [9, 9, 9, 0.06], weight, 10)
    np.testing.assert_allclose(other.deflated, weight)  # nothing has converged


@pytest.mark.parametrize(("share", "larger"), [(0.21, False), (0.4, False), (0.41, True), (0.5, True)])
def test_deflated__keeps_the_weights_of_a_group_that_weighs_more_than_its_values(share, larger):
    """Two probes find two copies at most, which count as 12 share eigenvalues with an error of sqrt(2 * 2 / 2)."""
    weight = np.tile([0.3, 0.7 - share, share / 2, share / 2], (2, 1))
    found = made([1, 2, 5, 5], [0.5, 0.4, 1e-5, 1e-5], weight, 12)
    assert (12 * share > 2 + 2 * 2**0.5) == larger
    expected = weight[:, 2:] if larger else np.full((2, 2), 1 / 12)
    np.testing.assert_allclose(found.deflated[:, 2:], expected)
    np.testing.assert_allclose(found.deflated.sum(1), 1)


@pytest.mark.parametrize(("gap", "same"), [(0.9e-3, True), (1.1e-3, False)])
def test_deflated__takes_values_for_one_group_only_within_both_their_bounds(gap, same):
    """Two values that touch may be all that two probes see of a larger multiplet; two that do not are single."""
    weight = np.tile([0.5, 0.25, 0.25], (2, 1))
    found = made([1, 5, 5 + gap], [0.5, 4e-4, 6e-4], weight, 40)
    single = [0.95, 0.025, 0.025]
    np.testing.assert_allclose(found.deflated, weight if same else np.tile(single, (2, 1)))


def test_symlog_grid__is_even_in_the_inverse_hyperbolic_sine():
    found = symlog_grid(50.0, 0.1)
    assert found.shape == (201,)
    assert (found[0], found[100], found[-1]) == (pytest.approx(-50), 0, pytest.approx(50))
    np.testing.assert_allclose(np.diff(np.arcsinh(found / 0.1)), 2 * np.arcsinh(500) / 200)


def test_density__is_a_sum_of_normal_densities_by_probe():
    value, weight = np.array([-2.0, np.nan, 0.5]), np.array([[0.3, 0.6], [9.0, 9.0], [0.7, 0.4]])
    grid = np.array([-3.0, 0.0, 0.4, 1.0])
    at = [stats.norm(np.arcsinh(v / 0.2), 0.3).pdf(np.arcsinh(grid / 0.2)) for v in (-2.0, 0.5)]
    expected = np.stack([0.3 * at[0] + 0.7 * at[1], 0.6 * at[0] + 0.4 * at[1]], 1)
    np.testing.assert_allclose(density(value, weight, grid, 0.3, 0.2), expected, rtol=1e-12)
