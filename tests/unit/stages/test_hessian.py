import hashlib
import importlib
import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from twirlscope.contracts import Model
from twirlscope.curvature.lanczos import lanczos, rademacher
from twirlscope.curvature.objective import PARTS, Objective
from twirlscope.curvature.operators import operator
from twirlscope.errors import UserError
from twirlscope.estimators.condition_numbers import MEASURES, estimate
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.base import Settings
from twirlscope.settings.hessian import HessianSettings, chosen_steps
from twirlscope.stages.hessian import hessian
from twirlscope.storage import registry, store
from twirlscope.training.checkpoints import Trained

stage = importlib.import_module("twirlscope.stages.hessian")
STEPS = [0, 1, 2, 4, 8, 16]
QUICK = {"samples": 3, "rotation_set": "D2", "probes": 3, "lanczos_steps": 4, "eigenvalues": 3, "device": "cpu"}


class Tiny(Model):
    """Forces from positions by a dense network, an energy from the forces."""

    class Settings(Settings):
        """None."""

    task = "force_field"

    def __init__(self, settings, constants):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, inputs):
        out = self.body(inputs["positions"])
        return {"forces": out[..., :3], "energy": out[..., 3].mean(1, keepdim=True)}


class Wrong(Tiny):
    """Conservative forces through a layer norm, whose third derivatives are wrong."""

    def __init__(self, settings, constants):
        super().__init__(settings, constants)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, inputs):
        positions = inputs["positions"].detach().requires_grad_()
        energy = self.body(positions)[..., 3].mean(1, keepdim=True)
        return {"forces": -torch.autograd.grad(energy.sum(), positions, create_graph=True)[0], "energy": energy}


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
    hessian(train, data, out, HessianSettings(**QUICK), "code")
    found = store.load(out)
    sizes = {"step": 3, "curvature": 2, "part": 2, "rank": 3, "ritz": 12, "ritz_half": 6, "probe": 3}
    assert found.sizes == sizes | {"side": 2, "measure": 9, "replicate": 2}
    assert list(found["step"]) == [0, 2, 16]
    assert list(found["part"]) == ["mean", "equiv"]
    assert found["parameters"] == 68
    assert (found["certificate_error"] < 1e-6).all()
    assert (found["precision_error"] < 1e-4).all()
    np.testing.assert_allclose(found["ritz_weight"].sum("ritz"), 1)
    assert (found["trace_error"] > 0).all()
    assert "step 16, gauss_newton of L_equiv: eigenvalues" in capsys.readouterr().out


def test_hessian__gives_the_same_bytes_twice(files):
    train, data, out = files()
    settings = HessianSettings(**QUICK, checkpoints=1)
    hessian(train, data, out, settings, "code")
    first = out.read_bytes()
    hessian(train, data, out, settings, "code")
    assert out.read_bytes() == first


def test_hessian__is_exact_where_lanczos_spans_all_parameters(files):
    train, data, out = files()
    settings = HessianSettings(**QUICK | {"lanczos_steps": 40, "dtype": "float64", "samples": 9}, steps=[4])
    hessian(train, data, out, settings, "code")
    whole, run = store.load(out).isel(step=0), Trained(train, data)
    found = whole.sel(curvature="hessian")
    objective = Objective(
        run.model(4, torch.float64), run.task, run.task.batch(np.arange(4)), sample_rotations("D2", 4, 0, 0)
    )
    for part, value in objective.values().items():
        if part not in PARTS:
            continue
        exact = torch.autograd.functional.hessian(
            lambda theta, part=part: objective.losses(theta, objective.chunks[0])[part], objective.parameters.detach()
        )
        eigenvalues = torch.linalg.eigvalsh(exact).numpy()
        np.testing.assert_allclose(found["ritz_value"].sel(part=part), eigenvalues, atol=1e-12)
        np.testing.assert_allclose(found["eigenvalue_bottom"].sel(part=part), eigenvalues[:3], atol=1e-12)
        assert found["trace"].sel(part=part) == pytest.approx(exact.trace().item())
        assert found["loss_value"].sel(part=part) == pytest.approx(value)


def test_hessian__killed_in_the_middle_goes_on_with_the_next_checkpoint_and_gives_the_same_bytes(files, monkeypatch):
    train, data, out = files()
    settings = HessianSettings(**QUICK | {"lanczos_steps": 2}, checkpoints=2)
    hessian(train, data, out, settings, "code")
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
        hessian(train, data, out, settings, "code")
    assert not out.exists()
    monkeypatch.setattr(stage.spectra, "measure", lambda *given: done.append(given[2]) or spectra(*given))
    hessian(train, data, out, settings, "code")
    assert done == [0, 16]
    assert out.read_bytes() == whole
    assert not (out.parent / "hessian").exists()


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
        hessian(train, data, out, HessianSettings(**QUICK, checkpoints=2), "code")
    other = {"seed": 1} if change == "settings" else {}
    hessian(train, data, out, HessianSettings(**QUICK, **other, checkpoints=2), "other" if not other else "code")
    assert done == [0, 0, 16]


