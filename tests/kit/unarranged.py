"""Figures without what takes most of their time, their layout and their files: for tests of everything else."""

import contextlib
from unittest import mock

from matplotlib.layout_engine import ConstrainedLayoutEngine

from twirlscope.report.figures import figure
from twirlscope.report.figures.style import NARROW


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


@contextlib.contextmanager
def wide_drawings():
    """A context in which no more than the wide drawing of a figure is drawn: a page only names the other files."""
    rendered = figure.rendered

    def of_page(canvas, kind):
        return rendered(canvas, kind) if kind == "svg" and canvas.get_figwidth() > NARROW else kind.encode()

    with mock.patch.object(figure, "rendered", of_page):
        yield
