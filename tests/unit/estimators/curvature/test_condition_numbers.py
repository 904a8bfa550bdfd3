import functools
import math

import known_spectra
import medium_models
import numpy as np
import pytest
import sample_ratios
import torch
from scipy import stats

from twirlscope.curvature.lanczos import dense, lanczos, rademacher
from twirlscope.estimators.curvature import condition_numbers
from twirlscope.estimators.curvature.condition_numbers import MEASURES, estimate, measure_side, ratio
from twirlscope.estimators.curvature.eigenvalues import Spectrum

CASES = [(name, part, steps) for name in medium_models.MODELS for part in ("mean", "equiv") for steps in (0, 100)]


def number(name, value, count=None, side="absolute"):
    value = np.asarray(value, float)
    return measure_side(
        MEASURES[name][0], value, np.ones(len(value)) if count is None else np.asarray(count, float), side
    )


@functools.cache
def basis(size):
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator)).Q


def run(values, probes=4, steps=10, seed=0):
    """Lanczos on a matrix with these eigenvalues and random eigenvectors."""
    values, q = torch.as_tensor(values, dtype=torch.float64), basis(len(values))
    return lanczos(lambda v: q @ (values[:, None] * (q.T @ v)), rademacher(len(q), probes, seed), steps, seed=seed)


@pytest.mark.parametrize("zeros", [0, 1000])
def test_measures__of_equal_eigenvalues_are_one_and_their_number_whatever_the_null_space(zeros):
    value = [3.0] * 7 + [0.0] * zeros
    for name in ("kappa_E90", "kappa_E99", "kappa_GD10", "kappa_GD50"):
        assert number(name, value) == pytest.approx(1)
    for name in ("effective_rank", "participation_ratio", "stable_rank"):
        assert number(name, value) == pytest.approx(7)


def test_measures__of_a_spectrum_with_a_known_answer():
    value = [8.0, -4.0, 2.0, 1.0, 1.0]  # 16 in all: 8, 12, 14, 15, 16
    mean = 8 / 2 ** (0.025 / 0.1)  # 87.5 % of the energy lie in magnitudes of 2 and more, the rest at 1
    assert number("kappa_E90", value) == pytest.approx(mean)
    assert number("count_E90", value) == pytest.approx(3.4)
    assert number("effective_rank", value) == 2
    assert number("participation_ratio", value) == pytest.approx(256 / 86)
    assert number("stable_rank", value) == pytest.approx(86 / 64)
    assert number("negative_energy", value) == 0.25
    assert number("kappa_E90", value, side="positive") == 8  # 83 % of the positive energy are above 1
    assert number("effective_rank", value, side="positive") == 1.5
    assert number("negative_energy", value, side="positive") == 0


@pytest.mark.parametrize("kappa", [3.0, 100.0, 1e6])
@pytest.mark.parametrize("name", ["kappa_GD10", "kappa_GD50"])
def test_descent_condition__of_a_bowl_of_one_curvature_is_that_of_its_slowest_direction(kappa, name):
    exact = 1 / -math.log1p(-1 / kappa)  # (1 - 1 / kappa)^(2 T) = eps
    assert number(name, [kappa, 1.0], [1e-9, 1e9]) == pytest.approx(exact, rel=1e-4)


def test_descent_condition__is_what_gradient_descent_takes():
    value = np.geomspace(1, 1e-4, 500)
    left, steps = value.copy(), 0
    while left.sum() > 0.1 * value.sum():
        left, steps = left * (1 - value) ** 2, steps + 1
    assert number("kappa_GD10", value) == pytest.approx(2 * steps / math.log(10), rel=2 / steps)


def test_measures__take_counts_for_copies_and_leave_out_padding():
    value, count = np.array([5.0, 2.0, -1.0, 0.01]), np.array([1, 3, 10, 50])
    copies = np.repeat(value, count)
    for name in MEASURES:
        for side in condition_numbers.SIDES:
            one = number(name, np.append(value, np.nan), np.append(count, np.nan), side)
            assert one == pytest.approx(number(name, copies, side=side)), (name, side)


def test_measures__do_not_depend_on_the_scale_of_the_loss():
    value = np.concatenate([np.geomspace(10, 1e-6, 50), -np.geomspace(1, 1e-3, 20)])
    for name in MEASURES:
        assert number(name, 1e-8 * value) == pytest.approx(number(name, value), rel=1e-9)