def test_hessian__names_sample_rotation_and_step_of_a_product_that_is_not_finite(files, monkeypatch):
    train, data, out = files()
    broken = frames()
    broken["positions"][4] = np.nan  # an atom of the second sample
    registry.save(broken, data)
    with pytest.raises(UserError, match=r"step 4.*infinity for sample 1, rotation 0 \("):
        hessian(train, data, out, HessianSettings(**QUICK | {"samples": 4}, steps=[4]), "code")
    assert not out.exists()


def test_hessian__of_independent_rotations_also_has_the_part_that_is_not_corrected(files):
    train, data, out = files()
    settings = HessianSettings(**QUICK | {"rotation_set": "independent", "rotations": 4, "lanczos_steps": 2}, steps=[4])
    hessian(train, data, out, settings, "code")
    found = store.load(out).isel(step=0)
    assert list(found["part"]) == ["mean", "mean_plugin", "equiv"]
    quotient = (found["ritz_weight"] * found["ritz_value"]).sum("ritz").sel(curvature="hessian")  # linear in the matrix
    corrected = quotient.sel(part="mean_plugin") - quotient.sel(part="equiv") / 4
    np.testing.assert_allclose(quotient.sel(part="mean"), corrected, rtol=1e-3)
    assert found["eigenvalue_bottom"].sel(curvature="gauss_newton", part="mean_plugin")[0] > -1e-6
    assert np.isnan(found["trace"].sel(curvature="gauss_newton", part="mean"))
    number = found["condition"].sel(curvature="hessian", side="absolute", measure="kappa_E90")
    ratio = number.sel(part="mean_plugin") / number.sel(part="equiv")
    assert found["condition_ratio"].sel(curvature="hessian", side="absolute", measure="kappa_E90") == pytest.approx(
        ratio
    )


def test_hessian__half_of_the_samples_is_the_stage_on_these_samples_at_half_the_depth(files):
    train, data, out = files()
    hessian(train, data, out, HessianSettings(**QUICK | {"samples": 4, "dtype": "float64"}, steps=[4]), "code")
    found, run = store.load(out).isel(step=0), Trained(train, data)
    turned = sample_rotations("D2", 4, 0, 0)[1::2]
    samples = run.task.batch(np.arange(4)).map(lambda t: t[1::2])
    odd = Objective(run.model(4, torch.float64), run.task, samples, turned)
    half = lanczos(operator(odd, "mean"), rademacher(len(odd.parameters), 3, 0), 2)
    for measure in ("kappa_E90", "effective_rank"):
        stored = found["condition_replicate"].sel(curvature="hessian", part="mean", side="absolute", measure=measure)
        assert stored.sel(replicate="odd") == pytest.approx(estimate(half, MEASURES[measure][0]).value, rel=1e-6)


def test_hessian__can_leave_out_the_gauss_newton_matrix_and_the_halves(files):
    train, data, out = files()
    settings = HessianSettings(**QUICK, gauss_newton=False, halves=False, checkpoints=1)
    hessian(train, data, out, settings, "code")
    found = store.load(out)
    assert list(found["curvature"]) == ["hessian"]
    assert found["condition_replicate"].isnull().all()
    assert (found["products"] == 3 * 4 + settings.trace_probes).all()


def test_hessian__says_when_the_basis_is_smaller_than_asked_for(files, capsys):
    train, data, out = files()
    hessian(train, data, out, HessianSettings(**QUICK, basis_memory=4e-6, checkpoints=1), "code")
    assert "float32, 3.26e-06 GB of 4e-06 GB, less than requested" in capsys.readouterr().out
    assert store.load(out).attrs["basis_dtype"] == "float32"
    assert store.load(out).attrs["tf32"] is False


def test_hessian__refuses_a_model_whose_derivatives_are_wrong(files):
    train, data, out = files("Wrong")
    with pytest.raises(UserError, match="LayerNorm"):
        hessian(train, data, out, HessianSettings(**QUICK), "code")
    assert not out.exists()


def test_hessian__says_which_split_there_is_none_of(files):
    train, data, out = files()
    with pytest.raises(UserError, match=r"hessian\.split"):
        hessian(train, data, out, HessianSettings(**QUICK, split="validation"), "code")


@pytest.mark.parametrize(("count", "steps"), [(1, [16]), (2, [0, 16]), (3, [0, 2, 16]), (9, STEPS)])
def test_chosen_steps__are_evenly_spread_and_hold_both_ends(count, steps):
    assert chosen_steps(STEPS, HessianSettings(checkpoints=count)) == steps


def test_chosen_steps__refuses_a_step_without_a_checkpoint():
    assert chosen_steps(STEPS, HessianSettings(steps=[8, 1])) == [1, 8]
    with pytest.raises(UserError, match=r"hessian\.steps.*known: 0, 1, 2"):
        chosen_steps(STEPS, HessianSettings(steps=[3]))
