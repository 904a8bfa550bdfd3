"""Section on the layers: sentences, figures and tables of a network that learns one vector."""

import numpy as np
import pytest
import xarray as xr

from twirlscope.report.sections import layers
from twirlscope.report.trainings import Training

FEATURES, CUTS, STEPS = ["blocks.0.atom", "blocks.0.pair"], ["blocks.0", "after"], [0, 10, 100]


def measured(attention=True):
    """Two features at three checkpoints; the second one holds a vector at the last."""
    f, s, c = ("step", "feature"), ("step", "feature", "degree"), ("step", "cut", "term")
    copies = np.zeros((3, 2, 3))
    copies[-1] = [[5, 0, 0], [2, 1, 0]]
    share = np.stack([np.full((3, 1), 0.25), np.full((3, 1), 0.75)], 1)
    data = {
        "feature_variance": (f, np.ones((3, 2))),
        "feature_rate": (f, np.full((3, 2), 0.4)),
        "feature_defect": (f, np.full((3, 2), 0.002)),
        "feature_commutator": (f, np.full((3, 2), 0.01)),
        "feature_unsteerable": (f, np.zeros((3, 2))),
        "feature_rank": (f, np.full((3, 2), 5)),
        "feature_casimir": ((*f, "eigenvalue"), np.broadcast_to([0.0, 0.01, 1.98, 2.0, 2.0], (3, 2, 5))),
        "feature_direction_defect": ((*f, "eigenvalue"), np.broadcast_to([0.0, 0.5, 0.01, 0.01, 0.01], (3, 2, 5))),
        "feature_multiplicity": (s, copies),
        "feature_share": (s, copies / 5),
        "created_size": (c, share),
        "layers_lie_error": (("step", "term"), np.full((3, 1), 0.1)),
        **{f"created_share{end}": (c, share) for end in ("", "_low", "_high")},
        "patched_share": (c, share[:, ::-1]),
        **{f"stability{end}": (("step", "term"), np.array([[0.3], [0.01], [1e-5]])) for end in ("", "_low", "_high")},
    }
    if attention:
        data["attention_anisotropy"] = (
            ("step", "attention", "head"),
            np.array([[[0.9, 1.1]], [[0.5, 0.5]], [[0.0, 1e-3]]]),
        )
        data["attention_random"] = (("step", "attention"), np.ones((3, 1)))
    coordinates = {"step": STEPS, "feature": FEATURES, "cut": CUTS, "term": ["weighted"], "degree": [0, 1, 2]}
    return xr.Dataset(data, coordinates, {"tolerance": 0.1})


@pytest.fixture
def training():
    return Training("mine", 0, None, xr.Dataset(), layers=measured())


def test_sentence__names_the_vector_the_layers_and_the_stability(training):
    text = layers.sentence(training)
    assert "at step 100 blocks.0.pair holds 2 scalars and 1 vector (defect 0.2 %)" in text
    assert "at step 0 no feature holds a steerable vector" in text
    assert "75 % after the last of these modules and 25 % in blocks.0" in text
    assert "0.3 times" in text
    assert "at most 1.1 at first and 0.001 at last" in text


@pytest.mark.slow
def test_section__has_figures_and_tables_with_all_numbers(training):
    found = layers.section([training])
    assert [f.name for f in found.figures] == ["layers_eigenvalues_mine_seed0", "layers_created_mine_seed0"]
    assert len(found.figures[0].numbers) == 3 * 2 * 5
    assert len(found.figures[1].numbers) == 3 * 2
    rows = {t.name: t for _, t in found.tables}
    assert len(rows["layers"].numbers) == 6
    assert len(rows["layers"].shown) == 2  # the last checkpoint
    assert rows["layers"].shown.data["copies_1"].tolist() == [0, 1]
    for figure in found.figures:
        assert figure.files[".svg"]


def test_section__is_empty_where_nothing_was_measured():
    assert layers.section([Training("mine", 0, None, xr.Dataset())]).empty


def test_sentence__of_a_model_without_attention_and_error_leaves_them_out():
    data = measured(attention=False)
    data["created_share"] = data["created_share"] * np.nan
    text = layers.sentence(Training("control", 0, None, xr.Dataset(), layers=data))
    assert "created" not in text
    assert "anisotropy" not in text
