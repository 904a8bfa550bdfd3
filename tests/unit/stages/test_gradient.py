"""Stage `gradient` on a model whose gradients are known in closed form, and on a short training."""

import hashlib
import json

import linear_forces
import numpy as np
import pytest
import torch
import toys
import xarray as xr
from linear_forces import MATRIX, TASK, Linear, exact_gradients, exact_losses, forces_task

from twirlscope.curvature.gradients import choose_batches, flat_update
from twirlscope.curvature.objective import Objective
from twirlscope.errors import UserError
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.gradient import GradientSettings
from twirlscope.settings.train import TrainSettings
from twirlscope.stages import gradient, train
from twirlscope.storage import registry, store
from twirlscope.training.checkpoints import Trained

QUICK = {"batches": 4, "samples": 3, "device": "cpu"}
START = torch.tensor([[0.4, -0.2, 0.9], [0.0, 0.1, -0.6], [0.3, 0.2, 1.2]])  # weights before the last update
CHANGE = -1.5 * START - 0.7 * torch.eye(3)  # overshoots: gradients after it point the other way


class Broken(Linear):
    """Predictions are infinite for atoms far from the origin."""

    def forward(self, inputs):
        out = super().forward(inputs)
        return out | {"forces": out["forces"] / (inputs["positions"].norm(dim=-1, keepdim=True) < 2.0)}


@pytest.fixture
def files(tmp_path):
    """Run of `Linear` with two equal checkpoints, averages far from the weights that the last update changed."""

    def make(model=f"{linear_forces.__file__}:Linear"):
        registry.save(toys.frames(), tmp_path / "data.zarr.zip")
        (tmp_path / "kept").mkdir()
        update = {"start": {"inner.matrix": START}, "change": {"inner.matrix": CHANGE}}
        for name, data in (("a.pt", Linear().state_dict()), ("b.pt", Linear().state_dict()), ("u.pt", update)):
            torch.save(data, tmp_path / "kept" / name)
        digest = {n: hashlib.sha256((tmp_path / "kept" / n).read_bytes()).hexdigest() for n in ("a.pt", "b.pt", "u.pt")}
        columns = {"checkpoint_file": ["a.pt", "b.pt"], "update_file": ["", "u.pt"]}
        columns["checkpoint_sha256"] = [digest["a.pt"], digest["b.pt"]]
        columns["update_sha256"] = ["", digest["u.pt"]]
        run = {"task": TASK, "model": {"name": model}}
        manifest = xr.Dataset(
            {k: ("step", np.array(v, object)) for k, v in columns.items()},
            {"step": np.array([0, 5], np.int64)},
            {"folder": "kept", "run": json.dumps(run)},
        )
        registry.save(manifest, tmp_path / "train.zarr.zip")
        return tmp_path / "train.zarr.zip", tmp_path / "data.zarr.zip", tmp_path / "gradient.zarr.zip"

    return make


def test_gradient__finds_the_closed_form_within_its_own_errors(files):
    settings = GradientSettings(batches=16, samples=30, device="cpu")
    *inputs, out = files()
    gradient.gradient(*inputs, out, settings)
    found = store.load(out).sel(layer="whole")
    truth = exact_gradients(forces_task())
    a, one = MATRIX.trace() / 3, torch.eye(3)
    expected = {
        "gradient_square": [*truth.square().sum(1), truth.sum(0).square().sum()],
        "gradient_inner": 0.0,
        "gradient_cosine": 0.0,
        "gradient_square_ratio": ((MATRIX - a * one).square().sum() / (3 * (a + 1) ** 2)).item(),
        "gradient_norm_ratio": ((MATRIX - a * one).norm() / (3**0.5 * (a + 1))).item(),
        "relative_equiv": ((MATRIX - a * one).square().sum() / (MATRIX + one).square().sum()).item(),
    }
    for name, value in expected.items():
        distance = np.abs(found[name][1] - np.asarray(value)) / found[f"{name}_error"][1]
        assert (distance < 3.5).all(), (name, distance.values)
    assert (found["identity_error"] < 1e-5).all()
    assert found["layer_parameters"] == 9