@pytest.mark.parametrize("side", condition_numbers.SIDES)
def test_measures__of_nothing_are_nan(side):
    for name in MEASURES:
        assert math.isnan(number(name, [0.0, 0.0], side=side))
    assert math.isnan(number("kappa_E90", [-1.0], side="positive"))
    assert not estimate(run(np.zeros(30), steps=2), MEASURES["kappa_E90"][0]).converged


def test_estimate__of_a_complete_spectrum_has_no_error_and_of_few_probes_none_that_means_anything():
    values = np.geomspace(1, 1e-3, 60)
    exact = estimate(dense(torch.diag(torch.as_tensor(values))), MEASURES["kappa_GD10"][0])
    assert (exact.error, exact.depth_bias, exact.converged) == (0, 0, True)
    assert math.isnan(estimate(run(values, probes=2), MEASURES["kappa_GD10"][0]).error)


def test_estimate__error_is_the_spread_over_seeds_where_nothing_is_deflated():
    values = np.linspace(0.1, 1, 500)
    found = [estimate(run(values, 4, 2, seed), MEASURES["effective_rank"][0]) for seed in range(40)]
    spread = np.std([f.value for f in found])
    assert np.sqrt(np.mean([f.error**2 for f in found])) == pytest.approx(spread, rel=0.3)


def test_estimate__error_of_a_kappa_is_the_spread_over_seeds_and_not_the_zero_of_a_quantile():
    """A quantile of Ritz values stays on its node when a probe is left out: its jackknife is zero."""
    value = known_spectra.spectra(1000)["exponential, length 60"]
    found = [estimate(known_spectra.run(value, 3, 8, seed), MEASURES["kappa_E90"][0]) for seed in range(60)]
    assert min(f.error for f in found) > 0
    spread = np.std([f.value for f in found])
    assert np.sqrt(np.mean([f.error**2 for f in found])) == pytest.approx(spread, rel=0.35)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [8, 24])
def test_converged__holds_for_at_most_a_twentieth_of_numbers_that_are_more_than_15_percent_off(steps):
    """At the probes and depth of the default, and deeper. docs/calibration.md has more sizes and seeds."""
    wrong, all_converged = 0, 0
    for value in known_spectra.spectra(1000).values():
        exact = {name: known_spectra.exact(name, value) for name in MEASURES}
        for seed in range(4):
            one = known_spectra.run(value, 3, steps, seed)
            for name, (measure, _) in MEASURES.items():
                found = estimate(one, measure)
                if found.converged and exact[name]:
                    all_converged += 1
                    wrong += abs(found.value / exact[name] - 1) > 0.15
    assert all_converged > (40 if steps == 8 else 150)
    assert wrong <= 0.05 * all_converged


def test_converged__needs_two_depths_and_the_probes_to_agree():
    def made(change, error, probes=3):
        return condition_numbers.Estimate(100.0, error, 0.0, change, probes).converged

    assert made(14.0, 0.0)
    assert not made(16.0, 0.0)
    assert made(0.0, 3.0)  # 4.3 standard errors are a 95 % interval of three probes
    assert not made(0.0, 4.0)
    assert made(0.0, 4.0, probes=10)
    assert not made(11.0, 3.0)  # both together
    assert not made(0.0, math.nan)


def test_estimate__change_is_the_larger_of_those_since_half_and_three_quarters_of_the_depth():
    value = known_spectra.spectra(600)["power law 1"]
    for seed in range(5):
        whole, half, most = (
            known_spectra.exact_nodes(known_spectra.run(value, 3, steps, seed), "kappa_E90") for steps in (12, 6, 9)
        )
        found = estimate(known_spectra.run(value, 3, 12, seed), MEASURES["kappa_E90"][0])
        assert found.change == pytest.approx(max(abs(whole - half), abs(whole - most)), rel=1e-6)
        assert found.depth_bias == pytest.approx(whole - half, rel=1e-6)


def test_estimate__says_that_a_spectrum_of_many_scales_has_not_converged():
    values = np.geomspace(1, 1e-8, 600)
    shallow, deep = (estimate(run(values, 4, m), MEASURES["kappa_E99"][0]) for m in (4, 80))
    assert not shallow.converged
    assert deep.converged
    assert abs(shallow.depth_bias) > abs(deep.depth_bias)


@pytest.mark.parametrize("name", ["kappa_E90", "kappa_GD10", "count_E90", "effective_rank", "participation_ratio"])
def test_ratio__cancels_what_both_owe_to_the_probes(name):
    values = np.random.default_rng(0).exponential(size=500)
    one, other = (run(f * values, 4, 4) for f in (1.0, 1e-3))
    assert estimate(one, MEASURES[name][0]).error > 0
    assert ratio(one, other, MEASURES[name][0]) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("name", ["kappa_E90", "kappa_GD10", "effective_rank", "participation_ratio"])
