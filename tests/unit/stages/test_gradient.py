"""The stage on models whose gradients are known: linear ones in closed form, equivariant ones, plain autograd."""

import hashlib
import json

import numpy as np
import pytest
import torch
import toys
import xarray as xr
from e3nn import o3
from toy_model import Mlp

from twirlscope import losses
from twirlscope.contracts import Evaluation, Model
from twirlscope.curvature.gradients import flat_update, layers_of, part_gradients, total_gradient
from twirlscope.curvature.objective import Objective
from twirlscope.errors import UserError
from twirlscope.estimators.gradient_statistics import gradient_statistics
from twirlscope.geometry import action, so3
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.base import Settings
from twirlscope.settings.gradient import GradientSettings
from twirlscope.settings.train import TrainSettings
from twirlscope.stages import gradient, train
from twirlscope.storage import registry, store

MATRIX = torch.tensor([[0.5, 1.0, 0.0], [0.2, -0.4, 0.3], [0.0, 0.7, 0.8]])
QUICK = {"batches": 4, "samples": 3, "device": "cpu"}
TASK = {"name": "force_field", "energy_weight": 0.0}


class Linear(Model):
    """Forces are a fixed matrix times the position; with targets of minus the position all is known.

    z(R) = R^-1 A R x has the mean a x over rotations, a = tr A / 3. With c the mean of |x|^2 over atoms and samples,
    grad L_mean = 2 c / 9 (a + 1) I and grad L_equiv = 2 c / 9 (A - a I), orthogonal to each other.
    """

    class Settings(Settings):
        """None."""

    task = "force_field"

    def __init__(self, settings=None, constants=None):
        super().__init__()
        self.inner = torch.nn.Module()
        self.inner.matrix = torch.nn.Parameter(MATRIX.clone())

    def forward(self, inputs):
        forces = inputs["positions"] @ self.inner.matrix.T
        return {"forces": forces, "energy": torch.zeros_like(forces[:, 0, :1])}


class Broken(Linear):
    """Infinite where an atom is far out."""

    def forward(self, inputs):
        out = super().forward(inputs)
        return out | {"forces": out["forces"] / (inputs["positions"].norm(dim=-1, keepdim=True) < 2.0)}


class Equivariant(Model):
    """e3nn's tensor product of the position with itself and its square, then one atom at a time."""

    class Settings(Settings):
        """None."""

    task = "force_field"

    def __init__(self):
        super().__init__()
        self.product = o3.FullyConnectedTensorProduct("1x1o+2x0e", "1x1o+2x0e", "1x1o+1x0e")

    def forward(self, inputs):
        x = inputs["positions"]
        features = torch.cat([x, x.square().sum(-1, keepdim=True), torch.ones_like(x[..., :1])], -1)
        out = self.product(features, features) * (inputs["numbers"] > 0)[..., None]
        return {"forces": out[..., :3], "energy": out[..., 3:].mean(1)}


def well(samples=40):
    task = toys.force_field(samples)
    task.terms = (task.terms[0],)
    return task


def exact(task):
    """Gradients of both parts for `Linear`, on all samples."""
    batch = task.batch(np.arange(30)).to("cpu", torch.float64)
    c = losses.inner(batch.inputs["positions"], batch.inputs["positions"], batch.weights["forces"]).mean() * 3
    a, one = MATRIX.double().trace() / 3, torch.eye(3, dtype=torch.float64)
    return torch.stack([2 * c / 9 * (a + 1) * one, 2 * c / 9 * (MATRIX.double() - a * one)]).flatten(1)


def objective(model, task, index, seed=0, chunk=8, dtype=torch.float64):
    quaternion = sample_rotations("independent", len(index), 2, seed)
    return Objective(model.to(dtype), task, task.batch(index), quaternion, chunk, unbiased=True)


def test_gradients__of_a_linear_model_are_unbiased_for_the_closed_form():
    task, model, random = well(), Linear(), np.random.default_rng(0)
    rows = [part_gradients(objective(model, task, random.integers(0, 30, 4), seed))[0] for seed in range(400)]
    pairs = torch.stack(rows).reshape(200, 2, 2, 9).numpy()
    gram = np.einsum("xbpn,xcqn->xpqbc", pairs, pairs)
    found, truth = gradient_statistics(gram, 4), exact(task).numpy()
    for name, expected in (
        ("gradient_square", [*(truth**2).sum(1), (truth.sum(0) ** 2).sum()]),
        ("gradient_inner", 0.0),
    ):
        values = found[name]
        error = values.std(0) / len(values) ** 0.5
        np.testing.assert_array_less(np.abs(values.mean(0) - expected), 3 * error, err_msg=name)
    naive = np.einsum("xppbb->xp", gram).mean(0) / 2
    assert (naive > 1.05 * (truth**2).sum(1)).all(), "the square of one batch's gradient is too large"


