"""Stage `layers` on an equivariant network, on a random one, and on models that it refuses."""

import hashlib
import json

import numpy as np
import pytest
import torch
import toys
import xarray as xr

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.settings.layers import LayersSettings
from twirlscope.stages.layers import layers
from twirlscope.storage import registry, store
from twirlscope.tasks.force_field import ForceField

SMALL = {
    "vector_attention": {"name": "vector_attention", "width": 8, "layers": 2, "heads": 2, "radial": 4},
    "tensor_product": {"name": "tensor_product", "width": 3, "layers": 2, "radial": 3, "radial_width": 4},
}
QUICK = {"device": "cpu", "samples": 24, "rotations": 3, "panel": 3, "resamples": 100, "split": "train"}


@pytest.fixture
def files(tmp_path):
    """Run of a small network with two checkpoints of random weights."""

    def make(model):
        data = toys.frames(60)
        registry.save(data, tmp_path / "data.zarr.zip")
        (tmp_path / "kept").mkdir()
        columns = {name: [] for name in ("checkpoint_file", "checkpoint_sha256", "update_file", "update_sha256")}
        task = ForceField(ForceField.Settings(), data)
        for seed in range(2):
            torch.manual_seed(seed)
            path = tmp_path / "kept" / f"{seed}.pt"
            torch.save(plugins.make_model(model, task.constants).state_dict(), path)
            row = (path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "", "")
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
        manifest = xr.Dataset(
            {k: ("step", np.array(v, object)) for k, v in columns.items()},
            {"step": np.array([0, 5], np.int64)},
            {"folder": "kept", "run": json.dumps({"task": {"name": "force_field"}, "model": model})},
        )
        registry.save(manifest, tmp_path / "train.zarr.zip")
        return tmp_path / "train.zarr.zip", tmp_path / "data.zarr.zip", tmp_path / "layers.zarr.zip"

    return make


def test_layers__of_an_equivariant_network_are_its_irreps_exactly(files):
    *inputs, out = files(SMALL["tensor_product"])
    layers(*inputs, out, LayersSettings(**QUICK))
    found = store.load(out)
    assert found["feature"].values.tolist() == ["blocks.0", "blocks.1"]
    assert found["feature_rank"].values.tolist() == [[12, 12]] * 2  # 3x0e + 3x1o
    np.testing.assert_allclose(found["feature_casimir"].values, [[[0] * 3 + [2] * 9] * 2] * 2, atol=1e-6)
    assert (found["feature_defect"] < 1e-13).all()
    assert (found["feature_commutator"] < 1e-13).all()
    np.testing.assert_array_equal(found["feature_multiplicity"][0, 0], [3, 3, 0, 0, 0])
    assert (found["layers_lie_error"] < 1e-20).all()
    spectrum, error = found["feature_spectrum"], found["feature_spectrum_error"]
    assert (abs(spectrum.isel(degree=slice(2, 5))) < 4 * error.isel(degree=slice(2, 5)) + 1e-9).all()


def test_layers__of_a_random_network_are_not_steerable_and_its_shares_sum_to_1(files):
    *inputs, out = files(SMALL["vector_attention"])
    layers(*inputs, out, LayersSettings(**QUICK))
    found = store.load(out)
    assert found["cut"].values.tolist() == ["blocks.0", "blocks.1", "after"]
    pairs = found.sel(feature=["blocks.0.pair", "blocks.1.pair"])
    assert (pairs["feature_defect"] > 0.2).all()
    assert (pairs["feature_multiplicity"].sel(degree=slice(1, None)) == 0).all()
    for name in ("created_share", "patched_share"):
        np.testing.assert_allclose(found[name].sum("cut"), 1, atol=1e-12)
    assert found["attention_anisotropy"].shape == (2, 2, 2)
    assert (found["stability"] > 0).all()


@pytest.mark.slow
def test_layers__of_two_jobs_are_those_of_one(files):
    from twirlscope.stages.gather import Share, gather

    *inputs, out = files(SMALL["vector_attention"])
    settings = LayersSettings(**QUICK)
    layers(*inputs, out, settings)
    parts = [out.with_name(f"{number}.zarr.zip") for number in range(2)]
    for number, part in enumerate(parts):
        layers(*inputs, part, settings, Share(number, 2))
    gather(parts, out.with_name("gathered.zarr.zip"))
    xr.testing.assert_identical(store.load(out), store.load(out.with_name("gathered.zarr.zip")))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"modules": ["layers.*"]}, r"layers\.modules: expected modules of VectorAttention, got 'layers\.\*'"),
        ({"samples": 4, "rotations": 1, "modules": ["blocks.1"]}, r"layers\.samples: expected more rows in a half"),
        ({"steps": [3]}, r"layers\.steps: expected steps of checkpoints"),
        ({"split": "valid"}, r"layers\.split"),
    ],
)
def test_layers__refuses_in_one_line(files, changed, words):
    *inputs, out = files(SMALL["vector_attention"] | {"width": 64})
    with pytest.raises(UserError, match=words):
        layers(*inputs, out, LayersSettings(**QUICK | changed))
    assert not out.exists()
