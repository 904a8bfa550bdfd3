"""Contents of drawings, against the artists and the numbers that they were drawn from."""

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from twirlscope.report.figures import style
from twirlscope.report.figures.curves import curve
from twirlscope.report.figures.drawn import drawing
from twirlscope.report.figures.marks import of_seed

STEPS = np.array([0, 1, 10, 100, 1000])
VALUE = np.array([40.0, 30.0, 10.0, 3.0, 0.001])
HOLLOW = np.array([True, True, False, False, False])


def drawn(draw, panels=1):
    """The content of the wide drawing."""
    return drawing(style.canvases(draw, panels, 3.0)[0])


def one_curve(canvas, columns):
    """A curve whose last point lies below the axis, a threshold, and a legend."""
    ax = canvas.subplots()
    with of_seed(ax, 4):
        curve(ax, STEPS, (VALUE, 0.9 * VALUE, 1.2 * VALUE), style.look_of(1), HOLLOW)
    ax.axhline(2.0, color=style.BLACK, linestyle=style.DASHED, linewidth=1)
    style.log_axis(ax, VALUE[:-1], "error\n[%]")
    style.step_axis(ax, STEPS, "training step")
    line = Line2D([], [], color=style.BLACK, linestyle=style.DASHED, linewidth=1, label="2 %")
    white = Line2D([], [], color=style.GREY, marker="o", linestyle="none", markerfacecolor="white", label="not learned")
    style.legend(canvas, [*style.handles([style.look_of(1, "a run")]), line, white, style.band()])


def of_kind(panel, kind):
    return [mark for mark in panel.marks if mark.kind == kind]


def test_marks__have_the_words_the_seed_and_the_interval_of_the_curve():
    (panel,) = drawn(one_curve).panels
    points = of_kind(panel, "point")
    found = {(x, y): (low, high) for m in points for x, y, low, high in zip(m.x, m.y, m.low, m.high, strict=True)}
    assert {m.words for m in points} == {"a run"}
    assert {m.seed for m in points} == {"4"}
    assert sorted(found) == list(zip(STEPS[:-1], VALUE[:-1], strict=True))
    for (_, y), ends in found.items():
        np.testing.assert_allclose(ends, (0.9 * y, 1.2 * y))


def test_marks__that_are_hollow_have_a_white_face_and_the_words_of_the_grey_entry():
    (panel,) = drawn(one_curve).panels
    hollow = [m for m in of_kind(panel, "point") if m.look.face == "#ffffff"]
    assert [list(m.x) for m in hollow] == [[0, 1]]
    assert {m.note for m in hollow} == {"not learned"}
    assert {m.note for m in of_kind(panel, "point") if m not in hollow} == {""}


def test_points__below_the_axis_keep_their_value_at_the_edge():
    (panel,) = drawn(one_curve).panels
    (edge,) = of_kind(panel, "edge")
    assert (list(edge.x), list(edge.y)) == ([1000.0], [0.001])
    assert edge.look.marker == "v"
    assert edge.look.colour == style.look_of(1).colour.lower()
    assert panel.y.domain[0] > 0.001


def test_rule__is_named_by_the_entry_with_its_dashes():
    (panel,) = drawn(one_curve).panels
    (rule,) = of_kind(panel, "rule")
    assert (rule.words, rule.y[0]) == ("2 %", 2.0)


def test_step_axis__puts_zero_as_far_left_of_the_first_step_as_the_drawing_does():
    canvas = style.canvases(one_curve, 1, 3.0)[0]
    (panel,), (ax,) = drawing(canvas).panels, canvas.axes
    left, zero, first, last, right = (
        ax.transData.transform((x, 1.0))[0] for x in (ax.get_xlim()[0], 0, 1, 1000, ax.get_xlim()[1])
    )
    span = np.log10(panel.x.domain[1] / panel.x.domain[0])
    for x, place in ((panel.x.zero, zero), (1.0, first), (1000.0, last)):
        assert np.log10(x / panel.x.domain[0]) / span == pytest.approx((place - left) / (right - left), abs=1e-6)
    assert [text for _, text in panel.x.ticks][:2] == ["0", "1"]
    assert panel.x.label == "training step"


def test_legend__has_the_entries_row_by_row():
    looks = [style.look_of(i, f"a rather long name of run number {i}") for i in range(7)]

    def draw(canvas, columns):
        canvas.subplots().plot([1, 2], [1, 2], color=looks[0].colour)
        style.legend(canvas, style.handles(looks))

    canvas = style.canvases(draw, 1, 3.0)[0]
    assert canvas.legends[0]._ncols > 1
    assert [entry.words for entry in drawing(canvas).legend] == [look.words for look in looks]


def test_panels__without_a_label_have_that_of_their_row_or_column():
    def draw(canvas, columns):
        for panel in style.panels(canvas, 4, 2):
            panel.ax.plot([1, 2], [1, 2])
            panel.ax.set_ylabel(panel.y("loss"))
            panel.ax.set_xlabel(panel.x("step"))

    found = drawn(lambda canvas, columns: draw(canvas, 2), 4)
    assert [(p.x.label, p.y.label) for p in found.panels] == [("step", "loss")] * 4


def test_picture__has_no_content():
    def draw(canvas: Canvas, columns):
        canvas.subplots().imshow(np.eye(3))

    assert drawn(draw) is None
