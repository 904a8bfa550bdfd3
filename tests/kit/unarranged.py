"""Figures without what takes most of their time, their layout and their files: for tests of everything else."""

import contextlib
from unittest import mock

from matplotlib.layout_engine import ConstrainedLayoutEngine

from twirlscope.report.figures import figure


@contextlib.contextmanager
def unarranged():
    """A context in which the axes of new figures stay where Matplotlib puts them first."""
    with mock.patch.object(ConstrainedLayoutEngine, "execute"):
        yield


@contextlib.contextmanager
def blank():
    """A context in which new figures are not laid out either, and their files are blank."""
    with unarranged(), mock.patch.object(figure, "rendered", return_value=b"<svg/>"):
        yield