def test_gradients__agree_with_plain_autograd_on_one_big_batch():
    task, index = toys.force_field(), np.arange(12)
    torch.manual_seed(0)
    model = Mlp(Mlp.Settings(), {}).double()
    quaternion, batch = sample_rotations("independent", 12, 2, 0), task.batch(index).to("cpu", torch.float64)
    z = []
    for k in range(2):
        rotation = so3.matrix(quaternion[:, k])
        out = model(task.rotate(batch, rotation).inputs)
        z.append({t.name: action.twist(t.irreps, rotation, out[t.name]) for t in task.terms})
    mean = equiv = 0.0
    for t in task.terms:
        (a, b), y, w = (each[t.name] for each in z), batch.targets[t.name], batch.weights[t.name]
        mean = mean + t.weight * losses.inner(a - y, b - y, w).mean()  # <z_1 - y, z_2 - y> and |z_1 - z_2|^2 / 2
        equiv = equiv + t.weight * losses.mse(a, b, w).mean() / 2
    found, values = part_gradients(Objective(model, task, batch, quaternion, 5, unbiased=True))
    for part, row, value in zip((mean, equiv), found, values, strict=True):
        expected = torch.autograd.grad(part, list(model.parameters()), retain_graph=True)
        torch.testing.assert_close(row, torch.cat([g.flatten() for g in expected]))
        assert value == pytest.approx(part.item())
    torch.testing.assert_close(total_gradient(Evaluation(model, task, chunk=5), batch, quaternion), found.sum(0))


def test_gradients__do_not_depend_on_the_chunk():
    task = well()
    rows = [part_gradients(objective(Linear(), task, np.arange(7), chunk=c))[0] for c in (1, 3, 7)]
    torch.testing.assert_close(rows[0], rows[1])
    torch.testing.assert_close(rows[0], rows[2])


def test_gradients__keep_one_chunk_in_memory_however_many_samples(monkeypatch):
    seen, task, index = [], well(), np.arange(20)
    forward = Linear.forward
    monkeypatch.setattr(
        Linear, "forward", lambda self, inputs: seen.append(len(inputs["numbers"])) or forward(self, inputs)
    )
    model = Linear().double()
    part_gradients(objective(model, task, index, chunk=3))
    total_gradient(Evaluation(model, task, chunk=3), task.batch(index), sample_rotations("independent", 20, 2, 0))
    assert max(seen) == 6
    assert sum(seen) == 2 * 20 * 2


def test_gradient__of_the_equivariance_error_of_an_equivariant_model_is_rounding():
    torch.manual_seed(0)
    found, values = part_gradients(objective(Equivariant(), toys.force_field(), np.arange(10)))
    assert found[0].norm() > 0.1
    assert found[1].norm() < 1e-12 * found[0].norm()
    assert values[1] < 1e-24 * values[0]


@pytest.fixture
def files(tmp_path):
    """A hand-made run of `Linear` with two checkpoints; the update is a step of plain gradient descent."""

    def make(model="Linear"):
        registry.save(toys.frames(), tmp_path / "data.zarr.zip")
        (tmp_path / "kept").mkdir()
        update = {"inner.matrix": -0.1 * exact(well()).sum(0).reshape(3, 3).float()}
        for name, data in (("a.pt", Linear().state_dict()), ("b.pt", Linear().state_dict()), ("u.pt", update)):
            torch.save(data, tmp_path / "kept" / name)
        digest = {n: hashlib.sha256((tmp_path / "kept" / n).read_bytes()).hexdigest() for n in ("a.pt", "b.pt", "u.pt")}
        columns = {"checkpoint_file": ["a.pt", "b.pt"], "update_file": ["", "u.pt"]}
        columns["checkpoint_sha256"] = [digest["a.pt"], digest["b.pt"]]
        columns["update_sha256"] = ["", digest["u.pt"]]
        run = {"task": TASK, "model": {"name": f"{__file__}:{model}"}}
        manifest = xr.Dataset(
            {k: ("step", np.array(v, object)) for k, v in columns.items()},
            {"step": np.array([0, 5], np.int64)},
            {"folder": "kept", "run": json.dumps(run)},
        )
        registry.save(manifest, tmp_path / "train.zarr.zip")
        return tmp_path / "train.zarr.zip", tmp_path / "data.zarr.zip", tmp_path / "gradient.zarr.zip"

    return make


