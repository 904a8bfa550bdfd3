"""What the default run must show; set TWIRLSCOPE_RESULTS to the results of `make run`."""

import os
from pathlib import Path

import numpy as np
import pytest

from twirlscope.storage import store

RESULTS = os.environ.get("TWIRLSCOPE_RESULTS")
pytestmark = pytest.mark.skipif(not RESULTS, reason="TWIRLSCOPE_RESULTS does not name the results of `make run`")


@pytest.fixture
def forces():
    return store.load(Path(RESULTS) / "runs/augmented/seed0/twirl.zarr.zip").sel(term="forces")


def test_default_run__really_learns_forces(forces):
    assert float(forces["loss_total"][-1]) < 0.35 * float(forces["loss_zero"])
    assert not bool(forces["trivial"][-1])


@pytest.mark.parametrize("seed", [0, 1])
def test_default_run__learns_the_symmetry_of_unseen_molecules_from_tens_of_percent_to_a_few(seed):
    """Below two within the first thousand updates; at the end 2.3 % and 0.8 % of the loss of the forces by seed."""
    forces = store.load(Path(RESULTS) / f"runs/augmented/seed{seed}/twirl.zarr.zip").sel(term="forces")
    assert forces["percent_equiv"].values[:5].max() > 10
    assert float(forces["percent_equiv_high"].where(forces["step"] <= 1000, drop=True).min()) < 2
    assert float(forces["percent_equiv_high"][-1]) < 4


def test_default_run__splits_add_up(forces):
    np.testing.assert_allclose(forces["loss_mean"] + forces["loss_equiv"], forces["loss_total"], rtol=1e-10)


def test_default_run__has_a_control_that_learns_and_whose_equivariance_error_is_rounding():
    control = store.load(Path(RESULTS) / "runs/equivariant/seed0/twirl.zarr.zip").sel(term="forces")
    assert float(control["learned_fraction"][-1]) > 0.3
    assert float(control["percent_equiv_high"].max()) < 1e-6
    assert float((control["loss_equiv"] / control["loss_equiv_floor"]).max()) < 10


def test_default_run__prepared_about_three_thousand_frames_of_varied_molecules():
    data = store.load(Path(RESULTS) / "data/molecules.zarr.zip")
    assert data.sizes["sample"] > 2500
    assert data.sizes["molecule_index"] > 400
    assert set(data["element"].values) == {1, 6, 7, 8, 9, 16, 17, 35}
    assert data["atoms"].values.max() <= 21


@pytest.mark.parametrize("name", ["molecules", "geometries", "backbones"])
def test_default_run__holds_out_whole_clusters_and_no_copies(name):
    data = store.load(Path(RESULTS) / f"data/{name}.zarr.zip")
    train, test = (set(data["cluster"].values[data["split"].values == k].tolist()) for k in (0, 1))
    assert not train & test
    assert len(test) >= 20
    assert data.attrs["duplicates"] == "{}"


def test_default_run__learns_the_symmetry_of_backbones_and_most_of_that_of_grids():
    """The small network on grids ends near 4 %, which is not below two and is not claimed to be."""
    for run, limit, learned in (("backbones", 2, 0.4), ("voxels", 8, 0.5)):
        data = store.load(Path(RESULTS) / f"runs/{run}/seed0/twirl.zarr.zip").sel(term="weighted")
        assert data["percent_equiv"].values[:3].max() > 10
        assert float(data["percent_equiv_high"][-1]) < limit
        assert float(data["learned_fraction"][-1]) > learned


def test_default_run__measured_gradients_and_certified_curvature():
    for run in ("augmented", "backbones"):
        gradient = store.load(Path(RESULTS) / f"runs/{run}/seed0/gradient.zarr.zip")
        assert float(gradient["identity_error"].max()) < 1e-4
        hessian = store.load(Path(RESULTS) / f"runs/{run}/seed0/hessian.zarr.zip")
        assert float(hessian["certificate_error"].max()) < 1e-6
