"""Evidence on when the percentage is small, whether it stays so, and whether it is so at the end."""

import numpy as np
import pytest
import xarray as xr
from synthetic import claimed as one

from twirlscope.report.sections.claims import percentages
from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS, OPEN, judge
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.trainings import Training

BY_NAME = {claim.name: claim for claim in CLAIMS}
NAMES = ("reached within 10,000", "stays below", "small at the end")


def coursed(percents, steps=(0, 10, 100, 1000, 10000), run="a", **changes):
    """A training with these percentages at its checkpoints, whose samples vary by 2 %."""
    training = one(1.0, steps=steps, run=run, **changes)
    data, size = training.twirl, training.twirl.sizes["sample"]
    share = np.array(percents, float)[:, None, None] / 100 * (1 + 0.02 * np.resize([-1.0, 1.0], size))
    total = np.ones_like(share)
    ends = {"": 1.0, "_low": 0.99, "_high": 1.01}
    found = {f"percent_equiv{e}": (("step", "term"), f * np.array(percents, float)[:, None]) for e, f in ends.items()}
    found |= {"sample_loss_equiv": (("step", "term", "sample"), share)}
    found |= {"sample_loss_mean": (("step", "term", "sample"), total - share)}
    return Training(run, 0, training.train, data.assign(found), dataset="md")


def verdicts(training):
    return [judge([BY_NAME[name]], [training], "weighted")[0].verdict for name in NAMES]


@pytest.mark.parametrize(
    ("percents", "expected"),
    [
        ([40, 20, 3, 1, 0.5], [HOLDS, HOLDS, HOLDS]),
        ([40, 20, 3, 1, 9], [HOLDS, CONTRADICTED, CONTRADICTED]),
        ([40, 1, 9, 3, 1], [HOLDS, CONTRADICTED, HOLDS]),
        ([40, 20, 9, 8, 7], [CONTRADICTED, OPEN, CONTRADICTED]),
        ([40, 20, 9, 3, 2.01], [OPEN, OPEN, OPEN]),
    ],
)
def test_claims__tell_reaching_2_percent_from_staying_there_and_from_ending_there(percents, expected):
    assert verdicts(coursed(percents)) == expected


def test_claims__of_a_short_training_confirm_no_staying_but_contradict_it():
    short = (0, 10, 100, 500, 850)
    assert verdicts(coursed([40, 20, 3, 1, 0.5], short)) == [HOLDS, OPEN, HOLDS]
    assert verdicts(coursed([40, 20, 1, 5, 9], short)) == [HOLDS, CONTRADICTED, CONTRADICTED]
    assert verdicts(coursed([40, 20, 9, 8, 7], short)) == [OPEN, OPEN, OPEN]  # it may still fall
    (found,) = percentages.stays([coursed([40, 20, 3, 1, 0.5], short)], "weighted")
    assert found.doubt == "ends at update 850, too early to show that it stays"


def test_reached__counts_checkpoints_of_the_first_10000_updates_alone():
    late = coursed([40, 20, 9, 8, 1], (0, 10, 100, 10000, 50000))
    assert verdicts(late)[0] == CONTRADICTED
    assert percentages.reached([late], "weighted")[0].value == pytest.approx(8)


def test_stays__begins_at_the_first_small_checkpoint_that_has_learned():
    training = coursed([1, 20, 3, 1, 0.5])
    data = training.twirl
    untrained = data.assign(trivial=data["trivial"] | (data["step"] == 0))
    found = percentages.stays([Training("a", 0, training.train, untrained, dataset="md")], "weighted")
    assert found[0].value == pytest.approx(1)


def test_flow_matching__has_evidence_by_time_beside_that_of_all_samples():
    training = coursed([40, 20, 3, 1, 1], task="flow_matching")
    data = training.twirl.isel(sample=np.resize(np.arange(40), 120))
    time = np.repeat([0.4, 0.9], 60)
    equiv = data["sample_loss_equiv"] * xr.DataArray(np.where(time > 0.85, 1.9, 0.1), dims="sample")
    data = data.assign(sample_covariate=("sample", time), sample_loss_equiv=equiv, cluster=("sample", np.arange(120)))
    data = data.assign_attrs(covariate="time on the path, 0 noise and 1 chain")
    data = data.assign(sample_loss_mean=1 - equiv)
    flow = Training("a", 0, training.train, data, dataset="md")
    found = {v.scope: v.verdict for v in judge([BY_NAME["small at the end"]], [flow], "weighted")}
    assert found == {
        "flow_matching": HOLDS, "flow_matching, t 0.3 to 0.5": HOLDS, "flow_matching, t 0.85 to 1": HOLDS,
    }  # fmt: skip
    worse = Training("a", 0, training.train, data.assign(sample_loss_equiv=2 * equiv), dataset="md")
    found = {v.scope: v.verdict for v in judge([BY_NAME["small at the end"]], [worse], "weighted")}
    assert found["flow_matching, t 0.85 to 1"] == CONTRADICTED
    assert found["flow_matching, t 0.3 to 0.5"] == HOLDS


def test_by_optimiser__counts_the_learning_rate_with_the_lowest_loss_and_the_same_weight_decay():
    def made(run, percent, optimiser, rate, loss, **more):
        training = coursed([40, 20, 9, 9, percent], run=run, optimiser=optimiser, learning_rate=rate, **more)
        data = training.twirl.assign(loss_total=training.twirl["loss_total"] * 0 + loss)
        return Training(run, 0, training.train, data, dataset="md")

    adam = [made("a1", 1.0, "adamw", 1e-3, 0.1), made("a2", 9.0, "adamw", 1e-2, 0.5)]
    sgd = [made("s1", 9.0, "sgd", 1e-1, 0.7), made("s2", 1.5, "sgd", 1e-2, 0.2)]
    found = percentages.by("optimiser", percentages.reached)([*adam, *sgd], "weighted")
    assert sorted(one.label for one in found) == ["a1, seed 0", "s2, seed 0"]
    other = made("s2", 1.5, "sgd", 1e-2, 0.2, weight_decay=0.5)
    assert percentages.by("optimiser", percentages.reached)([adam[0], other], "weighted") == []
