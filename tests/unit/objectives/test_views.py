"""Objectives that differ in the orientations of samples alone: augmentation, groups, frames, none, schedules."""

import numpy as np
import objective_cases
import pytest
import torch
from objective_cases import gradient, in_double, loop_of
from short_trainings import killed_at, run, same, stored_frames, weights  # noqa: F401

from twirlscope.errors import UserError
from twirlscope.geometry import action, so3
from twirlscope.geometry.principal_axes import frames
from twirlscope.losses import weighted_loss
from twirlscope.stages import train
from twirlscope.training import batches
from twirlscope.twirling.frame_averaging import frame_averaged


def angles_within_samples(rows):
    """Angles [degree] between the first and the other rows of every sample."""
    rotation = rows.rotation.double().reshape(len(rows), -1, 3, 3)
    between = rotation[:, 1:] @ rotation[:, :1].mT
    trace = between.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())


def test_augment__with_one_view_is_the_tasks_batch_under_uniform_rotations():
    loop = loop_of({"name": "augment"}, double=False)
    index = batches.batch_index(loop.index, 3, 24, 0)
    rotation = so3.matrix(so3.haar(24, generator=batches.turns_of(0, 3))).float()
    expected = loop.task.rotate(loop.task.batch(index), rotation)
    found = loop.rows(3).batch
    assert all(torch.equal(found.inputs[k], v) for k, v in expected.inputs.items())
    assert all(torch.equal(found.targets[k], v) for k, v in expected.targets.items())


def test_augment__rotates_by_no_more_than_the_angle():
    loop = loop_of({"name": "augment", "angle": 20.0})
    index = batches.batch_index(loop.index, 0, 24, 0)
    before, after = loop.task.batch(index).inputs["positions"], loop.rows(0).batch.inputs["positions"]
    length = before.norm(dim=-1)
    moved = (after - before).norm(dim=-1) / length.clamp(min=1e-6)
    assert moved.max() <= 2 * np.sin(np.deg2rad(10)) + 1e-5
    assert moved.max() > np.sin(np.deg2rad(5))


def seen(loop, updates):
    """All orientations of every sample in some updates, as rounded positions of its first atoms."""
    found = {}
    for update in range(updates):
        index = batches.batch_index(loop.index, update, 24, loop.seed)
        positions = loop.rows(update).batch.inputs["positions"].double().numpy()
        for sample, at in zip(index.tolist(), positions.round(4), strict=True):
            found.setdefault(sample, set()).add(tuple(at[:3].flatten()))
    return found


@pytest.mark.parametrize("copies", [1, 3])
def test_augment__of_copies_shows_every_sample_in_so_many_orientations_and_no_other(copies):
    found = seen(loop_of({"name": "augment", "copies": copies}, double=False), 60)
    assert {len(each) for each in found.values()} == {copies}
    assert len(found) == 30
    other = loop_of({"name": "augment", "copies": copies}, double=False)
    other.seed = 7
    every = seen(other, 60)
    assert all(every[sample] == each for sample, each in found.items()), "the same for all seeds"
    fresh = seen(loop_of({"name": "augment"}, double=False), 60)
    assert min(map(len, fresh.values())) > 30


def test_augment__of_few_copies_shows_some_of_those_of_many():
    few, many = (seen(loop_of({"name": "augment", "copies": n}, double=False), 100) for n in (2, 5))
    assert all(each < many[sample] for sample, each in few.items())


def test_augment__of_one_copy_is_training_on_data_that_were_turned_once():
    loop = loop_of({"name": "augment", "copies": 1}, double=False)
    turned = loop_of({"name": "none"}, double=False)
    every = np.arange(30)
    rotation = so3.matrix(loop.objective._copies(every, batches.turns_of(5, 5))).float()
    once = turned.task.rotate(turned.task.batch(every), rotation)
    for update in range(4):
        index = batches.batch_index(loop.index, update, 24, 0)
        found = loop.rows(update).batch
        assert all(torch.equal(v, once.inputs[k][index]) for k, v in found.inputs.items())
        assert all(torch.equal(v, once.targets[k][index]) for k, v in found.targets.items())


