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
        package: of the extra `external-tests`, which may be installed in the environment `external` or in this one.
    """
    folder = os.environ.get("TWIRLSCOPE_EXTERNAL")
    for name in (environment, *(["external"] if package else [])):
        found = Path(folder or "").absolute() / name / "bin" / "python"
        if folder and found.exists():
            return str(found)
    if package and importlib.util.find_spec(package):
        return sys.executable
    reason = f"no environment {environment} in {folder}" if folder else "TWIRLSCOPE_EXTERNAL names no folder"
    pytest.skip(f"{reason}, and no {package} here (extra `external-tests`)" if package else reason)
    raise AssertionError("a skipped test goes on")
