"""Stage `hessian`: certified spectra, the same bytes after a killed job, errors that name their cause."""

import hashlib
import importlib
import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from twirlscope.contracts import Model
from twirlscope.errors import UserError
from twirlscope.settings.base import Settings
from twirlscope.settings.hessian import HessianSettings
from twirlscope.stages.hessian import hessian
from twirlscope.storage import registry, store

stage = importlib.import_module("twirlscope.stages.hessian")
STEPS = [0, 1, 2, 4, 8, 16]
QUICK = {
    "samples": 3,
    "rotation_set": "D2",
    "probes": 3,
    "lanczos_steps": 4,
    "eigenvalues": 3,
    "exact": 0,
    "device": "cpu",
}
PAIRS = QUICK | {"probes": 2, "groups": 2}  # the fewest with a spread
BARE = QUICK | {"groups": 0, "gauss_newton": False, "lanczos_steps": 2}  # one matrix without condition numbers


class Tiny(Model):
    """Forces and an energy from positions by a dense network."""

    class Settings(Settings):
        """No settings."""

    task = "force_field"

    def __init__(self, settings, constants):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, inputs):
        out, real = self.body(inputs["positions"]), inputs["numbers"] > 0
        energy = (out[..., 3] * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
        return {"forces": out[..., :3], "energy": energy}


class Wrong(Tiny):
    """Conservative forces through a layer norm of torch, whose third derivatives are wrong."""

    def __init__(self, settings, constants):
        super().__init__(settings, constants)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, inputs):
        with torch.enable_grad():
            positions, real = inputs["positions"].detach().requires_grad_(), inputs["numbers"] > 0
            energy = (self.body(positions)[..., 3] * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
            (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return {"forces": -slope, "energy": energy}


def frames():
    rng = np.random.default_rng(0)
    atoms = np.array([3, 2, 4, 3, 2, 4], np.int32)
    total = atoms.sum()
    data = xr.Dataset(
        {
            "numbers": ("atom", rng.choice([1, 8], total).astype(np.int16)),
            "positions": (("atom", "xyz"), rng.normal(size=(total, 3)).astype(np.float32)),
            "forces": (("atom", "xyz"), rng.normal(size=(total, 3)).astype(np.float32)),
            "energy": ("sample", rng.normal(size=6)),
            "atoms": ("sample", atoms),
            "split": ("sample", np.array([0, 0, 0, 0, 1, 1], np.int8)),
            "reference_energy": ("element", np.zeros(2)),
            "force_scale": ((), 1.0),
            "energy_scale": ((), 1.0),
        },
        {"element": np.array([1, 8])},
    )
    data["split"].attrs = {"flag_values": [0, 1], "flag_meanings": "train test"}
    return data


@pytest.fixture
def files(tmp_path):
    def make(model="Tiny"):
        registry.save(frames(), tmp_path / "data.zarr.zip")
        (tmp_path / "kept").mkdir()
        names = [f"step{s}.pt" for s in STEPS]
        for step, name in zip(STEPS, names, strict=True):
            torch.manual_seed(step)
            torch.save(globals()[model](None, {}).state_dict(), tmp_path / "kept" / name)
        hashes = [hashlib.sha256((tmp_path / "kept" / n).read_bytes()).hexdigest() for n in names]
        columns = {"checkpoint_file": names, "checkpoint_sha256": hashes}
        run = {"task": {"name": "force_field"}, "model": {"name": f"{__file__}:{model}"}}
        manifest = xr.Dataset(
            {k: ("step", np.array(v, object)) for k, v in columns.items()},
            {"step": np.array(STEPS, np.int64)},
            {"folder": "kept", "run": json.dumps(run)},
        )
        registry.save(manifest, tmp_path / "train.zarr.zip")
        return tmp_path / "train.zarr.zip", tmp_path / "data.zarr.zip", tmp_path / "hessian.zarr.zip"

    return make


def test_hessian__writes_certified_spectra_of_both_parts(files, capsys):
    train, data, out = files()
    hessian(train, data, out, HessianSettings(**PAIRS), job={"code": "code"})
    found = store.load(out)
    sizes = {"step": 3, "curvature": 2, "part": 2, "rank": 3, "ritz": 8, "ritz_half": 4, "probe": 2}
    assert found.sizes == sizes | {"side": 2, "measure": 12, "replicate": 2}
    assert list(found["step"]) == [0, 2, 16]
    assert list(found["part"]) == ["mean", "equiv"]
    assert found["parameters"] == 68
    assert (found["certificate_error"] < 1e-6).all()
    assert (found["precision_error"] < 1e-4).all()
    np.testing.assert_allclose(found["ritz_weight"].sum("ritz"), 1)
    assert (found["trace_error"] > 0).all()
    assert "step 16, gauss_newton of L_equiv: eigenvalues" in capsys.readouterr().out


@pytest.mark.slow
def test_hessian__gives_the_same_bytes_twice(files):
    train, data, out = files()
    settings = HessianSettings(**PAIRS | {"lanczos_steps": 2}, checkpoints=1)
    hessian(train, data, out, settings, job={"code": "code"})
    first = out.read_bytes()
    hessian(train, data, out, settings, job={"code": "code"})
    assert out.read_bytes() == first


@pytest.mark.slow
def test_hessian__killed_in_the_middle_goes_on_with_the_next_checkpoint_and_gives_the_same_bytes(files, monkeypatch):
    train, data, out = files()
    settings = HessianSettings(**PAIRS | {"lanczos_steps": 2, "gauss_newton": False}, checkpoints=2)
    hessian(train, data, out, settings, job={"code": "code"})
    whole = out.read_bytes()
    out.unlink()
    done, spectra = [], stage.spectra.measure

    def killed(model, problem, step):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(step)
        return spectra(model, problem, step)

    monkeypatch.setattr(stage.spectra, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        hessian(train, data, out, settings, job={"code": "code"})
    assert not out.exists()
    monkeypatch.setattr(stage.spectra, "measure", lambda *given: done.append(given[2]) or spectra(*given))
    hessian(train, data, out, settings, job={"code": "code"})
    assert done == [0, 16]
    assert out.read_bytes() == whole
    assert not (out.parent / "hessian").exists()


@pytest.mark.slow
@pytest.mark.parametrize("change", ["settings", "code"])
def test_hessian__never_goes_on_from_what_other_settings_or_code_have_left(files, monkeypatch, change):
    train, data, out = files()
    done, spectra = [], stage.spectra.measure

    def killed(model, problem, step):
        if step == 16 and len(done) == 1:
            raise KeyboardInterrupt
        done.append(step)
        return spectra(model, problem, step)

    monkeypatch.setattr(stage.spectra, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        hessian(train, data, out, HessianSettings(**BARE, checkpoints=2), job={"code": "code"})
    other = {"seed": 1} if change == "settings" else {}
    hessian(
        train,
        data,
        out,
        HessianSettings(**BARE, **other, checkpoints=2),
        job={"code": "other" if not other else "code"},
    )
    assert done == [0, 0, 16]


def test_hessian__names_sample_rotation_and_step_of_a_product_that_is_not_finite(files, monkeypatch):
    train, data, out = files()
    broken = frames()
    broken["positions"][4] = np.nan  # an atom of the second sample
    registry.save(broken, data)
    with pytest.raises(UserError, match=r"step 4.*infinity for sample 1, rotation 0 \("):
        hessian(train, data, out, HessianSettings(**QUICK | {"samples": 4}, steps=[4]), job={"code": "code"})
    assert not out.exists()


def test_hessian__says_when_the_basis_is_smaller_than_requested(files, capsys):
    train, data, out = files()
    hessian(
        train,
        data,
        out,
        HessianSettings(**BARE | {"lanczos_steps": 4}, basis_dtype="float64", basis_memory=4e-6, checkpoints=1),
        job={"code": "code"},
    )
    assert "float32, 3.26e-06 GB of 4e-06 GB, less than requested" in capsys.readouterr().out
    assert store.load(out).attrs["basis_dtype"] == "float32"
    assert store.load(out).attrs["tf32"] is False


@pytest.mark.parametrize(
    ("dtype", "basis", "found"),
    [("float32", "auto", "float32"), ("float64", "auto", "float64"), ("float32", "float64", "float64")],
)
def test_hessian__has_a_basis_in_the_precision_of_the_products_unless_told(files, dtype, basis, found):
    train, data, out = files()
    settings = HessianSettings(**BARE, dtype=dtype, basis_dtype=basis, checkpoints=1)
    hessian(train, data, out, settings, job={"code": "code"})
    assert store.load(out).attrs["basis_dtype"] == found


def test_hessian__refuses_a_model_whose_derivatives_are_wrong(files):
    train, data, out = files("Wrong")
    with pytest.raises(UserError, match="LayerNorm"):
        hessian(train, data, out, HessianSettings(**BARE), job={"code": "code"})
    assert not out.exists()


def test_hessian__refuses_a_split_that_the_data_lack(files):
    train, data, out = files()
    with pytest.raises(UserError, match=r"hessian\.split"):
        hessian(train, data, out, HessianSettings(**QUICK, split="validation"), job={"code": "code"})
