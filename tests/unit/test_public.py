"""The public names: all exist, and a dataset, a task and a model of a user need no other import from the package."""

import ast
import subprocess
import sys

import numpy as np
import pytest
import torch

import twirlscope
from twirlscope import plugins
from twirlscope.stages import prepare

PLUGIN = '''
import numpy as np
import torch
import xarray as xr
from twirlscope import (
    Batch, Dataset, DatasetSettings, LayerNorm, Model, Part, Reject, Settings, Task, Term, UserError, key, split_index
)


class Triangles(Dataset):
    """Three carbon atoms at random positions; every tenth one is collinear, and rejected."""

    class Settings(DatasetSettings):
        """Number of samples."""

        count: int = key(40, "triangles", ge=10)
        max_rejected: float = key(0.2, "share of unusable records above which preparation fails", ge=0, le=1)

    kind = "molecules"

    def read(self, part):
        if self.settings.count % self.settings.parts:
            raise UserError("count", f"a multiple of parts = {self.settings.parts}", self.settings.count)
        index = np.arange(part, self.settings.count, self.settings.parts)
        x = np.stack([np.random.default_rng([self.settings.seed, i]).normal(size=(3, 3)) for i in index])
        x, usable = x - x.mean(1, keepdims=True), index % 10 > 0
        samples = xr.Dataset(
            {
                "numbers": ("atom", np.full(3 * usable.sum(), 6, np.int16)),
                "positions": (("atom", "xyz"), x[usable].reshape(-1, 3).astype(np.float32)),
                "atoms": ("sample", np.full(usable.sum(), 3, np.int32)),
            },
            {"sample": index[usable]},
        )
        return Part(samples, [Reject("triangles", int(i), "collinear") for i in index[~usable]])

    def finish(self, data):
        order = np.argsort(data["sample"].values)
        atoms = (3 * order[:, None] + np.arange(3)).ravel()
        data = data.isel(sample=order, atom=atoms)
        split = (np.arange(len(order)) >= 0.75 * len(order)).astype(np.int8)
        data["split"] = ("sample", split, {"flag_values": [0, 1], "flag_meanings": "train test"})
        return data.assign_coords(sample=np.arange(len(order)), element=np.array([6]))


class Area(Task):
    """Term `area` (1e, a triangle): half the cross product of two edges."""

    class Settings(Settings):
        """The loss."""

        weight: float = key(1.0, "factor of the term in the loss", ge=0)

    name = "area"
    dataset_kind = "molecules"
    irreps_in = {"positions": "1o"}

    def __init__(self, settings, data):
        self._positions = torch.from_numpy(data["positions"].values.reshape(-1, 3, 3))
        self.terms = (Term("area", "1e", weight=settings.weight, unit="Å²"),)
        self.constants = {"training_samples": len(split_index(data, "train"))}

    def batch(self, index):
        x = self._positions[torch.from_numpy(index)]
        area = torch.linalg.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]) / 2
        return Batch({"positions": x}, targets={"area": area}, weights={"area": torch.ones(len(index))})


class Mlp(Model):
    """A dense network on the coordinates."""

    class Settings(Settings):
        """Its size."""

        width: int = key(16, "hidden units", ge=1)

    task = "area"

    def __init__(self, settings, constants):
        super().__init__()
        width = settings.width
        self.layers = torch.nn.Sequential(torch.nn.Linear(9, width), LayerNorm(width), torch.nn.Linear(width, 3))

    def forward(self, inputs):
        return {"area": self.layers(inputs["positions"].flatten(1))}
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "triangles.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return path


def prepared(file, parts=2):
    """The store of the dataset of the plug-in, as `prepare` writes it."""
    dataset = plugins.make_dataset({"name": f"{file}:Triangles", "parts": parts})
    paths = [file.with_name(f"part{i}.zarr.zip") for i in range(parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(dataset, part, path)
    prepare.prepare(dataset, paths, file.with_name("data.zarr.zip"))
    return twirlscope.load(file.with_name("data.zarr.zip"))


@pytest.mark.parametrize("name", twirlscope.__all__)
def test_public_names__exist(name):
    assert getattr(twirlscope, name) is not None


def test_plug_ins__import_nothing_else_from_the_package():
    imports = [node for node in ast.walk(ast.parse(PLUGIN)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    assert modules == {"numpy", "torch", "xarray", "twirlscope"}


def test_dataset__of_a_user_is_prepared_in_any_number_of_parts_with_its_rejects(file):
    whole, data = prepared(file, 1), prepared(file, 2)
    assert (data.sizes["sample"], data.sizes["reject"]) == (36, 4)
    assert set(data["reject_reason"].values.tolist()) == {"collinear"}
    np.testing.assert_array_equal(whole["positions"], data["positions"])
    with pytest.raises(twirlscope.UserError, match=r"count: expected a multiple of parts = 7, got 40"):
        plugins.make_dataset({"name": f"{file}:Triangles", "parts": 7}).read(0)


def test_task_and_model__of_a_user_are_measured(file):
    data = prepared(file)
    task = plugins.make_task({"name": f"{file}:Area"}, data)
    torch.manual_seed(0)
    model = plugins.make_model({"name": f"{file}:Mlp", "width": 8}, task.constants).eval()
    assert task.constants == {"training_samples": 27}
    test = twirlscope.split_index(data, "test")
    batch = task.batch(test)
    assert model(batch.inputs)["area"].shape == batch.targets["area"].shape
    found = twirlscope.measure(model, task, test)
    assert 0 < found["loss_equiv"].sel(term="area") < found["loss_total"].sel(term="area")


def test_twirled__model_of_a_user_is_equivariant_to_the_degree_of_the_set(file):
    task = plugins.make_task({"name": f"{file}:Area"}, prepared(file))
    torch.manual_seed(0)
    model = plugins.make_model({"name": f"{file}:Mlp"}, task.constants).eval().requires_grad_(False)
    better = twirlscope.twirled(model, "I", irreps_in=task.irreps_in, irreps_out={"area": "1e"})
    index = np.arange(36)
    found = [twirlscope.measure(predict, task, index)["loss_equiv"].sel(term="area") for predict in (model, better)]
    assert found[1] < 0.2 * found[0]


WITHOUT_TORCH = """
import sys
import twirlscope
from twirlscope import plugins
from twirlscope.stages import prepare
for name in ("extxyz", "conformers", "spice", "protein_structures"):
    plugins.find("dataset", name)
twirlscope.Dataset, twirlscope.open_store, twirlscope.split, twirlscope.UserError
sys.exit("torch" in sys.modules)
"""


def test_jobs_that_read_files__do_without_torch_and_its_200_megabytes():
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True)
