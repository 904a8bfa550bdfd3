import numpy as np
import pytest
import torch

from twirlscope.curvature.lanczos import dense, lanczos, rademacher
from twirlscope.estimators.eigenvalues import Spectrum, converged, density, symlog_grid


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
