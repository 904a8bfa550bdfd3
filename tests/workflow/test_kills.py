"""Signals at random moments of a whole run; `make check-reliability` tries more of them, and other faults."""

import pytest

from bench.check_reliability import tried
from bench.faults import workflow_kills

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("fault", [f for f in workflow_kills.FAULTS if f.few], ids=lambda fault: fault.name)
def test_random_kills__and_then_a_clean_run_give_the_results_of_an_undisturbed_one(fault):
    row = tried(fault, fault.few)
    assert row.survived == fault.few, row.ends
