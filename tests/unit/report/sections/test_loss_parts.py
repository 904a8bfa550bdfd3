import numpy as np
import pytest
import synthetic
from matplotlib.text import Text

from twirlscope.report.figures import curves, style
from twirlscope.report.sections import equivariance_error, loss_parts
from twirlscope.report.sections.curvature import condition_numbers, density, eigenvalues, spectra
from twirlscope.report.sections.training import training_curves
from twirlscope.report.trainings import Training, terms_of


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def texts(canvas):
    return [t.get_text() for t in canvas.findobj(Text)]


def test_losses__table_holds_the_numbers_of_the_store():
    one = training()
    table = loss_parts.losses([one], "forces").table
    for part in ("total", "mean", "equiv"):
        np.testing.assert_array_equal(table[f"loss_{part} [1]"], one.twirl[f"loss_{part}"].sel(term="forces"))
        np.testing.assert_array_equal(table[f"loss_{part}_high [1]"], one.twirl[f"loss_{part}_high"].sel(term="forces"))
    np.testing.assert_allclose(table["loss_mean [1]"] + table["loss_equiv [1]"], table["loss_total [1]"], rtol=1e-12)


def test_losses__says_how_many_estimates_a_logarithmic_axis_hides():
    one = training()
    one.twirl["loss_mean"][-1] = -0.01
    assert "1 estimates at or below zero" in loss_parts.losses([one], "forces").caption


def test_percent__table_alternative_and_axis_agree_with_the_store():
    one = training()
    figure = equivariance_error.percent([one, training(seed=1)], "weighted", 2.0)
    first = figure.table[figure.table["seed"] == 0]
    np.testing.assert_array_equal(first["percent_equiv [percent]"], one.twirl["percent_equiv"].sel(term="weighted"))
    assert f"{one.twirl['percent_equiv'].sel(term='weighted').values[-1]:.3g} % at step 3000" in figure.alternative
    assert {"0", "1k", "2 %"} <= set(texts(figure.wide))


def test_percent__draws_trivial_points_hollow():
    flags = [True, True, False]
    figure = equivariance_error.percent([training(steps=(0, 10, 100), trivial=flags)], "weighted", 2.0)
    hollow = [line for line in figure.wide.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[0, 10]]


@pytest.mark.parametrize("steps", [(0,), (3000,), (0, 3000), (5, 6), (0, 1, 10**6)])
def test_figures__can_be_drawn_from_any_checkpoints(steps):
    one = training(steps=steps)
    for figure in (equivariance_error.percent([one], "weighted", 2.0), loss_parts.losses([one], "energy")):
        assert figure.files[".svg"].startswith(b"<?xml")
        assert style.rendered(figure.narrow, "svg")


def test_training_curves__mean_of_bins_is_the_mean_of_the_curve():
    one = training()
    table = training_curves([one]).table
    width = np.diff([0, *table["update [1]"]])
    assert table["update [1]"].iloc[-1] == one.train.sizes["update"]
    np.testing.assert_allclose(np.average(table["loss [1]"], weights=width), one.train["loss"].mean(), rtol=1e-6)


def test_beyond__counts_each_side_of_zero_and_both_make_up_one():
    data = synthetic.hessian().sel(step=100, part="equiv", curvature="hessian")
    weight = data["ritz_weight_deflated"].mean("probe")
    sides = [spectra.beyond(data, sign) for sign in (1, -1)]
    assert sum(side.share[0] for side in sides) == pytest.approx(1)
    middle = float(np.median(sides[0].value))
    expected = float(weight[data["ritz_value"] >= middle].sum())
    assert sides[0].share[sides[0].value >= middle][0] == pytest.approx(expected)
    assert (np.diff(sides[0].share) <= 1e-15).all()


def test_beyond__leaves_out_padding():
    data = synthetic.hessian().sel(step=100, part="equiv", curvature="hessian").copy(deep=True)
    whole = spectra.beyond(data, 1)
    padded = spectra.beyond(data.pad(ritz=(0, 3)), 1)
    np.testing.assert_array_equal(whole.share, padded.share)


