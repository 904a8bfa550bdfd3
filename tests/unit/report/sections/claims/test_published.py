"""Verdicts of the published trainings: calculated from the packaged curves, not typed."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from twirlscope.report.published.curves import published_curves
from twirlscope.report.sections.claims import published
from twirlscope.report.sections.claims.judge import (
    CONTRADICTED,
    HOLDS,
    NOT_RUN,
    OPEN,
    Evidence,
    claims_table,
    judge,
    judge_published,
)
from twirlscope.report.sections.claims.paper import CLAIMS

VERDICTS = {(v.claim.name, v.scope): v for v in judge_published(CLAIMS)}


def test_verdicts__of_voxels_contradict_2_percent_and_those_of_flows_hold_at_every_time():
    assert VERDICTS["reached within 10,000", "voxel_denoising"].verdict == CONTRADICTED
    times = [v.verdict for (name, scope), v in VERDICTS.items() if name == "reached within 10,000" and ", t " in scope]
    assert times == [HOLDS] * 5
    assert VERDICTS["stays below", "flow_matching, t 0.85 to 1"].verdict == CONTRADICTED


def test_verdict__of_forces_is_open_only_for_the_training_that_never_learned():
    found = VERDICTS["reached within 10,000", "force_field"]
    assert (found.verdict, found.within, found.count) == (OPEN, 11, 12)
    assert [r.split(" has ")[0] for r in found.reasons] == ["EScAIP 6M, augmented"]


@pytest.mark.parametrize("name", ["reached within 10,000", "stays below", "small at the end"])
def test_numbers__that_decide_are_points_of_the_curves(name):
    every = {c.label: c.value for c in published_curves(quantity="percent_equiv")}
    for (claim, _), found in VERDICTS.items():
        if claim == name:
            assert found.worst.value in every[found.worst.label]


def test_counts__are_those_of_whole_trainings():
    """The trainings of which ten rows were printed have no course."""
    labels = {one.label for one in published.at_end()}
    complete = {c.label for c in published_curves(quantity="percent_equiv") if c.complete}
    assert labels == complete
    assert len({c.label for c in published_curves(quantity="percent_equiv")} - labels) == 8


def test_penalty__of_voxels_is_that_of_the_percentage():
    """Voxels: the published percentage is exactly that of the losses."""
    found = {one.label: one.value for one in published.penalty() if one.scope == "voxel_denoising"}
    percent = {c.label: c.value for c in published_curves("voxel_denoising", "percent_equiv")}
    label = "VoxMol 7M, 100 % of the data"
    assert found[label] == pytest.approx(100 * percent[label].max() / (100 - percent[label].max()), rel=0.01)


def test_gradients__are_taken_at_the_same_steps():
    (ratio,) = published_curves(quantity="gradient_ratio")
    (percent,) = [c for c in published_curves(quantity="percent_equiv") if c.training == ratio.training]
    values = published.interpolated(percent, ratio.step)
    np.testing.assert_allclose(
        values[np.isin(ratio.step, percent.step)], percent.value[np.isin(percent.step, ratio.step)]
    )
    assert spearmanr(ratio.value, values).statistic > 0.4  # described: 0.59 with the percentage of another training
    (found,) = published.gradients()
    assert found.low < found.value < found.high


def test_table__has_a_row_for_every_scope_that_was_published_or_run():
    ours, theirs = judge(CLAIMS, [], "primary"), judge_published(CLAIMS)
    rows = claims_table(ours, theirs).numbers.data.set_index(["claim", "for"])
    row = rows.loc[("small at the end", "voxel_denoising")]
    assert (row["verdict"], row["published"]) == (NOT_RUN, CONTRADICTED)
    assert row["published_value"] == pytest.approx(20.37)
    assert set(rows["limits"]) == {"the paper's", "ours"}
    assert rows.loc[("ahead by the hour", "–"), "verdict"] == OPEN  # noqa: RUF001
    shown = claims_table(ours, theirs).shown.data
    assert not shown["for"].str.contains(", t ").any(), "ranges of times that nobody ran are in the CSV file only"
    assert "voxel_denoising" in set(shown["for"])


def test_table__gives_the_verdict_of_most_published_times_to_a_task_that_ran():
    one = Evidence("flow_matching", "a", 1.0, 0.9, 1.1)
    claims = [replace(claim, evidence=lambda *_: [one]) for claim in CLAIMS if claim.name == "stays below"]
    shown = claims_table(judge(claims, [], "primary"), judge_published(claims)).shown.data.set_index("for")
    times = sum(", t " in v.scope for v in judge_published(claims))
    assert shown.loc["flow_matching", "published"] == f"contradicted at {times} of {times} times"
    assert shown.loc["flow_matching", "verdict"] == "holds"
