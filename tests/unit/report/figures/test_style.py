"""Files of figures, looks and ticks."""

import contextlib

import numpy as np
import pytest
import synthetic

from twirlscope.report.figures import style
from twirlscope.report.sections import equivariance_error
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


@pytest.mark.slow
def test_figures__have_the_same_bytes_twice_and_text_as_text():
    first, again = (equivariance_error.percent([training(run="a $x$ & <b>")], "weighted", 2.0) for _ in range(2))
    for kind in ("svg", "pdf"):
        assert style.rendered(first.wide, kind) == style.rendered(again.wide, kind)
        assert first.wide.get_layout_engine() is None  # a file does not lay the figure out again
    assert "training step" in first.files[".svg"].decode()
    assert "a $x$ &amp; &lt;b&gt;" in first.files[".svg"].decode()


def test_colours__of_runs_differ_also_in_line_and_marker():
    looks = [style.look_of(i) for i in range(7)]
    assert len({(str(line), marker) for _, line, marker, _ in looks}) == 7
    assert len({colour for colour, *_ in looks}) == 7


def test_log_ticks__are_inside_and_enough():
    for low, high in ((0.3, 0.9), (1e-9, 1e3), (5, 6), (1, 10), (0.011, 0.012)):
        ticks = style.log_ticks(float(low), float(high), 6)
        assert 1 <= len(ticks) <= 8


def test_layout__is_the_same_with_minor_ticks_which_are_in_the_figure_afterwards(monkeypatch):
    def draw(canvas, columns):
        for panel in style.panels(canvas, 2, columns):
            panel.ax.plot([1, 10, 500], [1, 2, 3], label="a")
            style.step_axis(panel.ax, np.array([0, 1, 10, 500]))
        style.legend(canvas, style.handles(style.shades(["a", "b"])))

    plain = style.canvases(draw, 2, 2.0)
    monkeypatch.setattr(style, "_major_ticks", lambda canvas: contextlib.nullcontext())
    for one, other in zip(plain, style.canvases(draw, 2, 2.0), strict=True):
        assert len(one.axes[0].xaxis.get_minorticklocs()) > 10
        assert style.rendered(one, "svg") == style.rendered(other, "svg")


@pytest.mark.parametrize("count", [1, 5, 21])
@pytest.mark.parametrize("words", ["a run", "augment, then equiv_penalty share 0.25 weight 4 from 80 %"])
def test_legend__of_many_entries_covers_no_panel(count, words):
    looks = [style.look_of(i, words if i % 5 == 3 else f"run {i}") for i in range(count)]

    def draw(canvas, columns):
        for ax in canvas.subplots(-(-2 // columns), columns, squeeze=False).ravel():
            ax.plot([1, 2])
            ax.set_ylabel("held-out loss")
        style.legend(canvas, style.handles(looks))

    for canvas in style.canvases(draw, 2, 3.0):
        legend = canvas.legends[0].get_window_extent()
        assert legend.x1 <= canvas.bbox.x1
        for ax in canvas.axes:
            assert not legend.overlaps(ax.get_tightbbox())
            assert ax.get_window_extent().height > 0.6 * 3.0 * canvas.dpi, "panels keep their height"
