"""Faults of whole runs, a few of each; `make check-reliability` tries more."""

import importlib
from unittest import mock

import pytest

from bench import check_reliability

pytestmark = pytest.mark.timeout(1200)
FAULTS = [
    f for name in check_reliability.names() if name.startswith("workflow") for f in check_reliability.faults(name)
]


@pytest.fixture(scope="module", autouse=True)
def _undisturbed(project, tmp_path_factory):
    """The run without a fault is the smoke run, less what it has beside."""
    kills = importlib.import_module("faults.workflow_kills")
    small = kills.smaller(project, tmp_path_factory.mktemp("small"))
    with mock.patch.object(kills, "undisturbed", return_value=small):
        yield


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.few], ids=lambda fault: fault.name)
def test_fault__of_a_whole_run_is_survived(fault):
    row = check_reliability.tried(fault, fault.few)
    assert row.survived == fault.few, row.ends
