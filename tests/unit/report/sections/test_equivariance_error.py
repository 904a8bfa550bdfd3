"""Percentages, elements and reflections against the stores they are made from."""

import numpy as np
import pytest
import synthetic
import torch
import toys
from matplotlib.text import Text

from twirlscope.report.figures import style
from twirlscope.report.published.curves import reference_curves
from twirlscope.report.sections import equivariance_error, loss_curves, loss_parts
from twirlscope.report.trainings import PRIMARY, Training
from twirlscope.twirling import measure


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def texts(canvas):
    return [t.get_text() for t in canvas.findobj(Text)]


def test_percent__table_alternative_and_axis_agree_with_the_store():
    one = training()
    figure = equivariance_error.percent([one, training(seed=1)], PRIMARY, 2.0)
    rows = figure.numbers.data
    first = rows[(rows["seed"] == 0) & (rows["run"] == "small")]
    np.testing.assert_array_equal(first["percent_equiv"], one.twirl["percent_equiv"].sel(term="forces"))
    assert f"{one.twirl['percent_equiv'].sel(term='forces').values[-1]:.3g} % (small, seed " in figure.alternative
    assert {"0", "2 %", "published"} <= set(texts(figure.wide))


@pytest.mark.slow
def test_percent__has_the_published_curve_of_the_task_behind_and_a_drawing_without_it():
    one = training()
    figure = equivariance_error.percent([one], PRIMARY, 2.0)
    (published,) = reference_curves("force_field", "percent_equiv")
    mine = figure.numbers.data[figure.numbers.data["run"] == f"published: {published.label}"]
    np.testing.assert_array_equal(mine["percent_equiv"], published.value)
    np.testing.assert_array_equal(mine["step"], published.step)
    grey = [line for line in figure.wide.axes[0].lines if line.get_color() == style.PUBLISHED.colour]
    assert [len(line.get_xdata()) for line in grey if len(line.get_xdata())] == [len(published.step)]
    assert not [line for line in figure.plain[0].axes[0].lines if line.get_color() == style.PUBLISHED.colour]
    assert {"_plain.svg", "_plain_narrow.svg"} <= set(figure.files)
    assert "Grey: published" in figure.caption
    assert equivariance_error.percent([one], "energy", 2.0).plain is None  # nothing is published on energies


def test_percent__draws_checkpoints_that_have_not_learned_hollow():
    flags = [True, True, False]
    figure = equivariance_error.percent([training(steps=(0, 10, 100), trivial=flags)], "weighted", 2.0)
    hollow = [line for line in figure.wide.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[0, 10]]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [(0,), (3000,), (0, 3000), (5, 6), (0, 1, 10**6)])
def test_figures__can_be_drawn_from_any_checkpoints(steps):
    one = training(steps=steps)
    for figure in (equivariance_error.percent([one], "weighted", 2.0), loss_curves.losses([one], "energy")):
        for canvas in (figure.wide, figure.narrow, *(figure.plain or ())):
            assert style.rendered(canvas, "svg").startswith(b"<?xml")


def test_element_table__has_shares_that_add_up_and_names_of_elements():
    data = synthetic.twirl()
    shape = data.sizes["step"], 2
    data["element_loss_total"] = (("step", "element"), np.broadcast_to([3.0, 1.0], shape))
    data["element_loss_equiv"] = (("step", "element"), np.broadcast_to([0.03, 0.03], shape))
    rows = equivariance_error.element_table(
        [Training("a", 0, None, data.assign_coords(element=[1, 16]))]
    ).numbers.data.set_index("element")
    assert list(rows.index) == ["H", "S"]
    np.testing.assert_allclose(rows["total_share"], [75, 25])
    np.testing.assert_allclose(rows["equiv_share"], [50, 50])
    np.testing.assert_allclose(rows["percent"], [1, 3])
    assert equivariance_error.element_table([Training("a", 0, None, synthetic.twirl())]) is None


class Leaning(toys.Well):
    """A model with a small bias along a fixed direction, and a large error under reflections."""

    def forward(self, inputs):
        found, r = super().forward(inputs), inputs["positions"]
        chiral = torch.linalg.cross(r[:, :1], r[:, 1:2]) * (inputs["numbers"] > 0)[..., None]
        return found | {"forces": found["forces"] + 0.3 * chiral}


def test_reflections_and_other_losses__agree_with_the_measurement():
    task = toys.force_field(40)
    data = measure.measure(Leaning(0.8, (0.1, 0.0, 0.0)), task, np.arange(40)).expand_dims("step")
    one = Training("a", 0, None, data)
    frame = equivariance_error.reflection_table([one]).numbers.data.set_index("term")
    row, last = frame.loc["forces"], data.sel(term="forces").isel(step=0)
    assert row["rotations"] == float(last["percent_equiv"])
    assert row["reflections"] > 2 * row["rotations"]
    within = float(last["o3_loss_equiv"] - last["o3_reflection_error"])
    assert row["between"] == pytest.approx(100 - 100 * within / last["o3_loss_equiv"])
    assert "(" in equivariance_error.reflection_table([one]).shown.data["reflections"][0]
    other = loss_parts.convex_table([one]).numbers.data.set_index(["loss", "term"]).loc[("l2", "forces")]
    parts = other["mean"] + other["equiv"]
    assert parts == pytest.approx(other["total"], rel=1e-12)
    figure = equivariance_error.reflections([one], "forces")
    assert "never reflects" in figure.caption
    assert len(figure.numbers) == 1
    bare = Training("a", 0, None, synthetic.twirl())
    assert equivariance_error.reflection_table([bare]) is loss_parts.convex_table([bare]) is None
    assert equivariance_error.reflections([bare], "forces") is None