def test_gradient__of_an_update_are_the_change_of_both_losses_also_where_it_overshoots(files):
    """Both losses are quadratic in the weights, so the gradients halfway give their change exactly."""
    *inputs, out = files()
    gradient.gradient(*inputs, out, GradientSettings(batches=16, samples=30, device="cpu"))
    found = store.load(out).sel(layer="whole", step=5)
    change = [b - a for a, b in zip(exact_losses(START), exact_losses(START + CHANGE), strict=True)]
    for part, exact in zip(("mean", "equiv", "total"), (*change, sum(change)), strict=True):
        value, error = (found[n].sel(part=part).item() for n in ("update_change", "update_change_error"))
        assert abs(value - exact) < 3.5 * error
        assert error < 0.1 * abs(exact)
    share = change[1] / sum(change)
    assert abs(found["update_share"] - share) < 3.5 * found["update_share_error"]
    assert found["update_share_error"] < 0.02


def test_gradient__of_some_checkpoints_has_the_numbers_of_all(files):
    *inputs, out = files()
    gradient.gradient(*inputs, out, GradientSettings(**QUICK))
    whole = store.load(out)
    gradient.gradient(*inputs, out, GradientSettings(**QUICK, checkpoints=1))
    xr.testing.assert_identical(store.load(out).drop_attrs(), whole.isel(step=[-1]).drop_attrs())


def test_gradient__has_no_update_at_step_0(files):
    *inputs, out = files()
    gradient.gradient(*inputs, out, GradientSettings(**QUICK))
    found = store.load(out)
    assert found["update_share"].isel(step=0).isnull().all()
    assert found["update_square"].sel(step=5, layer="whole") == pytest.approx(CHANGE.square().sum())
    np.testing.assert_array_equal(found["gradient_square"][0], found["gradient_square"][1])


def test_gradient__names_sample_and_rotation_of_a_prediction_that_is_not_finite(files):
    *inputs, out = files(f"{__file__}:Broken")
    with pytest.raises(UserError, match=r"expected finite numbers, got NaN or infinity in \d of 4 samples"):
        gradient.gradient(*inputs, out, GradientSettings(**QUICK))
    assert not out.exists()


class Rare(Broken):
    """Predictions are infinite for atoms still further from the origin, in few samples."""

    def forward(self, inputs):
        return Linear.forward(self, inputs | {"positions": self.cut(inputs["positions"])})

    def cut(self, positions):
        return positions / (positions[..., :1] < 2.4)


def test_gradient__names_sample_and_rotation_of_a_prediction_that_is_not_finite_beyond_the_first(files):
    *inputs, out = files(f"{__file__}:Rare")
    with pytest.raises(UserError, match=r"step 0: .* of sample \d+ in rotation [01]"):
        gradient.gradient(*inputs, out, GradientSettings(**QUICK | {"samples": 30}))
    assert not out.exists()


class Forgetful(Linear):
    """Forces have a graph in training mode only, as with `create_graph=self.training`."""

    def forward(self, inputs):
        out = super().forward(inputs)
        return out if self.training else out | {"forces": out["forces"].detach()}


class Half(Linear):
    """Forces of which half is detached."""

    def forward(self, inputs):
        out = super().forward(inputs)
        return out | {"forces": (out["forces"] + out["forces"].detach()) / 2}