def test_eigenvalues__table_holds_the_numbers_of_the_store():
    one = training()
    table = eigenvalues.eigenvalues([one]).table
    row = table[(table["step [1]"] == 100) & (table["part"] == "equiv") & (table["rank [1]"] == 1)]
    row = row[row["curvature"] == "hessian"]
    assert (
        row["eigenvalue_top [1]"].item()
        == one.hessian["eigenvalue_top"].sel(step=100, part="equiv", curvature="hessian")[0]
    )


def test_figures__have_the_same_bytes_twice_and_text_as_text():
    first, again = (equivariance_error.percent([training(run="a $x$ & <b>")], "weighted", 2.0) for _ in range(2))
    for kind in ("svg", "pdf"):
        assert style.rendered(first.wide, kind) == style.rendered(again.wide, kind)
        assert first.wide.get_layout_engine() is None  # a file does not lay the figure out again
    assert "training step" in first.files[".svg"].decode()
    assert "a $x$ &amp; &lt;b&gt;" in first.files[".svg"].decode()


def test_colours__of_runs_differ_also_in_line_and_marker():
    looks = [curves.look_of(i) for i in range(7)]
    assert len({(str(line), marker) for _, line, marker in looks}) == 7
    assert len({colour for colour, _, _ in looks}) == 7


def test_terms_of__puts_the_weighted_sum_first():
    assert terms_of([training()]) == ["weighted", "forces", "energy"]


def test_log_ticks__are_inside_and_enough():
    for low, high in ((0.3, 0.9), (1e-9, 1e3), (5, 6), (1, 10), (0.011, 0.012)):
        ticks = style.log_ticks(float(low), float(high), 6)
        assert 1 <= len(ticks) <= 8


def test_densities__integrate_to_one_over_the_axis_and_to_the_weights_on_each_side():
    one = training()
    table = density.densities(one, "density").table
    limit = density.EDGE * float(abs(one.hessian["ritz_value"]).max())
    for (step, matrix, part), rows in table.groupby(["step [1]", "curvature", "part"]):
        x = np.arcsinh(rows["eigenvalue [1]"].values / (limit * 1e-6))
        assert np.trapezoid(rows["density [1]"], x) == pytest.approx(1, abs=1e-3)
        data = one.hessian.sel(step=step, curvature=matrix, part=part)
        large = data["ritz_value"].values > 1e-3 * limit
        right = rows["eigenvalue [1]"].values > 1e-3 * limit
        weight = data["ritz_weight_deflated"].values[large].sum(0).mean()
        assert np.trapezoid(rows["density [1]"][right], x[right]) == pytest.approx(weight, rel=0.5, abs=1e-3)


def test_conditions__define_every_number_they_show_and_mark_what_has_not_converged():
    one = training()
    figure = condition_numbers.conditions(one, "condition")
    for measure in condition_numbers.SHOWN:
        assert str(one.hessian["definition"].sel(measure=measure).item()) in figure.caption
    shown = one.hessian.sel(side="absolute", measure=list(condition_numbers.SHOWN))
    hollow = [
        len(line.get_xdata())
        for ax in figure.wide.axes
        for line in ax.lines
        if line.get_markerfacecolor() == "white" and line.get_marker() in style.MARKERS
    ]
    assert sum(hollow) == int((~shown["condition_converged"]).sum()) > 0
    assert set(figure.table["definition"]) == set(one.hessian["definition"].values)
    assert len(figure.table) == one.hessian["condition"].size
    assert "(not converged)" in figure.alternative


def test_figures__explain_the_negative_tail_where_the_mean_part_is_corrected_and_only_there():
    one, other = training(), training()
    other = Training("other", 0, other.train, other.twirl, synthetic.hessian(independent=True))
    for draw in (density.densities, spectra.spectra, condition_numbers.conditions):
        assert "made by the correction" in draw(other, "a").caption
        assert "correction" not in draw(one, "a").caption
    assert "not corrected" in " ".join(texts(spectra.spectra(other, "a").wide))


def test_eigenvalues__draws_what_has_not_converged_hollow():
    one = training()
    hessian = one.hessian.sel(curvature="hessian")
    doubtful = sum(int((~hessian[f"{end}_converged"]).sum()) for end in eigenvalues.ENDS)
    lines = [line for ax in eigenvalues.eigenvalues([one]).wide.axes for line in ax.lines]
    assert sum(len(line.get_xdata()) for line in lines if line.get_markerfacecolor() == "white") == doubtful
