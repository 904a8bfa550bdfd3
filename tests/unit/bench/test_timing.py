"""Timing of the benchmarks: rounds, intervals and exponents whose values are known."""

import numpy as np
import pytest
import timing
import torch
from scipy.stats import binom


@pytest.mark.parametrize("count", range(6, 40))
def test_median__has_the_narrowest_interval_of_order_statistics_that_holds_it_in_95_percent(count):
    """The number of values below the true median is binomial."""
    found = timing.median(np.random.default_rng(0).permutation(count))
    left_out = int(found.low)
    assert found.high == count - 1 - left_out
    assert 1 - 2 * binom.cdf(left_out, count, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(left_out + 1, count, 0.5) < 0.95
    assert found.value == (count - 1) / 2


def test_median__of_few_rounds_has_the_whole_range():
    assert timing.median([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert f"{timing.median([3.0, 1.0, 2.0]):.1f}" == "2.0 (1.0 to 3.0)"


def test_ratio__is_free_of_noise_that_both_sides_of_a_round_share():
    noise = np.exp(np.random.default_rng(0).normal(size=9))
    assert timing.ratio(3 * noise, noise) == pytest.approx((3, 3, 3))


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_exponent__of_a_power_law_is_its_power_whatever_the_noise_of_a_round(power):
    sizes, noise = np.array([2, 4, 8, 32]), np.exp(np.random.default_rng(0).normal(size=7))
    assert timing.exponent(sizes, sizes[:, None] ** power * noise) == pytest.approx((power,) * 3)


def test_interleaved__calls_everything_in_every_round_and_begins_each_with_another():
    calls = []
    found = timing.interleaved({name: lambda n=name: calls.append(n) for name in "abc"}, rounds=3, warm=1)
    rounds = ["".join(calls[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(one) == list("abc") for one in rounds)
    assert {one[0] for one in rounds[1:]} == set("abc")
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_seconds__are_those_of_the_processor():
    import time

    assert timing.cpu_seconds(lambda: time.sleep(0.3)) < 0.1


def test_peak__counts_what_lives_at_one_moment():
    def work():
        for _ in range(3):
            torch.zeros(1000, dtype=torch.float64)
        held = [torch.zeros(1000, dtype=torch.float64) for _ in range(2)]
        del held

    assert timing.peak_bytes(work) == 16_000


def test_machine__names_processor_cores_torch_and_date():
    assert {"cores", "torch"} <= set(timing.machine().replace(",", "").split())
    assert timing.machine().split(", ")[-1].count("-") == 2


def test_table__keeps_a_cell_in_its_line_and_column():
    assert timing.table(("a", "b"), [["x | y\nz", 1]]) == "| a | b |\n| --- | --- |\n| x / y z | 1 |\n"
