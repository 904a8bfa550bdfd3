"""Condition numbers: definitions, and marks of those that have not converged."""

import numpy as np
import pytest
import synthetic

from twirlscope.report.figures import style
from twirlscope.report.sections.curvature import condition_numbers, section
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


@pytest.mark.slow
def test_conditions__define_every_number_they_show_and_mark_what_has_not_converged():
    one = training()
    figure = condition_numbers.conditions(one, "condition")
    for measure in condition_numbers.SHOWN:
        assert str(one.hessian["definition"].sel(measure=measure).item()) in " ".join(condition_numbers.remarks(one))
    shown = one.hessian.sel(side="absolute", measure=list(condition_numbers.SHOWN))
    hollow = [
        len(line.get_xdata())
        for ax in figure.wide.axes
        for line in ax.lines
        if line.get_markerfacecolor() == "white" and line.get_marker() in style.MARKERS
    ]
    assert sum(hollow) == int((~shown["condition_converged"]).sum()) > 0
    assert set(figure.numbers.data["definition"]) == set(one.hessian["definition"].values)
    assert len(figure.numbers) == one.hessian["condition"].size
    bars = [c for ax in figure.wide.axes for c in ax.containers if c.has_yerr]
    assert sum(len(bar[0].get_xdata()) for bar in bars) == int(shown["condition_converged"].sum())


def test_numbers__that_have_not_converged_have_no_value_in_words_and_no_interval_anywhere():
    """A ratio from 1e-6 to 1e11 of numbers that have not converged says nothing."""
    one = training()
    data = one.hessian
    data["condition_converged"][:] = True
    data["condition_converged"].loc[{"part": "equiv", "measure": "kappa_E90"}] = False
    data["condition_ratio_low"].loc[{"measure": "kappa_E90"}] = 1e-6
    data["condition_ratio_high"].loc[{"measure": "kappa_E90"}] = 1e11
    sentence = section.curvature_sentence(one)
    assert "and not converged, which leaves their ratio open" in sentence
    assert sentence.count("a ratio of") == 1
    figure = condition_numbers.conditions(one, "condition")
    for text in (sentence, figure.alternative):
        assert "e-06" not in text
        assert "e+11" not in text
    rows = figure.numbers.data
    doubtful = (rows["measure"] == "kappa_E90") & (rows["part"] == "equiv")
    assert set(rows["note"][doubtful]) == {"not converged"}
    assert set(rows["note"][~doubtful]) == {""}
    assert rows["condition_error"][doubtful].isna().all()
    assert rows.loc[rows["measure"] == "kappa_E90", list(condition_numbers.RATIOS)].isna().all(axis=None)
    assert rows.loc[rows["measure"] == "kappa_GD10", list(condition_numbers.RATIOS)].notna().all(axis=None)
    assert float(data["condition_ratio_high"].sel(measure="kappa_E90").max()) == 1e11  # the store keeps it


def test_sentence__has_no_bar_of_zero_and_no_interval_without_groups_of_samples():
    one = training()
    data = one.hessian
    data["condition_converged"][:] = True
    data["condition_error"][:] = 0.0
    assert "± 0" not in section.curvature_sentence(one)
    assert "± 0" not in condition_numbers.conditions(one, "a").alternative
    assert "over probes, depth and samples" in section.curvature_sentence(one)
    data["condition_ratio_low"][:] = float("nan")
    assert "from too few probes or groups of samples for an interval" in section.curvature_sentence(one)


def test_table__has_a_column_for_every_group_of_the_samples():
    one = training()
    rows = condition_numbers.condition_numbers_of(one).data
    stored = one.hessian["condition_replicate"].sel(replicate="group 2").to_dataframe()["condition_replicate"]
    np.testing.assert_array_equal(rows["group_2"], stored)


def test_section__says_in_a_line_that_no_number_has_converged_and_what_would_help():
    one = training()
    one.hessian["condition_converged"][:] = False
    found = section.section([one])
    assert not [f for f in found.figures if f.name.startswith("condition_")]
    assert "lanczos_steps" in found.sentences[-1]
