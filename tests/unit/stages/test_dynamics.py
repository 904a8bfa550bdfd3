"""The stage on structures and calculators whose drift is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import toys

from twirlscope.errors import UserError
from twirlscope.settings.dynamics import DynamicsSettings
from twirlscope.settings.external import ExternalSettings
from twirlscope.sources import split_index
from twirlscope.stages import dynamics as stage
from twirlscope.storage import registry, store
from twirlscope.storage.ragged import open_samples

CALCULATORS = Path(__file__).parents[2] / "kit" / "calculators.py"
JOB = {"run": "mine", "files": {}, "code": "1"}
SHORT = {"frames": 5, "steps": 30, "timestep": 0.2, "every": 3}


def external(name="Springs", **arguments):
    return ExternalSettings(calculator=f"{CALCULATORS}:{name}", arguments=arguments, trust=True)


def run(tmp_path, calculator, **changed):
    data, out = tmp_path / "data.zarr.zip", tmp_path / "dynamics.zarr.zip"
    frames = toys.frames()
    odd = np.repeat(np.arange(40) % 2 == 1, frames["atoms"].values)
    frames["numbers"].values[:] = np.where(odd, 6, 1)
    registry.save(frames, data)
    stage.dynamics(data, out, DynamicsSettings(**SHORT | changed), calculator, JOB)
    return open_samples(data), store.open_store(out).load()


def test_dynamics__measures_the_bias_of_a_model_and_its_random_walk(tmp_path):
    data, found = run(tmp_path, external(bias=[0, 0, 0.02]))
    assert found["energy_change"].dims == ("orientation", "trajectory", "time")
    assert found.sizes == {"orientation": 2, "trajectory": 5, "time": 11}
    np.testing.assert_allclose(found["time"], np.arange(11) * 0.6e-3, rtol=1e-12)
    fixed, turned = found.sel(orientation="fixed"), found.sel(orientation="random")
    np.testing.assert_allclose(fixed["force_drift"], 0.02, rtol=1e-9)
    np.testing.assert_allclose(fixed["momentum_change"][:, -1], 0.02 * 6e-3, rtol=1e-9)
    assert float(turned["mean_force_drift"]) < 0.014
    assert (
        float(turned["mean_force_drift_low"])
        < float(turned["mean_force_drift"])
        < float(turned["mean_force_drift_high"])
    )
    sample = found["trajectory_sample"].values
    assert set(sample) <= set(split_index(data, "test"))
    assert (np.diff(sample) > 0).all()
    np.testing.assert_array_equal(found["trajectory_cluster"], data["cluster"].values[sample])
    assert json.loads(found.attrs["failures"]) == {}
    assert json.loads(found.attrs["versions"])["ase"]


def test_dynamics__of_all_samples_takes_those_of_every_split(tmp_path):
    data, found = run(tmp_path, external(), split="all", frames=1000, steps=3)
    assert found["trajectory_sample"].values.tolist() == list(range(data.sizes["sample"]))


def test_dynamics__of_an_exact_model_has_no_drift_and_starts_from_the_same_velocities(tmp_path):
    _, found = run(tmp_path, external())
    assert float(found["momentum_change"].max()) < 1e-12
    assert float(found["angular_change"].max()) < 1e-12
    np.testing.assert_allclose(found["energy_change"][0], found["energy_change"][1], atol=1e-9)
    assert np.abs(found["energy_change"]).max() > 1e-9


def test_dynamics__leaves_out_structures_that_fail_and_says_which(tmp_path):
    """Structures with carbon fail in some orientation; every other one has hydrogen alone."""
    _, found = run(tmp_path, external("Failing", how="nan", number=6), frames=10)
    failed = json.loads(found.attrs["failures"])
    assert sorted(int(s) for s in failed) == [31, 33, 35, 37, 39]
    assert found["trajectory_sample"].values.tolist() == [30, 32, 34, 36, 38]
    assert "not finite" in failed["31"]


def test_dynamics__refuses_a_split_that_is_not_there_and_a_calculator_that_cannot_be_made(tmp_path):
    with pytest.raises(UserError, match=r"dynamics\.split"):
        run(tmp_path, external(), split="validation")
    with pytest.raises(UserError, match="calculator"):
        run(tmp_path, external("Absent"))