def test_ratio__interval_holds_the_truth_and_is_not_given_for_two_probes(name):
    first, second = np.geomspace(1, 1e-3, 500), np.geomspace(1, 1e-2, 500)
    measure = MEASURES[name][0]
    exact = number(name, first) / number(name, second)
    inside = 0
    for seed in range(12):
        _, low, high = ratio(run(first, 4, 12, seed), run(second, 4, 12, seed), measure)
        inside += low <= exact <= high
    assert inside >= 10
    value, *ends = ratio(run(first, 2, 12), run(second, 2, 12), measure)
    assert value == pytest.approx(exact, rel=0.2)
    assert np.isnan(ends).all()


def test_ratio__over_groups_of_samples_has_the_interval_of_students_t():
    """Exact spectra of one eigenvalue and one at 0.1 of half the energy, so that only the samples vary."""
    groups = [(dense(torch.diag(torch.tensor([a, 1.0]))), dense(torch.eye(2))) for a in (2.0, 3.0, 5.0, 9.0)]
    measure = MEASURES["stable_rank"][0]
    each = np.log([(1 + a**-2) / 2 for a in (2.0, 3.0, 5.0, 9.0)])
    value, low, high = ratio(*groups[0], measure, groups=groups)
    assert value == pytest.approx((1 + 1 / 4) / 2)
    width = stats.t.ppf(0.975, 3) * each.std(ddof=1) / 2
    np.testing.assert_allclose([low, high], [value * math.exp(-width), value * math.exp(width)])
    assert np.isnan(ratio(*groups[0], measure, groups=groups[:2])[1:]).all()
    assert ratio(*groups[0], measure) == (value, value, value)


@pytest.mark.slow
def test_ratio__interval_holds_the_ratio_of_other_samples_about_as_often_as_it_says():
    """Sums of random matrices, one per sample, at the six samples of the default and its three groups."""
    hits, without = sample_ratios.coverage(16, 6, 3, ("kappa_E90", "effective_rank"), depth=(3, 16))
    assert (hits > 0.85).all()
    assert (without < 0.75).all(), "probes and depth alone do not know how much the samples matter"


def made(weight, half=None, most=None):
    """A run without any converged value, so that its weights stay as they are."""
    nodes = np.array([-3.0, 1.0, 4.0])
    return Spectrum(nodes, np.full(3, 9.0), np.array(weight), 10, False, np.zeros(0), half, most)


def by_hand(spectrum, side):
    """Sums of magnitudes by probe over the largest, from the weights of `made`."""
    magnitude = {"absolute": [3.0, 1.0, 4.0], "positive": [0.0, 1.0, 4.0]}[side]
    return 10 * spectrum.weight @ magnitude / 4


ONE = [[0.2, 0.7, 0.1], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2]]
OTHER = [[0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.1, 0.5, 0.4]]


@pytest.mark.parametrize("side", condition_numbers.SIDES)
def test_estimate__of_a_mean_over_probes_has_its_standard_error_and_its_changes_with_depth(side):
    half, most = made(OTHER), made([OTHER[0]] * 4)
    one = made(ONE, half, most)
    found, each = estimate(one, MEASURES["effective_rank"][0], side), by_hand(one, side)
    assert found.value == pytest.approx(each.mean())
    assert found.error == pytest.approx(each.std(ddof=1) / 2)
    assert found.depth_bias == pytest.approx(each.mean() - by_hand(half, side).mean())
    changes = [abs(each.mean() - by_hand(s, side).mean()) for s in (half, most)]
    assert found.change == pytest.approx(max(changes))
    assert found.probes == 4
    assert estimate(made(ONE[:3]), MEASURES["effective_rank"][0], side).error > 0
    assert np.isnan(estimate(made(ONE[:2]), MEASURES["effective_rank"][0], side).error)
    assert np.isnan(estimate(made(ONE), MEASURES["effective_rank"][0], side).change)


