"""Models that a later stage would refuse, or that train wrongly, are refused before the first update."""

import numpy as np
import pytest
import torch
import toys
from refusals import changed
from torch import nn

from twirlscope.errors import UserError
from twirlscope.twirling.checks.before_training import check_before_training


def check(model, pieces=1):
    check_before_training(model, toys.force_field(), np.arange(20), "cpu", pieces)


class Headed(toys.Well):
    """Well whose forces pass through a module."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, inputs):
        out = super().forward(inputs)
        return out | {"forces": self.head(out["forces"].flatten(0, 1)).reshape(out["forces"].shape)}


class Conservative(toys.Well):
    """Forces from a network for the energy; `graph` says when they have a graph."""

    def __init__(self, graph, enabled=True):
        super().__init__()
        self.body, self.graph, self.enabled = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)), graph, enabled

    def forward(self, inputs):
        real = inputs["numbers"][..., None] > 0
        with torch.set_grad_enabled(self.enabled or torch.is_grad_enabled()):
            x = inputs["positions"].detach().requires_grad_()
            energy = (self.body(x) * real).sum((1, 2))[:, None] / real.sum((1, 2))[:, None]
            (slope,) = torch.autograd.grad(energy.sum(), x, create_graph=self.graph(self))
        return {"energy": energy, "forces": -slope}


def test_check_before_training__passes_right_models_and_leaves_them_and_the_random_state_as_they_are():
    model = Headed(nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)))
    model.head[1].eval()
    others = Conservative(lambda _: True), Headed(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.random.get_rng_state()
    for each in (model, *others):
        check(each)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert (model.training, model.head[0].training, model.head[1].training) == (True, True, False)


def test_check_batch_norm__is_refused_in_divided_updates():
    model = Headed(nn.Sequential(nn.BatchNorm1d(3)))
    text = (
        r"where an update is divided by train\.micro_batch or among processes, got head\.0 \(BatchNorm1d\) in 2 passes"
    )
    with pytest.raises(UserError, match=text):
        check(model, 2)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_check_copies__names_the_norm_and_its_replacement(name):
    model = Headed(getattr(nn.utils, name)(nn.Linear(3, 3)))
    with pytest.raises(UserError, match=rf"of head \(Linear\); use torch\.nn\.utils\.parametrizations\.{name}$"):
        check(model)


def test_check_copies__gives_the_reason_of_torch_for_other_models():
    model = toys.Well()
    model.doubled = 2 * model.stiffness  # a tensor with a graph, as a cache of weights
    with pytest.raises(
        UserError, match=r"a model that copy\.deepcopy can copy, got RuntimeError: Only Tensors created"
    ):
        check(model)


def test_check_graph__refuses_create_graph_in_training_mode_only():
    text = r"a graph .* in evaluation mode, got none for forces; .*create_graph=torch\.is_grad_enabled\(\), not create"
    with pytest.raises(UserError, match=text):
        check(Conservative(lambda model: model.training))


def test_check_before_training__refuses_forces_without_enable_grad():
    with pytest.raises(UserError, match=r"within torch\.no_grad.*enable_grad"):
        check(Conservative(lambda model: True, enabled=False))


def test_check_before_training__refuses_a_model_that_removes_an_input_and_one_that_is_random():
    class Popping(toys.Well):
        def forward(self, inputs):
            inputs["numbers"], _ = inputs.pop("numbers"), None
            return super().forward({"numbers": inputs.pop("numbers"), "positions": inputs["positions"]})

    with pytest.raises(UserError, match="got one that removes 'numbers'"):
        check(Popping())
    with pytest.raises(UserError, match="functional dropout"):
        check(changed(forces=lambda out: nn.functional.dropout(out["forces"], 0.5)))
