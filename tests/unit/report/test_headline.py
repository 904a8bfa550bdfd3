"""Crossings of the threshold, headlines, and their summary."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic
import xarray as xr
from synthetic import control

from twirlscope.report import headline
from twirlscope.report.headline import Crossing, crossing
from twirlscope.report.trainings import PRIMARY, Training, primary_term, under_all_rotations


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


@pytest.mark.parametrize(
    ("percent", "trivial", "words"),
    [
        (
            [50, 10, 1, 0.5],
            [0, 0, 0, 0],
            "In 1 of 1 training the equivariance error ends below 2 % of the held-out loss",
        ),
        ([50, 10, 1, 0.5], [0, 0, 0, 0], "for good from step 100 on."),
        ([50, 1, 1, 5], [0, 0, 0, 0], "In none of 1 training"),
        ([50, 1, 1, 1], [1, 0, 0, 1], "In 1 the last checkpoint does not have at least 10 % learned."),
    ],
)
def test_summary__tells_how_many_end_below_and_from_which_step_on(percent, trivial, words):
    data = synthetic.twirl(steps=(0, 10, 100, 1000), percent=percent, trivial=trivial)
    line = headline.headline(Training("a", 0, None, data), "weighted", 2.0)
    assert words in headline.summary([line], 2.0)


def test_headline__of_the_primary_term_is_that_of_the_first_term_under_all_rotations():
    one = Training("a", 0, None, synthetic.twirl())
    found, named = (headline.headline(one, term, 2.0) for term in (PRIMARY, primary_term(one)))
    assert (found.term, found.percent, found.crossing) == (named.term, named.percent, named.crossing)
    field = synthetic.field()
    other = under_all(field)
    assert headline.headline(other, PRIMARY, 2.0).percent == headline.headline(field, PRIMARY, 2.0).percent + 1


def under_all(field, floor=1e-9):
    """The training with a percentage under all rotations that is larger by 1, and the floor of turning."""
    whole = {f"so3_percent_equiv{e}": field.twirl[f"percent_equiv{e}"] + 1 for e in ("", "_low", "_high")}
    whole |= {"so3_loss_equiv": field.twirl["loss_equiv"]}
    whole |= {"so3_loss_equiv_floor": xr.full_like(field.twirl["loss_equiv"], floor)}
    return Training("b", 0, field.train, field.twirl.assign(whole))


def test_headline__of_a_grid_on_which_turning_makes_more_than_the_network_is_that_of_a_cube():
    """It was called rounding error, and below the limit from the first step on."""
    field = synthetic.field()
    other = under_all(field, floor=1.0)
    other.twirl.attrs["group"] = "octahedral"
    found = headline.headline(other, PRIMARY, 2.0)
    assert found.percent == headline.headline(field, PRIMARY, 2.0).percent
    assert found.bound
    assert not found.at_floor
    words = "In 1 the percentage is a lower bound, under the rotations of a cube alone."
    assert headline.summary([found], 2.0).endswith(words)
    assert under_all_rotations(other, primary_term(field))[1], "a lower bound confirms no claim"


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


def test_summary__calls_no_exact_network_a_lower_bound():
    exact = headline.headline(control(), "weighted", 2.0)
    assert "lower bound" not in headline.summary([replace(exact, bound=True)], 2.0)
