"""Batches against one structure at a time, each in the environment of the package, through the worker.

`TWIRLSCOPE_EXTERNAL` names a folder with one environment per package: mace, chgnet, metatrain.
"""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from environments import python_of

from twirlscope.external import adapters
from twirlscope.external.client import Spec, Worker

FACTORIES = Path(__file__).parents[3] / "kit" / "external_models.py"
ADAPTERS = Path(adapters.__file__).parent
CASES = {"mace": ("mace", "mace"), "chgnet": ("chgnet", "chgnet"), "metatomic": ("pet", "metatrain")}  # of each adapter
ALL = ("energy", "forces", "stress")


def structures():
    """Periodic structures of different sizes and elements, rattled."""
    found = []
    for name in ("H2O", "CH3OH", "CO2", "C2H6"):
        frame = molecule(name, vacuum=4.0)
        frame.pbc = True
        found.append(frame)
    found.append(bulk("C", "diamond", a=3.57, cubic=True))
    for seed, frame in enumerate(found):
        frame.rattle(0.05, seed=seed)
    return found


def evaluated(worker, properties, frames):
    results = worker.evaluate(frames, properties)
    assert [r for r in results if isinstance(r, str)] == []
    return results


@pytest.mark.parametrize("adapter", CASES)
def test_batch__equals_one_structure_at_a_time(adapter):
    factory, environment = CASES[adapter]
    python, frames = python_of(environment), structures()
    calculator = {"calculator": f"{FACTORIES}:{factory}", "python": python}
    with (
        Worker(Spec(**calculator)) as one,
        Worker(Spec(**calculator, batched=f"{ADAPTERS / adapter}.py:evaluate")) as all_,
    ):
        single, stacked = evaluated(one, ALL, frames), evaluated(all_, ALL, frames)
        energies = evaluated(all_, ("energy",), frames)
        all_._log.seek(0)
        assert b"failed, one by one now" not in all_._log.read()
    for a, b, frame in zip(single, stacked, frames, strict=True):
        assert set(b) == set(ALL)
        assert b["forces"].shape == (len(frame), 3)
        assert b["stress"].shape == (3, 3)
        assert abs(a["energy"] - b["energy"]) < 5e-7 * abs(a["energy"]) + 1e-6  # a few units of float32
        np.testing.assert_allclose(a["forces"], b["forces"], atol=2e-5)
        np.testing.assert_allclose(a["stress"], b["stress"], atol=1e-6)
        assert np.abs(a["forces"]).max() > 1e-3
    for a, b in zip(stacked, energies, strict=True):
        assert a["energy"] == pytest.approx(b["energy"], rel=1e-6)
        assert set(b) == {"energy"}


def test_metatomic__refuses_a_model_that_reads_more_than_structures():
    from twirlscope.external.adapters import metatomic

    class Model:
        def requested_inputs(self, use_new_names):
            return {"charge": None}

    class Calculator:
        _model = Model()

    with pytest.raises(ValueError, match="reads charge"):
        metatomic.evaluate(Calculator(), structures(), ("energy",))


def test_mace__refuses_a_model_of_dipoles():
    from twirlscope.external.adapters import mace

    class Calculator:
        model_type = "DipoleMACE"

    with pytest.raises(ValueError, match="DipoleMACE"):
        mace.evaluate(Calculator(), structures(), ("energy",))
