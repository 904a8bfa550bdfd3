"""Interactive charts: the numbers that the page holds, and specifications that Vega draws like Matplotlib."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import synthetic
import vl_convert
from matplotlib.colors import to_hex
from unarranged import unarranged

from twirlscope.report.figures import chart_rows, vega
from twirlscope.report.sections import contents, equivariance_error, loss_curves
from twirlscope.report.sections.gradients import norms
from twirlscope.report.trainings import PRIMARY, Training
from twirlscope.settings.report import ReportSettings


def training(run="small", seed=0):
    data = synthetic.spectral(synthetic.twirl(seed=seed))
    stores = {"hessian": synthetic.hessian(), "gradient": synthetic.gradient(seed=seed)}
    return Training(run, seed, synthetic.train(300, seed), data, **stores)


TRAININGS = [training(), training(seed=1), training("other")]
FIGURES = {
    "percent": lambda: equivariance_error.percent(TRAININGS, PRIMARY, 2.0),
    "losses": lambda: loss_curves.losses(TRAININGS, PRIMARY),
    "ratio": lambda: norms.ratio(TRAININGS),
    "noise": lambda: norms.noise(TRAININGS),
}


@pytest.fixture(scope="module")
def figures():
    """The figures of all sections for two seeds of a run, with their charts and rows."""
    with unarranged():
        sections = contents.all_sections(TRAININGS[:2], ReportSettings(), {}, TRAININGS[:2], {}, contents.Findings())
    return [(figure, *page_of(figure)) for section in sections for figure in section.every_figure]


def page_of(figure):
    """The chart and the rows of the page; None and nothing of a picture."""
    found = vega.described(figure)
    if found is None:
        return None, None
    held = json.loads(chart_rows.packed(figure, found))
    columns = [c if isinstance(c, list) else [c["texts"][i] for i in c["codes"]] for c in held["columns"]]
    count = len(columns[-1])
    rows = {n: c or [None] * count for n, c in zip(chart_rows.COLUMNS, columns, strict=True)}
    return json.loads(vega.specification(figure, found)), pd.DataFrame(rows)


def look_of(chart, mark):
    """The look of a mark by its number."""
    return chart["looks"][chart["marks"][mark][1]]


def assembled(chart, rows, number, **parameters):
    """The specification of a panel as the page's script puts it together, 500 pixels wide."""
    panel = chart["panels"][number]
    spec = json.loads(vega.unit_as_json()) | {"encoding": panel["encoding"], "width": 500, "height": 300}
    for param in spec["params"]:
        param["value"] = (panel["places"] | parameters).get(param["name"], param["value"])
    data = [
        row | look_of(chart, row["mark"]) | {"id": i, "tip": "", "published": row["line"].startswith(vega.PUBLISHED)}
        for i, row in enumerate(rows.replace({np.nan: None}).to_dict("records"))
        if chart["marks"][row["mark"]][0] == number
    ]
    return spec | {"datasets": {"numbers": data}}


@pytest.mark.slow
def test_chart__has_data_colours_axes_and_legend_of_its_static_twin(figures):
    """The twin is read through Matplotlib's own methods, not through the module that makes the chart."""
    drawn = [(figure, chart, rows) for figure, chart, rows in figures if chart]
    assert len(drawn) > 10
    for figure, chart, rows in drawn:
        legends = [*figure.wide.legends, *(ax.get_legend() for ax in figure.wide.axes if ax.get_legend())]
        words = {text.get_text() for legend in legends for text in legend.get_texts()}
        assert {entry["words"] for entry in chart["legend"]} == words, figure.name
        for number, (ax, panel) in enumerate(zip(figure.wide.axes, chart["panels"], strict=True)):
            looks = [chart["looks"][look] for place, look in chart["marks"] if place == number]
            mine = rows[[chart["marks"][mark][0] == number for mark in rows["mark"]]]
            same_axes(ax, panel, figure.name)
            same_lines(ax, mine, looks, figure.name)


def same_axes(ax, panel, name):
    """Ranges, scales and ticks are those of the axes."""
    x, y = (panel["encoding"][a] for a in "xy")
    assert y["scale"]["domain"] == pytest.approx(sorted(ax.get_ylim())), name
    assert (y["scale"]["type"] == "log") == (ax.get_yscale() == "log"), name
    assert (x["scale"]["type"] == "log") == (ax.get_xscale() in ("log", "symlog")), name
    if ax.get_xscale() != "symlog":
        assert x["scale"]["domain"] == pytest.approx(sorted(ax.get_xlim())), name
    labels = [label for label in ax.get_yticklabels() if _within(label.get_position()[1], ax.get_ylim())]
    shown = {label.get_text() for label in labels}
    assert all(json.dumps(text, ensure_ascii=False) in y["axis"]["labelExpr"] for text in shown), name
    assert ax.get_ylabel().replace("\n", " ") in ("", y["axis"]["title"]), name


def _within(value, ends):
    return min(ends) <= value <= max(ends)


