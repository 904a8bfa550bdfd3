"""Published potentials whose weights lie in their wheels, on frames of acetylacetone."""

import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from environments import python_of

import twirlscope
from twirlscope.external.client import Pool, Spec
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling.potentials.conclusions import rms

ACAC = Path(os.environ.get("TWIRLSCOPE_DATA", "")) / "forcefield" / "acac" / "test_MD_300K.xyz.gz"
BOX = 20.0  # [Å]


def frames(count, box=False):
    if not ACAC.exists():
        pytest.skip(f"no data: {ACAC}")
    with gzip.open(ACAC, "rt") as file:
        found = read(io.StringIO(file.read()), f":{count}", format="extxyz")
    for frame in found:
        frame.set_cell([BOX] * 3 if box else None)
        frame.pbc = box
    return found


def measured(spec, structures):
    few = TwirlSettings(panel=0, losses=[], rotations=2, reflections=2)
    pool = Pool(spec)
    try:
        return twirlscope.twirl_calculator(pool, structures, settings=few)
    finally:
        pool.close()


def test_sevennet__is_equivariant_to_rotations_and_not_to_reflections():
    """Its shipped weights say is_parity False."""
    python = python_of("sevenn", "sevenn")
    spec = Spec("sevenn.calculator:SevenNetCalculator", {"model": "7net-0", "device": "cpu"}, python)
    found = measured(spec, frames(3))
    assert rms(found, "loss_equiv", "forces") < 0.01
    assert 3 < rms(found, "o3_loss_equiv", "forces") < 4.5


def test_chgnet__is_at_its_floor_in_a_box():
    spec = Spec("chgnet.model.dynamics:CHGNetCalculator", {"use_device": "cpu"}, python_of("chgnet", "chgnet"))
    found = measured(spec, frames(2, box=True))
    assert found["at_floor"].sel(term="forces")
    assert np.isnan(found["percent_of_signal"].sel(term="forces"))