@pytest.mark.slow
def test_copies__are_uniform_rotations_up_to_the_angle():
    index = np.arange(1000)
    loop = loop_of({"name": "augment", "copies": 2})
    mean = so3.matrix(loop.objective._copies(index, batches.turns_of(0, 0))).mean(0)
    assert mean.abs().max() < 4 / (3 * len(index)) ** 0.5, "an entry of a uniform rotation has variance 1/3"
    near = loop_of({"name": "augment", "copies": 2, "angle": 30.0}).objective._copies(index, batches.turns_of(0, 0))
    angle = torch.rad2deg(2 * near[:, 0].abs().clamp(max=1).acos())
    assert 29 < angle.max() <= 30 + 1e-6


@pytest.mark.parametrize("task", ["flow_matching", "voxel_denoising"])
def test_copies__of_every_task_are_made_in_the_same_way_at_every_update(task):
    loop = loop_of({"name": "augment", "copies": 2}, task, double=False)
    again = loop_of({"name": "augment", "copies": 2}, task, double=False)
    again.rows(0)
    one, two = loop.rows(3).batch.inputs, again.rows(3).batch.inputs
    assert all(torch.equal(two[name], value) for name, value in one.items())


@pytest.mark.parametrize(("name", "allowed"), [("D2", [180]), ("T", [120, 180]), ("O", [90, 120, 180])])
def test_group__shows_every_sample_in_all_rotations_of_the_group(name, allowed):
    rows = loop_of({"name": "group", "set": name}).rows(0)
    angles = angles_within_samples(rows)
    assert len(rows) == 24 // (angles.shape[1] + 1)
    assert sorted(set(angles.round().flatten().tolist())) == allowed


def test_group__rotates_grids_exactly_and_the_same_noise_with_them():
    rows = loop_of({"name": "group", "set": "D2"}, "voxel_denoising").rows(0)
    noise = rows.batch.inputs["grid"] - rows.batch.targets["density"]
    back = action.twist("grid 0e", rows.rotation, noise).reshape(len(rows), 4, -1)
    torch.testing.assert_close(back, back[:, :1].expand_as(back), atol=1e-6, rtol=0)
    assert (back.std() > 0.5).all()


