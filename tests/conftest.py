"""How tests are spread over processes: a file stays together, and so does the folder that shares one smoke run."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        shared = item.path.parent.name == "workflow"
        item.add_marker(pytest.mark.xdist_group("workflow" if shared else item.path.name))
