"""A PET with random weights against metatomic's own average over rotations, each in the environment of metatrain."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from environments import python_of

import twirlscope
from twirlscope.external import specification
from twirlscope.external.client import Pool, Spec, Worker
from twirlscope.settings.twirl import TwirlSettings

FACTORIES = Path(__file__).parents[3] / "kit" / "external_models.py"


def test_error__of_pet_is_that_of_metatomic_within_a_percent():
    python = python_of("metatrain")
    frames = [molecule("CH3CH2OH"), molecule("CH3COOH")]
    for seed, frame in enumerate(frames):
        frame.rattle(0.1, seed=seed)
        frame.positions -= frame.positions.mean(0)
    batched = f"{specification.ADAPTERS / 'metatomic'}.py:evaluate"
    pool = Pool(Spec(f"{FACTORIES}:pet", python=python, batched=batched), batch=64)
    chosen = TwirlSettings(rotations=2, reflections=0, panel=2, panel_replicates=16, losses=[], kept=2)
    found = twirlscope.twirl_calculator(pool, frames, settings=chosen)
    with Worker(Spec(f"{FACTORIES}:pet_symmetrized", {"deviation": True}, python)) as theirs:
        deviation = [r["forces"] for r in theirs.evaluate(frames, ("energy", "forces"))]
    expected = np.mean([(d**2).mean() for d in deviation]) ** 0.5
    ours = float(found["panel_loss_equiv"].sel(term="forces")) ** 0.5
    assert ours == pytest.approx(expected, rel=0.01)
    assert expected > 1e-4