@pytest.mark.parametrize("side", condition_numbers.SIDES)
def test_ratio__interval_is_that_of_probes_and_samples_in_squares_and_of_the_depth_on_top(side):
    measure = MEASURES["effective_rank"][0]
    shallow = [made([row] * 4) for row in (ONE[1], OTHER[2], ONE[0], OTHER[1])]
    one, other = made(ONE, shallow[0], shallow[2]), made(OTHER, shallow[1], shallow[3])
    groups = [(made([a] * 4), made([b] * 4)) for a, b in zip(ONE, OTHER, strict=True)]
    left = [
        np.log(np.delete(by_hand(one, side), k).mean() / np.delete(by_hand(other, side), k).mean()) for k in range(4)
    ]
    noise = stats.t.ppf(0.975, 3) * np.sqrt(3 / 4 * ((left - np.mean(left)) ** 2).sum())
    middle = np.log(by_hand(one, side).mean() / by_hand(other, side).mean())
    depths = [np.log(by_hand(a, side).mean() / by_hand(b, side).mean()) for a, b in (shallow[:2], shallow[2:])]
    bias = max(abs(middle - depth) for depth in depths)
    spread = [np.log(by_hand(a, side).mean() / by_hand(b, side).mean()) for a, b in groups]
    samples = stats.t.ppf(0.975, 3) * np.std(spread, ddof=1) / 2
    for chosen, width in ((None, noise + bias), (groups, np.hypot(noise, samples) + bias)):
        expected = np.exp([middle, middle - width, middle + width])
        np.testing.assert_allclose(ratio(one, other, measure, side, chosen), expected)
    assert np.isfinite(ratio(one, other, measure, side, groups[:3])).all()
    assert np.isnan(ratio(made(ONE, shallow[0]), other, measure, side)[1:]).all()


def test_energy_count__of_less_than_the_first_is_a_part_of_it():
    assert condition_numbers.energy_count(np.array([4.0, 1.0]), np.array([2.0, 2.0]), 0.2) == pytest.approx(0.5)


def spectra(name, part, steps, scale=1.0):
    """Two runs of 4 probes and 40 steps, 160 products each, and the exact spectrum."""
    matrix = scale * medium_models.hessian(name, part, steps)
    found = [lanczos(lambda v: matrix @ v, rademacher(len(matrix), 4, s), 40, seed=s) for s in range(2)]
    return found, dense(matrix), matrix


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part", "steps"), CASES)
def test_spectra__of_small_models_agree_with_their_dense_hessians(name, part, steps):
    found, exact, _ = spectra(name, part, steps)
    for one in found:
        np.testing.assert_allclose(one.top(10)[0], exact.top(10)[0], rtol=1e-8)
        assert np.abs(one.value[one.converged][:, None] - exact.value).min(1).max() < 1e-3 * exact.value.max()
    for measure in ("kappa_E90", "kappa_GD10"):
        truth = estimate(exact, MEASURES[measure][0]).value
        each = np.array([estimate(one, MEASURES[measure][0]).value for one in found])
        assert np.sqrt(np.mean((each / truth - 1) ** 2)) < 0.15, (measure, each / truth)


def quadrature(matrix, probe, steps):
    """Nodes and weights of plain stochastic Lanczos quadrature for one probe, fully reorthogonalised."""
    basis, alpha, beta = [probe / probe.norm()], [], []
    for _ in range(steps):
        w = matrix @ basis[-1]
        alpha.append(float(basis[-1] @ w))
        q = torch.stack(basis)
        for _ in range(2):
            w = w - q.T @ (q @ w)
        beta.append(float(w.norm()))
        basis.append(w / w.norm())
    value, vector = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
    return value, vector[0] ** 2


@pytest.mark.slow
@pytest.mark.parametrize("name", list(medium_models.MODELS))
def test_effective_rank__is_three_times_as_precise_as_standard_quadrature_at_equal_products(name):
    errors = []
    for part in ("mean", "equiv"):
        found, exact, matrix = spectra(name, part, 100)
        truth = estimate(exact, MEASURES["effective_rank"][0]).value
        for seed, one in enumerate(found):
            runs = [quadrature(matrix, v, 40) for v in rademacher(len(matrix), 4, seed).T]
            standard = len(matrix) * np.mean([w @ np.abs(v) for v, w in runs]) / max(np.abs(v).max() for v, _ in runs)
            errors.append((estimate(one, MEASURES["effective_rank"][0]).value / truth - 1, standard / truth - 1))
    ours, theirs = np.sqrt(np.mean(np.square(errors), axis=0))
    assert theirs > 3 * ours


def test_spectra__do_not_depend_on_the_scale_of_the_loss():
    (one, *_), _, _ = spectra("conservative", "mean", 0)
    (small, *_), _, _ = spectra("conservative", "mean", 0, 1e-8)
    np.testing.assert_allclose(small.top(10)[0], 1e-8 * one.top(10)[0], rtol=1e-10)
    for measure, _ in MEASURES.values():
        assert estimate(small, measure).value == pytest.approx(estimate(one, measure).value, rel=1e-6, nan_ok=True)
