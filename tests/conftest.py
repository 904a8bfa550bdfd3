"""How tests are spread over processes: a file stays together, and so do the files that share one smoke run."""

import pytest


def pytest_collection_modifyitems(items):
    shared = {item.path for item in items if "project" in item.fixturenames}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("project" if item.path in shared else item.path.name))
