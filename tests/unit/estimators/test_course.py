"""Courses of a percentage whose dip, rise and times are known."""

import numpy as np
import pytest

from twirlscope.estimators.course import between, course, first_rise, measured_course

STEPS = np.array([0, 10, 100, 1000, 10_000, 100_000])


def samples(percent, own=0.0, count=300, seed=0):
    """Losses of samples with these percentages; `own` is the noise of single checkpoints."""
    random = np.random.default_rng(seed)
    hard, single = random.standard_normal(count), random.standard_normal((len(percent), count))
    total = np.exp(0.3 * hard) * np.ones((len(percent), 1))
    return total, total * np.array(percent)[:, None] / 100 * np.exp(own * single - own**2 / 2)


def test_course__has_start_times_dip_rise_and_end():
    found = course(STEPS, np.array([20.0, 10.0, 1.0, 0.1, 4.0, 1.0]), 2.0)
    assert (found.start, found.end) == (20, 1)
    assert (found.dip, found.dip_step, found.highest, found.highest_step) == (0.1, 1000, 4, 10_000)
    assert found.first == pytest.approx(10 * 10 ** (np.log(5) / np.log(10)))  # 10 to 1 % between 10 and 100
    assert found.last == pytest.approx(10_000 * 10**0.5)  # 4 to 1 %, halfway in the logarithm


def test_course__without_a_rise_of_a_quarter_has_no_dip():
    found = course(STEPS, np.array([20.0, 10.0, 12.4, 3.0, 3.5, 2.5]), 2.0)
    assert np.isnan([found.dip, found.dip_step, found.highest, found.highest_step]).all()
    assert np.isinf([found.first, found.last]).all()
    assert first_rise(np.array([20.0, 10.0, 12.5])) == 2


def test_course__that_is_always_small_begins_so():
    found = course(STEPS[1:], np.array([1.0, 0.5, 0.4, 0.3, 0.2]), 2.0)
    assert (found.first, found.last) == (10, 10)


def test_course__of_a_single_checkpoint_has_no_dip():
    found = course(STEPS[:1], np.array([30.0]), 2.0)
    assert np.isinf(found.first)
    assert np.isnan(found.dip)


def test_measured_course__of_exact_samples_is_the_course_of_their_percentages():
    percent = [20.0, 10.0, 1.0, 0.1, 4.0, 1.0]
    found = measured_course(STEPS, *samples(percent), 2.0)
    for part in found:
        np.testing.assert_allclose(part, course(STEPS, np.array(percent), 2.0), rtol=1e-6)


def test_measured_course__finds_no_dip_in_noise():
    dips = [np.isfinite(measured_course(STEPS, *samples([10.0] * 6, 1.5, 60, s), 2.0).value.dip) for s in range(60)]
    assert sum(dips) <= 3
    real = [
        np.isfinite(measured_course(STEPS, *samples([20, 9, 4, 0.5, 3, 1.0], 0.5, 60, s), 2.0).value.dip)
        for s in range(9)
    ]
    assert all(real)


def test_measured_course__has_intervals_that_widen_with_noise_and_hold_the_estimate():
    found = measured_course(STEPS, *samples([20.0, 10.0, 1.0, 0.1, 4.0, 1.0], 0.8), 2.0)
    for low, value, high in zip(found.low, found.value, found.high, strict=True):
        assert low <= value <= high
    assert found.low.dip < found.value.dip < found.high.dip
    assert found.low.first < found.value.first < found.high.first


def test_measured_course__of_a_single_cluster_has_no_intervals():
    found = measured_course(STEPS, *samples([20.0, 10.0, 1.0, 0.1, 4.0, 1.0]), 2.0, np.zeros(300, int))
    assert found.value.dip == pytest.approx(0.1)
    assert np.isnan([*found.low, *found.high]).all()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (398.0, 700.0, (100, 1000)),
        (100.0, 100.0, (100, 100)),
        (50.0, np.inf, (10, np.inf)),
        (np.inf, np.inf, (100_000, np.inf)),
        (0.0, 0.0, (0, 0)),
    ],
)
def test_between__rounds_outward_to_checkpoints(low, high, expected):
    assert between(STEPS, low, high) == expected


@pytest.mark.slow
def test_coverage__of_times_dips_and_rises_is_near_95_percent():
    from bench.calibrations import courses

    shares = {row.quantity: [] for row in courses.rows(1)}
    for row in courses.rows(25):
        shares[row.quantity].append(row.share)
    for quantity, found in shares.items():
        assert np.mean(found) >= 0.90, quantity
