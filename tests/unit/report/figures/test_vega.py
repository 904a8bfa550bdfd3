"""Interactive charts: the numbers that the page holds, and specifications that Vega can draw."""

import json

import numpy as np
import pandas as pd
import pytest
import synthetic
import vl_convert

from twirlscope.report.figures import vega
from twirlscope.report.figures.figure import Chart
from twirlscope.report.numbers import Column, numbers
from twirlscope.report.sections import equivariance_error, loss_curves
from twirlscope.report.sections.gradients import norms
from twirlscope.report.trainings import Training


def training(run="small", seed=0):
    return Training(run, seed, None, synthetic.twirl(seed=seed), gradient=synthetic.gradient(seed=seed))


def published_task(run="small"):
    """A training on a task with published curves, which are part of its figures."""
    return Training(run, 0, synthetic.train(300, 0), synthetic.twirl())


TRAININGS = [training(), training(seed=1), training("other")]
PUBLISHED = [published_task(), published_task("other")]
FIGURES = {
    "percent": lambda: equivariance_error.percent(TRAININGS, "weighted", 2.0),
    "losses": lambda: loss_curves.losses(TRAININGS, "energy"),
    "ratio": lambda: norms.ratio(TRAININGS),
    "noise": lambda: norms.noise(TRAININGS),
    "norms": lambda: norms.norms(TRAININGS),
    "percent_published": lambda: equivariance_error.percent(PUBLISHED, "forces", 2.0),
    "losses_published": lambda: loss_curves.losses(PUBLISHED, "forces"),
}


def unpacked(figure):
    """The packed numbers, and the points that the page's script makes of them."""
    held = json.loads(vega.packed(figure))
    columns = [c if isinstance(c, list) else [c["texts"][i] for i in c["codes"]] for c in held["columns"]]
    return held, pd.DataFrame(dict(zip(("panel", "line", "seed", "x", "y", "low", "high"), columns, strict=True)))


def test_points__of_several_series_are_lines_of_one_panel_per_run():
    _, rows = unpacked(FIGURES["losses"]())
    assert set(rows["line"]) == {"total loss", "twirled prediction error", "equivariance error"}
    assert set(rows["panel"]) == {"small", "other"}
    mine = rows[(rows["panel"] == "small") & (rows["seed"] == "1") & (rows["line"] == "equivariance error")]
    data = TRAININGS[1].twirl.sel(term="energy")
    np.testing.assert_allclose(mine["x"], data["step"])
    for name, stored in (("y", ""), ("low", "_low"), ("high", "_high")):
        np.testing.assert_allclose(mine[name], data[f"loss_equiv{stored}"], rtol=1e-3)


def test_points__of_one_series_are_one_line_per_run_with_the_ends_of_its_standard_error():
    table = pd.DataFrame({"run": ["a", "b"], "x": [1, 2], "value": [3.0, np.nan], "error": [0.5, 1.0]})
    rows = vega.points(Chart("x", {"value": ("value", "error")}, "value"), numbers(table))
    assert rows.values.tolist() == [["", "a", "0", 1.0, 3.0, 2.5, 3.5]]


def test_points__name_the_quantity_of_a_numeric_label():
    table = pd.DataFrame({"run": ["a", "a"], "step": [1, 2000], "x": [1, 2], "value": [3.0, 4.0]})
    chart = Chart("x", {"value": ("value",)}, "value", by=("step",), panel=("run",))
    rows = vega.points(chart, numbers(table, [Column("step", "training step", "1")]))
    assert rows["line"].tolist() == ["training step 1", "training step 2000"]


def test_packed__is_safe_in_a_script_element_and_valid_json():
    figure = FIGURES["percent"]()
    figure.numbers.data["run"] = "</script><b>"
    figure.numbers.data.iloc[0, 4] = np.inf
    text = vega.packed(figure)
    assert "<" not in text
    assert "Infinity" not in text
    assert json.loads(text)["columns"][1]["texts"] == ["</script><b>"]


@pytest.mark.parametrize("name", FIGURES)
def test_specification__is_drawn_by_vega_with_every_line_in_the_legend(name):
    figure = FIGURES[name]()
    spec, (_, rows) = json.loads(vega.specification(figure)), unpacked(figure)
    rows = rows.replace({np.nan: None})
    whole = spec | {"datasets": {"numbers": rows.to_dict("records")}, "width": 500}
    drawn = vl_convert.vegalite_to_svg(whole)
    assert drawn.count("<path") > len(set(rows["line"])) * 3
    assert all(f">{line}<" in drawn for line in set(rows["line"]))


@pytest.mark.parametrize("name", ["percent_published", "losses_published"])
def test_specification__draws_published_curves_until_the_reader_hides_them(name):
    figure = FIGURES[name]()
    spec, (_, rows) = json.loads(vega.specification(figure)), unpacked(figure)
    assert rows["line"].str.startswith(vega.PUBLISHED).any()
    (hide,) = (p for p in spec["params"] if p["name"] == "published")
    paths = {}
    for hide["value"] in (True, False):
        whole = spec | {"datasets": {"numbers": rows.replace({np.nan: None}).to_dict("records")}, "width": 500}
        paths[hide["value"]] = vl_convert.vegalite_to_svg(whole).count("<path")
    assert paths[True] > paths[False] > 10


@pytest.mark.parametrize(("low", "high"), [(1e-9, 1e3), (0.9, 1.1), (3, 4000)])
def test_ticks__are_few_and_reach_over_the_values(low, high):
    ticks = vega.log_ticks(pd.Series([0, low, high]), (1, 2, 5))
    assert ticks[0] == 0
    assert 3 <= len(ticks) <= 20
    assert ticks[1] <= low * 1.01
    assert ticks[-1] * 100 > high


def test_ticks__of_nothing_positive_is_zero():
    assert vega.log_ticks(pd.Series([0.0]), (1,)) == [0]


def test_bundle__is_one_script_without_a_closing_tag_that_defines_one_name():
    text = vega.bundle()
    assert text.startswith("(() => {")
    assert text.rstrip().endswith("})();")
    assert "window.vegaEmbed=" in text
    assert "</script" not in text
