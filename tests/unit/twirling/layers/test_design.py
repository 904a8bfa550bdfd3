"""Samples of a measurement of features: halves of whole clusters, batches without padding, tasks that are refused."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import Batch, FixedBatchTask
from twirlscope.contracts import Evaluation
from twirlscope.errors import UserError
from twirlscope.settings.layers import LayersSettings
from twirlscope.tasks.force_field import ForceField
from twirlscope.twirling.layers import design


def task():
    return ForceField(ForceField.Settings(), toys.frames(40))


def test_halves__hold_whole_clusters():
    cluster = np.repeat(np.arange(8), 5)
    found = design.design_of(task(), np.arange(40), LayersSettings(samples=40, panel=0), cluster)
    assert not set(found.cluster[found.fitted]) & set(found.cluster[~found.fitted])
    assert len(set(found.cluster[found.fitted])) == 4


def test_halves__of_a_single_cluster_are_of_samples():
    found = design.design_of(task(), np.arange(40), LayersSettings(samples=40, panel=0), np.zeros(40, int))
    assert found.fitted.sum() == 20


def test_batches__hold_every_sample_once_and_no_padding():
    data, index = task(), np.arange(40)
    chosen = design.design_of(data, index, LayersSettings(samples=40))
    evaluation = Evaluation(lambda x: x, data, dtype=torch.float64, chunk=4)
    places = []
    for part, batch, rotation in design.rotated_batches(evaluation, chosen.index, chosen.quaternion[:, 0]):
        assert len(batch) == len(rotation) == len(part) <= 4
        assert (batch.inputs["numbers"] > 0).all()
        places += part.tolist()
    assert sorted(places) == list(range(40))


def test_design__refuses_fields_on_a_grid_and_too_few_samples():
    grid = torch.zeros(6, 4, 4, 4, 1)
    batch = Batch({"grid": grid}, {"density": grid}, {"density": torch.full((6, 4, 4, 4), 1 / 64)})
    fields = FixedBatchTask(batch, {"grid": "trilinear 0e"}, {"density": "trilinear 0e"})
    with pytest.raises(UserError, match=r"layers: expected a task on points.*got a task on grids"):
        design.design_of(fields, np.arange(6), LayersSettings())
    with pytest.raises(UserError, match=r"layers\.samples: expected four samples"):
        design.design_of(task(), np.arange(3), LayersSettings())
