"""Crossings of the threshold, headlines, and their sentences."""

import numpy as np
import pytest
import synthetic
import xarray as xr
from synthetic import control

from twirlscope.report import headline
from twirlscope.report.headline import Crossing, crossing
from twirlscope.report.trainings import Training


@pytest.mark.parametrize(
    ("percent", "trivial", "expected"),
    [
        ([50, 10, 1, 0.5], [0, 0, 0, 0], Crossing(100, 100)),
        ([50, 1, 5, 0.5], [0, 0, 0, 0], Crossing(10, 1000)),
        ([50, 1, 1, 5], [0, 0, 0, 0], Crossing(10, None)),
        ([50, 40, 30, 5], [0, 0, 0, 0], Crossing(None, None)),
        ([0.1, 0.1, 5, 1], [1, 1, 0, 0], Crossing(1000, 1000)),
        ([0.1, 0.1, 0.1, 0.1], [1, 1, 1, 1], Crossing(None, None)),
        ([1, 1, 1, 1], [0, 0, 0, 1], Crossing(0, None)),
        ([1, 1, 1, 1], [0, 1, 0, 0], Crossing(0, 100)),
        ([1, np.nan, 1, 1], [0, 0, 0, 0], Crossing(0, 100)),
        ([2, 2, 2, 2], [0, 0, 0, 0], Crossing(None, None)),
    ],
)
def test_crossing__counts_only_checkpoints_that_have_learned(percent, trivial, expected):
    assert crossing(np.array([0, 10, 100, 1000]), np.array(percent, float), np.array(trivial, bool), 2.0) == expected


def said(percent, trivial):
    data = synthetic.twirl(steps=(0, 10, 100, 1000)[: len(percent)], percent=percent, trivial=trivial)
    return headline.sentence(headline.headline(Training("a", 0, None, data), "weighted", 2.0), 2.0)


@pytest.mark.parametrize(
    ("percent", "trivial", "words"),
    [
        (
            [50, 10, 1, 0.5],
            [0, 0, 0, 0],
            "at step 1000, down from 50 % at step 0, the first checkpoint with at least 10 % learned.",
        ),
        ([50, 1, 5, 0.5], [0, 0, 0, 0], "first below 2 % at step 10 and stays below from step 1000 on"),
        ([50, 1, 1, 5], [0, 0, 0, 0], "first below 2 % at step 10, but not at the last checkpoint"),
        (
            [50, 40, 30, 5],
            [1, 1, 0, 0],
            "down from 30 % at step 100, the first checkpoint with at least 10 % learned (at step 0 it was 50 %)",
        ),
        ([0.1, 0.1, 0.1, 0.1], [1, 1, 1, 1], "No checkpoint has at least 10 % learned: the percentage means nothing"),
        (
            [50, 1, 1, 1],
            [1, 0, 0, 1],
            "The last checkpoint does not have at least 10 % learned: its percentage means nothing",
        ),
        ([50, 10, 1, 1.95], [0, 0, 0, 0], "Its interval at the end reaches above 2 %"),
        ([1, 10, 20, 30], [0, 0, 0, 0], "up from 1 % at step 0"),
        ([50, 10, 20, 30], [1, 1, 1, 0], "at step 1000, the first checkpoint with at least 10 % learned."),
    ],
)
def test_sentence__tells_every_course_of_the_percentage(percent, trivial, words):
    assert words in said(percent, trivial)


def test_sentence__of_a_control_calls_its_error_rounding_error():
    line = headline.headline(control(), "weighted", 2.0)
    assert "That is rounding error: no error of the network itself is seen." in headline.sentence(line, 2.0)
    assert "down" not in headline.sentence(line, 2.0)


def test_summary__counts_a_control_apart_from_those_that_learn():
    learner = headline.headline(Training("a", 0, None, synthetic.twirl()), "weighted", 2.0)
    line = headline.headline(control(), "weighted", 2.0)
    together = headline.summary([learner, line], 2.0)
    assert together.startswith(headline.summary([learner], 2.0))
    assert together.endswith("In 1 more it is rounding error.")


def test_top_share__is_that_of_at_least_one_cluster():
    each = np.ones((1, 200))
    each[0, 3] = 100
    arrays = {"sample_loss_equiv": (("step", "sample"), each), "cluster": ("sample", np.arange(200, dtype=np.int32))}
    data = xr.Dataset(arrays).isel(step=0)
    assert headline.top_share(data) == pytest.approx(101 / 299)
    assert headline.top_share(data.assign(cluster=data["cluster"] // 2)) == pytest.approx(101 / 299)
    assert headline.top_share(data.assign(cluster=data["cluster"] // 10)) == pytest.approx(109 / 299)
    assert headline.top_count(data) == (2, 200)
    assert headline.top_count(data.assign(cluster=data["cluster"] // 10)) == (1, 20)


def test_headline__has_heavy_tails_of_clusters_and_none_of_few_clusters():
    data = synthetic.twirl(samples=200)
    data["sample_loss_equiv"][:] = 1.0
    data["sample_loss_equiv"][..., :100] = 30.0

    def heavy(cluster):
        one = Training("a", 0, None, data.assign(cluster=("sample", cluster.astype(np.int32))))
        return headline.headline(one, "weighted", 2.0).heavy_tailed

    sample = np.arange(200)
    assert not heavy(sample)
    assert heavy(np.maximum(sample, 99) - 99)  # the 100 large ones are one of 101 clusters
    assert not heavy(sample % 10)


def test_headline__has_heavy_tails_where_only_the_loss_has_them():
    data = synthetic.twirl(samples=200).assign(cluster=("sample", np.arange(200, dtype=np.int32)))
    data["sample_loss_equiv"][:] = 1.0
    data["sample_loss_mean"][:] = 1.0
    assert not headline.headline(Training("a", 0, None, data), "weighted", 2.0).heavy_tailed
    data["sample_loss_mean"][..., 0] = 100.0
    assert headline.headline(Training("a", 0, None, data), "weighted", 2.0).heavy_tailed


def test_sentence__of_a_field_names_its_rotations_and_the_error_of_interpolation():
    one = synthetic.field()
    one.twirl.attrs["group"] = "octahedral"
    assert "24 rotations of a cube: a lower bound" in headline.sentence(headline.headline(one, "forces", 2.0), 2.0)
    other = synthetic.field()
    other.twirl["loss_equiv_floor"][:] = 0.001 * other.twirl["loss_total"]
    text = headline.sentence(headline.headline(other, "forces", 2.0), 2.0)
    assert "Interpolation of the turned fields alone makes 0.1 %." in text
    assert "lower bound" not in text
