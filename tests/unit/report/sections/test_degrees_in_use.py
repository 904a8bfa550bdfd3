"""Sentences, table and figure of the degrees that a network uses."""

import numpy as np
import synthetic
import xarray as xr

from twirlscope.report.sections import degrees_in_use
from twirlscope.report.trainings import Training

SHARES = [[[0.6, 0.3, 0.1], [0.7, 0.3, np.nan]], [[0.5, 0.5, 0.0], [0.8, 0.2, np.nan]]]  # step, layer, degree


REMOVED = [[[2.0, 1.5, 1.1], [3.0, 1.2, np.nan]], [[8.0, 6.0, 1.01], [9.0, 2.0, np.nan]]]  # over the loss


def training(run="exact", seed=0, shares=SHARES, removed=REMOVED):
    """Two layers, the second without degree 2, at steps 0 and 100; all losses with all degrees are 0.5."""
    place = ("step", "activation", "activation_degree")
    loss = 0.5 * np.array(removed)[..., None] * np.ones(2)
    data = {
        "degree_share": (place, np.array(shares)),
        "degree_removed_loss": ((*place, "term"), loss),
        "degree_removed_loss_error": ((*place, "term"), 0.01 * np.ones_like(loss)),
        "degree_full_loss": (("step", "term"), np.full((2, 2), 0.5)),
    }
    coordinates = {
        "step": np.array([0, 100]),
        "term": np.array(["forces", "weighted"], object),
        "activation": np.array(["rounds.0", "rounds.1"], object),
        "activation_degree": np.arange(np.shape(shares)[-1]),
    }
    return Training(run, seed, None, xr.Dataset(data, coordinates))


def sentence(one):
    return degrees_in_use.sentence(one, degrees_in_use.degrees_of(one))


def test_degrees_of__has_a_row_per_checkpoint_layer_and_degree_of_the_layer():
    frame = degrees_in_use.degrees_of(training()).data
    assert len(frame) == 2 * (3 + 2)
    row = frame[(frame["step"] == 100) & (frame["layer"] == "rounds.0") & (frame["degree"] == 1)].iloc[0]
    assert row["degree_share"] == 0.5
    assert row["ratio"] == 6.0
    assert row["ratio_error"] == 0.02


def test_sentence__has_shares_and_the_loss_without_the_most_and_the_least_useful_degree():
    text = sentence(training())
    assert text == (
        "exact, seed 0, step 100, variance of the activations by degree: rounds.0 has 50 % in degree 0, 50 % in degree "
        "1, 0 % in degree 2; rounds.1 has 80 % in degree 0, 20 % in degree 1. Without degree 1 of rounds.0 the loss "
        "is 6 ± 0.02 times as large, the most of any degree above 0; without degree 2 of rounds.0 it is "
        "1.01 ± 0.02 times as large, the least, which is no significant change."
    )


def test_sentence__of_a_significant_least_degree_and_of_one_degree_only():
    clear = [REMOVED[0], [[8.0, 6.0, 1.5], [9.0, 2.0, np.nan]]]
    assert sentence(training(removed=clear)).endswith("1.5 ± 0.02 times as large, the least.")
    one = training()
    few = one.twirl.isel(activation=[0], activation_degree=[0, 1])
    text = sentence(Training("exact", 0, None, few))
    assert text.endswith("the most of any degree above 0.")
    none = Training("exact", 0, None, one.twirl.isel(activation_degree=[0]))
    assert sentence(none).endswith("It has no degree but 0.")


def test_table__holds_the_last_checkpoint_of_the_first_seed_of_every_run():
    trainings = [training(), training(seed=1), training("other"), Training("bare", 0, None, synthetic.twirl())]
    table = degrees_in_use.table([degrees_in_use.degrees_of(t) for t in degrees_in_use.with_degrees(trainings)])
    assert [(r, s) for r, s in table.numbers.data[["run", "seed"]].drop_duplicates().to_numpy()] == [
        ("exact", 0),
        ("other", 0),
    ]
    assert set(table.numbers.data["step"]) == {100}
    assert degrees_in_use.table([]) is None
    assert degrees_in_use.with_degrees(trainings[-1:]) == []


def test_figure__has_a_column_per_layer_and_triangles_for_shares_of_zero():
    figure = degrees_in_use.figure(training(), degrees_in_use.degrees_of(training()))
    assert figure.name == "degrees_exact_seed0"
    assert [ax.get_title("left") for ax in figure.wide.axes] == ["rounds.0", "rounds.1"] * 2
    legend = [text.get_text() for text in figure.wide.legends[0].get_texts()]
    assert legend == ["degree 0", "degree 1", "degree 2"]
    edge = [line.get_xdata().tolist() for line in figure.wide.axes[0].lines if line.get_marker() == "v"]
    assert edge == [[100]]  # a triangle for degree 2, of which the first layer has lost all
    assert figure.alternative.startswith("Without degree ")


def test_section__is_there_if_degrees_were_measured():
    section = degrees_in_use.section([training()])
    assert section.anchor == "degrees"
    assert len(section.sentences) == len(section.figures) == len(section.tables) == 1
    empty = degrees_in_use.section([Training("bare", 0, None, synthetic.twirl())])
    assert [*empty.sentences, *empty.figures, *empty.tables] == []
