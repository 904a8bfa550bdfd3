"""A finished run, opened with the right files and with wrong ones."""

import pytest
import torch
import toys
from short_trainings import run, stored_frames, unrehearsed  # noqa: F401

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.stages import train
from twirlscope.storage import made_from, registry, store
from twirlscope.training.checkpoints import Trained

pytestmark = pytest.mark.usefixtures("unrehearsed")


def test_trained__names_the_arguments_where_they_are_swapped(tmp_path, data):
    out = tmp_path / "train.zarr.zip"
    train.train(data, out, run(steps=5), "code")
    assert Trained(out, data).steps[-1] == 5
    with pytest.raises(UserError, match=r"the train\.zarr\.zip of a run, got data\.zarr\.zip .*Trained\(train, data\)"):
        Trained(data, out)
    with pytest.raises(UserError, match=r"the prepared dataset that .*, got train\.zarr\.zip without splits"):
        Trained(out, out)


def test_trained__refuses_other_data_with_both_hashes_and_takes_a_copy_of_its_own(tmp_path, data):
    out, other = tmp_path / "train.zarr.zip", tmp_path / "other.zarr.zip"
    train.train(data, out, run(steps=5), "code")
    frames = store.load(data)
    registry.save(frames.assign_attrs(made_from.attribute({"code": "later"})), tmp_path / "copy.zarr.zip")
    assert Trained(out, tmp_path / "copy.zarr.zip").steps[-1] == 5
    registry.save(frames.assign(forces=frames["forces"] * 2), other)
    with pytest.raises(UserError) as refused:
        Trained(out, other)
    for part in (str(out), str(other), made_from.content_hash(data), made_from.content_hash(other)):
        assert part in str(refused.value)


def test_trained__takes_keys_of_a_task_that_only_measurements_depend_on_from_the_job(tmp_path):
    data, out = tmp_path / "data.zarr.zip", tmp_path / "train.zarr.zip"
    registry.save(toys.backbones(), data)
    settings = run(steps=2, batch=2, warmup=0)
    spec = settings | {
        "task": {"name": "flow_matching"},
        "model": {"name": "protein_transformer", "width": 8, "heads": 2},
    }
    train.train(data, out, spec, "code")
    assert Trained(out, data).task.settings.generate == 12
    assert Trained(out, data, {"task": {"generate": 3}}).task.settings.generate == 3


def test_models__of_checkpoints_share_nothing_and_are_as_if_made_anew(tmp_path, data):
    out = tmp_path / "train.zarr.zip"
    train.train(data, out, run(steps=5), "code")
    one, steps = Trained(out, data), Trained(out, data).steps
    first, last = one.model(steps[0]), one.model(steps[-1])
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.fill_(7.0)
    for step, found in ((steps[-1], last), (steps[0], one.model(steps[0]))):
        anew = plugins.make_model(one._spec["model"], one.task.constants)
        anew.load_state_dict(one._kept("checkpoint", step))
        assert all(torch.equal(a, b) for a, b in zip(found.parameters(), anew.parameters(), strict=True))
    assert one.model(steps[0], torch.float64).training is False
