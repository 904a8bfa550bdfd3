"""Models with one mistake each, and an assertion that the checks refuse them."""

import numpy as np
import pytest
import torch
import toys

from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.twirling.checks.model_and_task import check_model_and_task


def few(samples=6):
    """Force-field task, a few of its samples and rotations."""
    task = toys.force_field()
    return task, task.batch(np.arange(samples)), rotation(samples)


def rotation(samples):
    """Random rotations."""
    return so3.matrix(so3.haar(samples, generator=torch.Generator().manual_seed(0))).float()


def refused(text, model=None, task=None, batch=None, R=None, **keys):
    """Asserts that the checks refuse a model, task, batch or rotations with a text."""
    default = few()
    task, batch, R = task or default[0], batch or default[1], default[2] if R is None else R
    with pytest.raises(UserError, match=text):
        check_model_and_task(toys.Well() if model is None else model, task, batch, R, **keys)


class Changed(toys.Well):
    """Well whose output passes through a function."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, inputs):
        return self.change(super().forward(inputs))


class Through(toys.Well):
    """Well whose forces pass through a module."""

    def __init__(self, module):
        super().__init__()
        self.inner = torch.nn.Sequential(module)

    def forward(self, inputs):
        out = super().forward(inputs)
        return out | {"forces": self.inner(out["forces"].flatten(0, 1)).reshape(out["forces"].shape)}


def changed(**new):
    """Well with functions of its outputs, by term."""
    return Changed(lambda out: out | {k: f(out) for k, f in new.items()})
