"""One smoke run of the whole workflow, from a copy of the project, shared by the tests of this folder that want it."""

from pathlib import Path

import pytest
from copies import ROOT, Project, copy_code

QUICK = ("test_workflow.py", "test_default.py")


@pytest.fixture
def blank(tmp_path) -> Project:
    """A copy of the project, nothing run."""
    copy_code(ROOT, tmp_path / "code")
    return Project(tmp_path / "code", tmp_path / "work")


@pytest.hookimpl(tryfirst=True)  # before marks choose
def pytest_collection_modifyitems(items):
    """Files other than those of the smoke run are slow; the first test that wants it waits minutes, more if busy."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in QUICK:
            item.add_marker(pytest.mark.slow)
        if "project" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Project:
    """The smoke run, done."""
    code = tmp_path_factory.mktemp("code") / "twirlscope"
    copy_code(ROOT, code)
    made = Project(code, tmp_path_factory.mktemp("work"))
    made.printed = made.snakemake().output
    return made
