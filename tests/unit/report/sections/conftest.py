"""A flow on random walks, for the tests of several sections."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.models.protein_transformer import ProteinTransformer
from twirlscope.report.trainings import Training
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import measure


@pytest.fixture(scope="module")
def measured():
    """A flow on random walks, measured without training."""
    torch.set_num_threads(1)
    task = plugins.make_task({"name": "flow_matching", "generate": 4, "generate_steps": 2}, toys.backbones(60))
    torch.manual_seed(0)
    model = ProteinTransformer(ProteinTransformer.Settings(width=8, heads=2, layers=1), {}).eval()
    one = measure.measure(model, task, np.arange(60), TwirlSettings())
    data = one.expand_dims("step").assign(sample_covariate=one["sample_covariate"])
    data = data.merge(task.generate(model, "cpu")).assign_attrs(covariate=task.covariate[1])
    return Training("flow", 0, None, data, dataset="walks"), task
