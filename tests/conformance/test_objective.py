"""Requirements on every objective: those of the package, or that of a user with TWIRLSCOPE_OBJECTIVE=mine.py:Mine."""

import copy
import functools
import json
import os

import numpy as np
import pytest
import torch
from objective_cases import CASES, fits, loop_of, text

OWN = os.environ.get("TWIRLSCOPE_OBJECTIVE")
SECTIONS = [{"name": OWN}] if OWN else CASES
PAIRS = [(section, "force_field") for section in SECTIONS]
FIRST = list({section["name"]: section for section in reversed(SECTIONS)}.values())  # one variant of each elsewhere
PAIRS += [(section, task) for section in FIRST for task in ("flow_matching", "voxel_denoising") if fits(section, task)]
every = pytest.mark.parametrize(("section", "task"), PAIRS, ids=[f"{text(s)}-{t}" for s, t in PAIRS])


def trained(loop, updates=2):
    for _ in range(updates):
        loop.update()
    return torch.cat([p.detach().flatten() for p in loop.trained.parameters()])


@functools.cache
def _untrained(section, task):
    return loop_of(json.loads(section), task)


def untrained(section, task):
    """A loop for several tests, none of which makes an update."""
    return _untrained(json.dumps(section), task)


@every
def test_rows__are_as_many_as_the_batch_and_sorted_by_sample(section, task):
    loop = untrained(section, task)
    for update in (0, loop.settings.steps - 1):
        rows, objective = loop.rows(update), loop.objective.active(update)
        assert len(rows) == objective.samples(24)
        assert len(rows.sample) == len(rows.batch) == 24
        counts = rows.sample.bincount()
        assert (rows.sample.diff() >= 0).all()
        assert counts.min() >= 1
        assert counts.max() == objective.views


@every
def test_rows__are_the_same_every_time_and_others_at_another_update(section, task):
    loop = untrained(section, task)
    first, again, other = (loop.rows(update).batch.inputs for update in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(first[k].shape != other[k].shape or not torch.equal(first[k], other[k]) for k in first)


@every
def test_loss__is_a_mean_over_samples_that_parts_of_an_update_add_up_to(section, task):
    """The same update in one pass and in micro-batches, through everything that the objective carries along."""
    whole, parts = (loop_of(section, task, micro_batch=m) for m in (0, 12))
    start = torch.cat([p.detach().flatten() for p in whole.trained.parameters()])
    ends = [trained(loop) for loop in (whole, parts)]
    assert (ends[0] - start).norm() > 1e-4
    assert (ends[1] - ends[0]).norm() < 1e-9 * (ends[0] - start).norm()
    np.testing.assert_allclose(parts.curve.loss, whole.curve.loss, rtol=1e-9)


@every
def test_state__resumes_bit_by_bit(section, task):
    whole = loop_of(section, task, double=False)
    trained(whole, 2)
    saved = copy.deepcopy(whole.state())
    expected = trained(whole, 1)
    resumed = loop_of(section, task, double=False, learning_rate=1e-3)
    resumed.step, resumed.average = saved["step"], saved["average"]
    resumed.model.load_state_dict(saved["model"])
    resumed.objective.load_state_dict(saved["objective"])
    resumed.optimiser.load_state_dict(saved["optimiser"])
    assert torch.equal(trained(resumed, 1), expected)


@every
def test_loss__gives_every_weight_a_finite_gradient(section, task):
    loop = loop_of(section, task)
    loop.update()
    assert all(p.grad is None or p.grad.isfinite().all() for p in loop.trained.parameters())
    assert sum(float(p.grad.norm()) for p in loop.model.parameters() if p.grad is not None) > 0
    used = list(loop.objective.active(0).parameters())
    assert all(p.grad is not None and p.grad.norm() > 0 for p in used)


@every
def test_model__is_no_part_of_the_objective(section, task):
    loop = untrained(section, task)
    own = {id(p) for p in loop.objective.parameters()}
    assert not own & {id(p) for p in loop.model.parameters()}
    assert own == {id(p) for m in loop.objective.networks() for p in m.parameters()}