def test_views__of_flow_matching_share_noise_and_time():
    rows = loop_of({"name": "augment", "views": 2}, "flow_matching").rows(0)
    time = rows.batch.inputs["time"].reshape(-1, 2)
    assert torch.equal(time[:, 0], time[:, 1])
    back = action.twist("1o", rows.rotation, rows.batch.inputs["positions"])
    torch.testing.assert_close(back[::2], back[1::2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("section", [{"name": "frames"}, {"name": "none", "canonical": True}])
def test_axes__are_those_of_the_lab(section):
    inputs = loop_of(section).rows(0).batch.inputs
    points, real = inputs["positions"].double(), (inputs["numbers"] > 0).double()[..., None]
    centred = (points - (points * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)) * real
    moments = centred.mT @ centred
    off = moments - torch.diag_embed(moments.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-4 * moments.abs().max()


def test_canonical__orientation_is_the_same_whatever_the_data_had():
    loop = loop_of({"name": "none", "canonical": True})
    plain, turn = loop.rows(0).batch.inputs["positions"], loop.task.batch
    rotation = so3.matrix(so3.haar(40, generator=torch.Generator().manual_seed(1))).float()
    loop.task.batch = lambda index: loop.task.rotate(turn(index), rotation[torch.from_numpy(index)])
    torch.testing.assert_close(loop.rows(0).batch.inputs["positions"], plain, atol=1e-4, rtol=0)


def test_frames__of_all_four_have_the_loss_of_the_frame_averaged_model():
    loop = loop_of({"name": "frames", "frames": "all"})
    rows = loop.rows(0).to("cpu", torch.float64)
    found = loop.objective(loop.model, rows)["total"].item()
    index = batches.batch_index(loop.index, 0, 6, 0)
    batch = loop.task.batch(index).to("cpu", torch.float64)
    assert (frames(batch.inputs["positions"], batch.inputs["numbers"]).kind == 0).all()
    irreps = {t.name: t.irreps for t in loop.task.terms}
    averaged = frame_averaged(loop.model, *loop.task.points, loop.task.irreps_in, irreps)
    assert found == pytest.approx(weighted_loss(loop.task, averaged(batch.inputs), batch).item(), rel=1e-5)


def test_schedule__is_one_objective_before_the_change_and_another_after_it():
    both = loop_of({"name": "schedule", "first": {"name": "none"}, "then": {"name": "augment"}, "at": 0.5})
    for update, section in ((1, {"name": "none"}), (2, {"name": "augment"})):
        torch.testing.assert_close(gradient(both, update), gradient(loop_of(section), update), atol=0, rtol=0)


def test_schedule__leaves_weights_alone_that_take_no_part_yet():
    section = {"name": "schedule", "first": {"name": "augment"}, "then": {"name": "latent"}}
    loop = loop_of(section, weight_decay=1.0)
    before = [p.clone() for p in loop.objective.parameters()]
    loop.update()
    assert all(torch.equal(p, q) for p, q in zip(loop.objective.parameters(), before, strict=True))
    loop.update()
    loop.update()
    assert not all(torch.equal(p, q) for p, q in zip(loop.objective.parameters(), before, strict=True))
    assert np.isnan(loop.curve.quantities["latent"][:2]).all()
    assert np.isfinite(loop.curve.quantities["latent"][2])


@pytest.mark.parametrize(
    ("section", "task", "words"),
    [
        ({"name": "augment", "views": 5}, "force_field", "train.batch: expected a multiple of the 5 rows"),
        ({"name": "equiv_penalty", "share": 0.3}, "force_field", "whole number of pairs"),
        ({"name": "frames"}, "voxel_denoising", "a task with points"),
        ({"name": "group", "set": "I"}, "voxel_denoising", "rotations of a cube"),
        ({"name": "lie_penalty"}, "voxel_denoising", "a finite group has no derivative"),
        ({"name": "lie_penalty", "method": "exact"}, "flow_matching", "expected near, for a model whose"),
        ({"name": "latent", "features": "embedd"}, "force_field", "did you mean 'embed'"),
        ({"name": "latent", "features": "pair_readout"}, "force_field", "train.objective.features"),
        ({"name": "remul", "balance": "gradnorm", "layer": "no"}, "force_field", "the path of a module"),
    ],
)
def test_objectives__refuse_what_they_do_not_fit(section, task, words):
    with pytest.raises(UserError, match=words):
        loop_of(section, task).rows(0)


@pytest.mark.parametrize("section", [{"name": "equiv_penalty"}, {"name": "augment", "views": 2}, {"name": "group"}])
def test_interpolated_fields__are_refused_by_all_that_compare_or_repeat_views(section, monkeypatch):
    given = objective_cases.TASKS["voxel_denoising"] | {"action": "trilinear"}
    monkeypatch.setitem(objective_cases.TASKS, "voxel_denoising", given)
    with pytest.raises(UserError, match="octahedral action"):
        loop_of(section, "voxel_denoising")


def test_micro_batches__smaller_than_the_views_of_a_sample_are_refused():
    with pytest.raises(UserError, match=r"train\.micro_batch: expected at least the 4 rows"):
        loop_of({"name": "group"}, micro_batch=3).update()


def test_compilation__is_refused_for_objectives_that_look_inside():
    with pytest.raises(UserError, match=r"train\.compile: expected never for the objective Latent"):
        loop_of({"name": "latent"}, compile="always")


@pytest.mark.slow
@pytest.mark.parametrize(
    "section",
    [
        {"name": "remul", "balance": "gradnorm"},
        {"name": "augment", "views": 2},
        {"name": "augment", "copies": 2},
    ],
)
def test_training__killed_and_resumed_is_bit_by_bit_the_whole_one(tmp_path, data, section):
    settings = run(steps=8, objective=section)
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    outs = [tmp_path / folder / "train.zarr.zip" for folder in ("whole", "killed")]
    train.train(data, outs[0], settings, "code")
    with killed_at(5):
        train.train(data, outs[1], settings | {"train": settings["train"] | {"save_every": 1e-6}}, "code")
    train.train(data, outs[1], settings | {"train": settings["train"] | {"save_every": 1e-6}}, "code")
    assert same(*(weights(out, data, 8) for out in outs))


def test_double__is_a_copy_of_the_loop_in_float64():
    loop = loop_of({"name": "augment"}, double=False)
    in_double(loop)
    assert loop.loader.get(0).batch.inputs["positions"].dtype == torch.float64