class Random(Linear):
    """Functional dropout, also in evaluation mode."""

    def forward(self, inputs):
        return super().forward(inputs | {"positions": torch.nn.functional.dropout(inputs["positions"], 0.1)})


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            "Forgetful",
            r"in L_mean, .* in L_equiv.*; forces of the model in evaluation mode has no graph: "
            r".*create_graph=torch\.is_grad_enabled\(\), not create_graph=self\.training",
        ),
        ("Half", r"5\.9e-01 in L_mean, .*; look for detach"),
        ("Random", "the same prediction for the same batch, .*functional dropout"),
    ],
)
def test_gradient__refuses_a_model_whose_gradients_are_wrong(files, model, text):
    *inputs, out = files(f"{__file__}:{model}")
    with pytest.raises(UserError, match=text):
        gradient.gradient(*inputs, out, GradientSettings(**QUICK))
    assert not out.exists()


def test_gradient__refuses_a_split_that_the_data_lack(files):
    *inputs, out = files()
    with pytest.raises(UserError, match=r"gradient\.split"):
        gradient.gradient(*inputs, out, GradientSettings(**QUICK, split="validation"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Gradients of a short training with EMA, measured twice."""
    folder = tmp_path_factory.mktemp("trained")
    registry.save(toys.frames(), folder / "data.zarr.zip")
    plugin = f"{toys.__file__.replace('toys', 'toy_model')}:Mlp"
    settings = TrainSettings(steps=12, batch=4, warmup=2, ema=0.9, device="cpu").model_dump()
    run = {"task": {"name": "force_field"}, "model": {"name": plugin}, "train": settings, "seed": 0, "dataset": "well"}
    train.train(folder / "data.zarr.zip", folder / "train.zarr.zip", run, "code")
    paths = folder / "train.zarr.zip", folder / "data.zarr.zip"
    for name in ("a", "b"):
        gradient.gradient(*paths, folder / f"{name}.zarr.zip", GradientSettings(**QUICK, layer_depth=1))
    return folder


def test_gradient__measures_every_checkpoint_and_gives_the_same_bytes_twice(trained):
    assert (trained / "a.zarr.zip").read_bytes() == (trained / "b.zarr.zip").read_bytes()
    found = store.load(trained / "a.zarr.zip")
    np.testing.assert_array_equal(found["step"], store.load(trained / "train.zarr.zip")["step"])
    assert list(found["layer"]) == ["whole", "inner", "outer"]
    assert found.attrs["weights"] == "moving average"
    assert found.attrs["samples"] == 12
    assert (found.attrs["dtype"], found.attrs["tf32"]) == ("float32", False)
    assert found["update_share"].isel(step=slice(1, None)).notnull().all()


def test_gradient__share_of_an_update_is_that_of_the_losses_before_and_after_it(trained):
    """The second road: the losses themselves, at the weights before and after the update, not at their average."""
    run, settings = Trained(trained / "train.zarr.zip", trained / "data.zarr.zip"), GradientSettings(**QUICK)
    index = choose_batches(run.split("train", "gradient.split"), settings)
    quaternion = sample_rotations("independent", index.size, settings.rotations, settings.seed)
    found = store.load(trained / "a.zarr.zip")["update_change"].sel(layer="whole")
    for step in run.steps[1:]:
        objective = Objective(
            run.halfway(step, torch.float64), run.task, run.task.batch(index.ravel()), quaternion, unbiased=True
        )
        update, middle = flat_update(objective.model, run.update(step)).double(), objective.parameters.detach()
        ends = [objective.values(middle + sign * update / 2) for sign in (-1, 1)]
        change = [ends[1][part] - ends[0][part] for part in ("mean", "equiv", "total")]
        np.testing.assert_allclose(found.sel(step=step), change, rtol=1e-3, atol=2e-6)


def test_gradient__layers_add_up_to_the_whole(trained):
    found = store.load(trained / "a.zarr.zip")
    for name in ("gradient_square", "gradient_inner", "gradient_gram", "update_change", "update_square"):
        parts, whole = found[name].drop_sel(layer="whole").sum("layer", skipna=False), found[name].sel(layer="whole")
        np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-15)
    assert found["layer_parameters"].sel(layer="whole") == 16 * 3 + 16 + 4 * 16 + 4