def test_stage__finds_the_closed_form_within_its_own_errors(files):
    settings = GradientSettings(batches=16, samples=30, device="cpu")
    *inputs, out = files()
    gradient.gradient(*inputs, out, settings)
    found = store.load(out).sel(layer="whole")
    truth = exact(well())
    a, one = MATRIX.trace() / 3, torch.eye(3)
    expected = {
        "gradient_square": [*truth.square().sum(1), truth.sum(0).square().sum()],
        "gradient_inner": 0.0,
        "gradient_cosine": 0.0,
        "gradient_square_ratio": ((MATRIX - a * one).square().sum() / (3 * (a + 1) ** 2)).item(),
        "gradient_norm_ratio": ((MATRIX - a * one).norm() / (3**0.5 * (a + 1))).item(),
        "update_share": ((MATRIX - a * one).square().sum() / (MATRIX + one).square().sum()).item(),
        "relative_equiv": ((MATRIX - a * one).square().sum() / (MATRIX + one).square().sum()).item(),
    }
    for name, value in expected.items():
        distance = np.abs(found[name][1] - np.asarray(value)) / found[f"{name}_error"][1]
        assert (distance < 3.5).all(), (name, distance.values)
    assert (found["identity_error"] < 1e-5).all()
    assert found["layer_parameters"] == 9


def test_stage__has_no_update_at_step_0(files):
    *inputs, out = files()
    gradient.gradient(*inputs, out, GradientSettings(**QUICK))
    found = store.load(out)
    assert found["update_share"].isel(step=0).isnull().all()
    assert found["update_square"].sel(step=5, layer="whole") == pytest.approx(
        0.01 * exact(well()).sum(0).square().sum()
    )
    np.testing.assert_array_equal(found["gradient_square"][0], found["gradient_square"][1])


def test_stage__names_sample_and_rotation_of_what_is_not_finite(files):
    *inputs, out = files("Broken")
    with pytest.raises(UserError, match=r"step 0: .* of sample \d+ in rotation [01]"):
        gradient.gradient(*inputs, out, GradientSettings(**QUICK))
    assert not out.exists()


def test_stage__says_which_split_there_is_none_of(files):
    *inputs, out = files()
    with pytest.raises(UserError, match=r"gradient\.split"):
        gradient.gradient(*inputs, out, GradientSettings(**QUICK, split="validation"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A real training with a moving average, measured."""
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


def test_stage__measures_every_checkpoint_and_gives_the_same_bytes_twice(trained):
    assert (trained / "a.zarr.zip").read_bytes() == (trained / "b.zarr.zip").read_bytes()
    found = store.load(trained / "a.zarr.zip")
    np.testing.assert_array_equal(found["step"], store.load(trained / "train.zarr.zip")["step"])
    assert list(found["layer"]) == ["whole", "inner", "outer"]
    assert found.attrs["weights"] == "moving average"
    assert found.attrs["samples"] == 12
    assert (found.attrs["dtype"], found.attrs["tf32"]) == ("float32", False)
    assert found["update_share"].isel(step=slice(1, None)).notnull().all()


def test_stage__layers_add_up_to_the_whole(trained):
    found = store.load(trained / "a.zarr.zip")
    for name in ("gradient_square", "gradient_inner", "gradient_gram", "update_change", "update_square"):
        parts, whole = found[name].drop_sel(layer="whole").sum("layer", skipna=False), found[name].sel(layer="whole")
        np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-15)
    assert found["layer_parameters"].sel(layer="whole") == 16 * 3 + 16 + 4 * 16 + 4


def test_layers__are_the_owning_modules_cut_at_a_depth():
    model = torch.nn.Module()
    model.scale = torch.nn.Parameter(torch.ones(1))
    model.blocks = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))])
    model.head = torch.nn.Linear(1, 1)
    model.head.bias.requires_grad_(False)
    sizes = {d: {k: len(v) for k, v in layers_of(model, d).items()} for d in (1, 2, 9)}
    assert sizes[1] == {"model": 1, "blocks": 9, "head": 1}
    assert sizes[2] == {"model": 1, "blocks.0": 9, "head": 1}
    assert sizes[9] == {"model": 1, "blocks.0.0": 6, "blocks.0.1": 3, "head": 1}
    places = np.concatenate(list(layers_of(model, 9).values()))
    np.testing.assert_array_equal(places, np.arange(11))


def test_flat_update__is_in_the_order_of_the_trained_parameters():
    model = torch.nn.Linear(2, 1)
    update = {"bias": torch.tensor([3.0]), "weight": torch.tensor([[1.0, 2.0]])}
    assert flat_update(model, update).tolist() == [1.0, 2.0, 3.0]
    assert flat_update(model, None) is None
