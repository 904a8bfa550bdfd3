"""The command that simulates the coverage of intervals: its table, and a small run of every calibration."""

import pytest

from bench import calibrate
from bench.calibrations.row import Row, covering


def test_table__has_the_share_its_error_and_the_count_of_every_row():
    rows = [covering("mean", "normal", "9 samples", [True] * 90 + [False] * 10), Row("a", "b", "c", "95 %", 0.0, 0)]
    text = calibrate.table(rows).splitlines()
    assert text[2] == "| mean | normal | 9 samples | 95 % | 90.0 ± 3.0 % of 100 |"
    assert text[3] == "| a | b | c | 95 % | none of them |"


@pytest.mark.parametrize("name", calibrate.names())
def test_calibration__of_few_simulations_is_within_their_noise_of_what_is_expected(name):
    """A share of 95 % from n simulations has a standard error of 0.22 / sqrt(n); intervals here are not exact."""
    repeats = 8
    for row in calibrate.measured([name], repeats):
        assert 0 <= row.share <= 1
        if row.expected == "at most 5 %":
            assert row.share <= 0.05 + 3 * 0.22 / max(row.count, 1) ** 0.5, row
        else:
            assert row.share >= 0.5, row
