"""Requirements on every task: those of the package, or that of a user with TWIRLSCOPE_TASK=my_task.py:MyTask."""

import os

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.geometry import rotation_sets, so3
from twirlscope.losses import loss_of

TASKS = [os.environ["TWIRLSCOPE_TASK"]] if "TWIRLSCOPE_TASK" in os.environ else plugins.known("task")
DATA = {"frames": toys.frames, "molecules": toys.molecules, "backbones": toys.backbones}


CASES = [(name, {}) for name in TASKS]
CASES += [("force_field", {"stress_weight": 1.0})] if "force_field" in TASKS else []  # of periodic frames


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *case[1]]))
def task(request):
    name, settings = request.param
    kind = plugins.find("task", name).dataset_kind
    assert kind in DATA, f"no toy data of the kind {kind}: add them to tests/kit/toys.py"
    return plugins.make_task({"name": name, **settings}, toys.crystals() if settings else DATA[kind]())


def rotation(task, samples, seed=0):
    """Random rotations of the group that acts exactly on the batches of the task."""
    generator = torch.Generator().manual_seed(seed)
    return so3.matrix(rotation_sets.uniform(task.group, samples, generator=generator))


def tensors(batch):
    return {**batch.inputs, **{f"target {k}": v for k, v in batch.targets.items()}}


def test_batch__is_the_same_for_the_same_index(task):
    first, second = (tensors(task.batch(np.array([3, 1, 8]))) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_batch__has_a_target_and_weights_for_every_term_and_the_sample_first(task):
    batch = task.batch(np.arange(5))
    names = {t.name for t in task.terms}
    assert set(batch.targets) == set(batch.weights) == names
    assert all(len(v) == 5 for v in tensors(batch).values())
    for name in names:
        assert batch.targets[name].shape[:-1] == batch.weights[name].shape
        share = batch.weights[name].reshape(5, -1).sum(1)  # below 1 where a sample counts less
        assert (share > 0).all()
        assert (share < 1 + 1e-5).all()


def test_rotate__and_back_is_the_batch_itself(task):
    batch, R = task.batch(np.arange(6)).to("cpu", torch.float64), rotation(task, 6)
    back = tensors(task.rotate(task.rotate(batch, R), R.mT))
    for name, value in tensors(batch).items():
        torch.testing.assert_close(back[name], value, atol=1e-10, rtol=0)


def test_rotate__composes(task):
    batch, a, b = task.batch(np.arange(6)).to("cpu", torch.float64), rotation(task, 6), rotation(task, 6, 1)
    twice, once = tensors(task.rotate(task.rotate(batch, a), b)), tensors(task.rotate(batch, b @ a))
    for name, value in once.items():
        torch.testing.assert_close(twice[name], value, atol=1e-10, rtol=0)


def test_rotate__turns_something(task):
    batch = task.batch(np.arange(6))
    turned = task.rotate(batch, rotation(task, 6).float())
    assert any(not torch.equal(turned.inputs[k], batch.inputs[k]) for k in batch.inputs)


def test_loss__does_not_change_when_prediction_and_target_turn_together(task):
    batch, R = task.batch(np.arange(6)).to("cpu", torch.float64), rotation(task, 6)
    shifted = {k: v + 0.3 for k, v in batch.targets.items()}
    turned = task.rotate(batch, R)
    guess = task.rotate(type(batch)(batch.inputs, shifted, batch.weights), R).targets
    for t in task.terms:
        for kind in {"mse", t.loss}:
            before = loss_of(kind)(shifted[t.name], batch.targets[t.name], batch.weights[t.name])
            after = loss_of(kind)(guess[t.name], turned.targets[t.name], batch.weights[t.name])
            torch.testing.assert_close(after, before, atol=1e-10, rtol=0)


def test_points__turn_and_name_those_that_are_padding(task):
    if task.points is None:
        pytest.skip("no points, no frames")
    batch, (points, real) = task.batch(np.arange(6)), task.points
    assert task.irreps_in[points] == "1o"
    assert batch.inputs[points].shape == (*batch.inputs[real].shape, 3)
    assert real not in task.irreps_in
    assert (batch.inputs[real] > 0).any(1).all()