def same_lines(ax, rows, looks, name):
    """Every point of every line in coordinates of the data is in the rows, and every colour among the looks."""
    lines = [line for line in ax.lines if line.get_transform() == ax.transData and line.get_label() != "_edge"]
    lines = [line for line in lines if np.isfinite(np.asarray(line.get_ydata(), float)).any()]
    held = {
        (f"{x:.4g}", f"{y:.4g}") for x, y in zip(rows["x"], rows["y"], strict=True) if x is not None and y is not None
    }
    held = {(float(x), float(y)) for x, y in held}
    for line in lines:
        x, y = (np.asarray(values, float) for values in line.get_data())
        points = {
            (float(f"{a:.4g}"), float(f"{b:.4g}"))
            for a, b in zip(x, y, strict=True)
            if np.isfinite(a) and np.isfinite(b)
        }
        assert len(points - held) <= 0.02 * len(points), (name, sorted(points - held)[:3])
    assert {to_hex(line.get_color()) for line in lines} <= {look["colour"] for look in looks}, name


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_points__stand_where_matplotlib_puts_them(name):
    figure = FIGURES[name]()
    chart, rows = page_of(figure)
    spec = assembled(chart, rows, 0)
    spec["layer"] = [layer for layer in spec["layer"] if layer["transform"][0]["filter"] == "datum.kind == 'point'"]
    del spec["layer"][0]["mark"]["clip"]
    spec["layer"][0]["params"] = [{"name": "zoom", "select": "interval", "bind": "scales"}]
    places = re.findall(r'transform="translate\(([-\d.]+),([-\d.]+)\)" d="M', vl_convert.vegalite_to_svg(spec))
    mine = np.array([[float(x) / 500, 1 - float(y) / 300] for x, y in places])
    ax = figure.wide.axes[0]
    lines = [line for line in ax.lines if line.get_marker() not in ("None", "", None) and line.get_label() != "_edge"]
    xy = np.concatenate([line.get_xydata() for line in lines if isinstance(line.get_marker(), str)])
    theirs = ax.transAxes.inverted().transform(ax.transData.transform(xy[np.isfinite(xy).all(1)]))
    theirs = theirs[theirs[:, 1] >= 0]
    assert len(mine) == len(theirs) > 5
    np.testing.assert_allclose(np.sort(mine[:, 0]), np.sort(theirs[:, 0]), atol=0.005)
    np.testing.assert_allclose(np.sort(mine[:, 1]), np.sort(theirs[:, 1]), atol=0.005)


@pytest.mark.slow
def test_chart__of_published_curves_is_drawn_until_the_reader_hides_them():
    for name in ("percent", "losses"):
        chart, rows = page_of(FIGURES[name]())
        assert rows["line"].str.startswith(vega.PUBLISHED).any()
        paths = [
            vl_convert.vegalite_to_svg(assembled(chart, rows, 0, published=shown)).count("<path")
            for shown in (True, False)
        ]
        assert paths[0] > paths[1] > 10
        assert len(chart["plain"]) == len(chart["panels"])
        ends = [panels[0]["encoding"]["x"]["scale"]["domain"][1] for panels in (chart["plain"], chart["panels"])]
        assert ends[0] < ends[1]


def test_rows__have_a_heading_in_every_column(figures):
    for figure, *_ in figures:
        heads = json.loads(chart_rows.packed(figure, vega.described(figure)))["heads"]
        assert all(head.strip() for head in heads), figure.name


@pytest.mark.slow
def test_every_chart__is_drawn_by_vega(figures):
    for _, chart, rows in figures:
        for number in {0, len(chart["panels"]) - 1} if chart else ():
            assert vl_convert.vegalite_to_svg(assembled(chart, rows, number)).count("<path") > 5


@pytest.mark.slow
def test_rows__of_the_table_come_first_and_hold_the_numbers_of_the_store():
    figure = FIGURES["losses"]()
    chart, rows = page_of(figure)
    shown = rows[: json.loads(chart_rows.packed(figure, vega.described(figure)))["rows"]]
    assert {look_of(chart, mark)["kind"] for mark in shown["mark"]} <= {"point", "edge", "line"}
    mine = shown[(shown["panel"] == "small") & (shown["seed"] == "1") & (shown["line"] == "equivariance error")]
    data = TRAININGS[1].twirl.sel(term="forces")
    mine = mine.sort_values("x")
    np.testing.assert_allclose(mine["x"], data["step"])
    for name, stored in (("y", ""), ("low", "_low"), ("high", "_high")):
        np.testing.assert_allclose(mine[name].astype(float), data[f"loss_equiv{stored}"], rtol=1e-3)


def test_spectrum__has_no_degree_zero(figures):
    for figure, _, rows in figures:
        if figure.name.startswith("spectrum_"):
            assert rows.loc[rows["x"].notna(), "x"].min() >= 1


def test_packed__is_safe_in_a_script_element_and_valid_json():
    figure = loss_curves.losses([training("</script><b>")], "forces")
    text = chart_rows.packed(figure, vega.described(figure))
    assert "<" not in text
    assert "<" not in vega.specification(figure, vega.described(figure))
    assert "Infinity" not in text
    assert json.loads(text)["rows"] > 5


def test_bundle__is_one_script_without_a_closing_tag_that_defines_one_name():
    text = vega.bundle()
    assert text.startswith("(() => {")
    assert text.rstrip().endswith("})();")
    assert "window.vegaEmbed=" in text
    assert "</script" not in text
