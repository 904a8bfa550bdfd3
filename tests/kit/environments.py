"""Pythons of other packages' environments, for tests that need them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest


def python_of(environment: str, package: str = "") -> str:
    """A Python that has the packages of envs/external/<environment>.yaml; the test is skipped without one.

    Args:
        package: of the extra `external-tests`, which may be installed in this environment.
    """
    folder = os.environ.get("TWIRLSCOPE_EXTERNAL")
    found = Path(folder or "").absolute() / environment / "bin" / "python"
    if folder and found.exists():
        return str(found)
    if package and importlib.util.find_spec(package):
        return sys.executable
    reason = f"no environment {found}" if folder else "TWIRLSCOPE_EXTERNAL names no folder of environments"
    pytest.skip(f"{reason}, and no {package} here (extra `external-tests`)" if package else reason)
    raise AssertionError("a skipped test goes on")
