"""Tables and sentences of courses against the losses they are made from."""

import numpy as np
import pytest
import synthetic

from twirlscope.estimators.course import course
from twirlscope.report.figures import style
from twirlscope.report.published.curves import published_curves
from twirlscope.report.sections.course import courses, figures, section, tables, weightings
from twirlscope.report.trainings import Training

STEPS = (0, 10, 100, 1000, 10000)


def training(percents=(40.0, 20.0, 1.0, 5.0, 3.0), run="a", task="force_field", learned_from=0, time=None):
    """A training with these percentages, equal for all samples but for 2 %."""
    made = synthetic.claimed(1.0, run=run, task=task)
    data = made.twirl.isel(sample=np.resize(np.arange(made.twirl.sizes["sample"]), 120))
    share = np.array(percents)[:, None, None] / 100 * (1 + 0.02 * np.resize([-1.0, 1.0], 120))
    dims = ("step", "term", "sample")
    data = data.assign(sample_loss_equiv=(dims, share), sample_loss_mean=(dims, 1 - share))
    data = data.assign(cluster=("sample", np.arange(120)), trivial=data["trivial"] | (data["step"] < learned_from))
    if time is not None:
        data = data.assign(sample_covariate=("sample", time)).assign_attrs(covariate="time on the path")
    return Training(run, 0, made.train, data, dataset="md")


def test_course_table__has_times_as_ranges_of_checkpoints_and_the_rest_with_intervals():
    table = tables.course_table([training()], 2.0)
    (row,) = table.numbers.data.to_dict("records")
    assert (row["start"], row["end"]) == (pytest.approx(40), pytest.approx(3))
    assert (row["dip"], row["dip_step"], row["highest"], row["highest_step"]) == (
        pytest.approx(1),
        100,
        pytest.approx(5),
        1000,
    )
    assert (row["first_from"], row["first_to"]) == (10, 100)
    assert (row["last_from"], row["last_to"]) == (10000, np.inf)
    assert row["dip_low"] < row["dip"] < row["dip_high"]
    (shown,) = table.shown.data.to_dict("records")
    assert (shown["first"], shown["last"]) == ("10 to 100", "after 10000")
    assert shown["dip"].endswith("\nat 100")


def test_course_table__counts_checkpoints_that_have_learned():
    (row,) = tables.course_numbers([training(learned_from=100)], 2.0).data.to_dict("records")
    assert row["start"] == pytest.approx(1)
    assert tables.range_words(row["first_from"], row["first_to"]) == "by 100"
    assert tables.course_table([training(learned_from=20000)], 2.0) is None
    assert tables.sentences([training(learned_from=20000)], 2.0) == []


def test_sentence__says_when_and_how_low_and_how_high_again():
    (said,) = tables.sentences([training()], 2.0)
    assert "from 40 % at step 0, first at 2 % or less in steps 10 to 100; lowest 1 % at step 100" in said
    assert "then up to 5 % at step 1000; 3 % at the end." in said


def test_time_bins__hold_every_sample_once_and_the_times_of_published_curves():
    time = np.linspace(0, 1, 120)
    flow = training(task="flow_matching", time=time)
    bins = courses.time_bins(flow)
    np.testing.assert_array_equal(sum(b.chosen for b in bins), 1)
    for one in bins:
        words = one.words.split()
        assert time[one.chosen].min() >= float(words[1])
        assert time[one.chosen].max() <= float(words[3])
    assert [courses.bin_of(t) for t in (0.0, 0.2, 0.3, 0.84, 0.85, 0.99, 1.0)] == [
        "t 0 to 0.3", "t 0 to 0.3", "t 0.3 to 0.5", "t 0.7 to 0.85", "t 0.85 to 1", "t 0.85 to 1", "t 0.85 to 1",
    ]  # fmt: skip
    assert courses.time_bins(training()) == []
    assert len(tables.course_numbers([flow], 2.0)) == 1 + len(bins)


@pytest.mark.slow
def test_by_time__has_the_samples_of_every_bin_and_the_published_times():
    flow = training(task="flow_matching", time=np.linspace(0, 1, 120))
    figure = figures.by_time([flow], 2.0)
    rows = figure.numbers.data
    mine = rows[rows["run"] == "a"]
    assert mine.groupby("step")["samples"].sum().tolist() == [120] * len(STEPS)
    np.testing.assert_allclose(mine[mine["step"] == 10000]["percent_equiv"], 3, rtol=0.02)
    published = rows[rows["run"].str.startswith("published")]
    assert set(published["time"]) == {b.words for b in courses.time_bins(flow)}
    assert figures.by_time([training()], 2.0) is None
    assert style.rendered(figure.wide, "svg").startswith(b"<?xml")


def test_published_table__is_calculated_from_the_packaged_curves():
    found = tables.published_numbers(["voxel_denoising"], 2.0).data.set_index("training")
    curves = published_curves("voxel_denoising", "percent_equiv")
    assert len(found) == len(curves)
    for curve in curves:
        row, exact = found.loc[curve.label], course(curve.step, curve.value, 2.0)
        assert row["end"] == curve.value[-1]
        assert row["dip"] == pytest.approx(float(exact.dip))
        assert np.isinf(row["first_to"]) == np.isinf(exact.first)
    assert tables.published_numbers(["another"], 2.0) is None


def test_weightings__agree_where_all_samples_have_one_share_and_plug_in_is_smaller():
    one = training()
    row = weightings.weighting_numbers([one], 8).data.iloc[0]
    K = int(one.twirl.attrs["rotations"])
    assert row["batches"] == pytest.approx(row["ratio"], rel=0.01)
    assert row["plugin"] == pytest.approx(row["ratio"] * (K - 1) / K)
    assert row["ratio"] == pytest.approx(3)


def test_weightings__of_the_clean_chain_weigh_samples_by_the_square_of_the_rest_of_the_time():
    time = np.linspace(0, 0.99, 120)
    flow = training(task="flow_matching", time=time)
    row = weightings.weighting_numbers([flow], 16).data.iloc[0]
    equiv = flow.twirl["sample_loss_equiv"].values[-1, 0]
    assert row["clean"] == pytest.approx(100 * np.average(equiv, weights=(1 - time) ** 2))
    assert "clean" not in weightings.weighting_numbers([training()], 16).data


def test_section__has_courses_published_courses_and_weightings():
    found = section.section([training()], [training()], 2.0, 64)
    assert [heading for heading, _ in found.tables] == [
        "Courses", "Courses as published", "The same loss, weighted in other ways",
    ]  # fmt: skip
    assert "(report.batch)" in found.tables[2][1].caption
