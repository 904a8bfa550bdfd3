"""Drift in molecular dynamics on the page: units, intervals, series; and the numbers of other tools."""

import json

import numpy as np
import pytest
from calculators import Springs, structures

from twirlscope.external.client import Local
from twirlscope.external.dynamics import trajectory
from twirlscope.report.sections.potentials import dynamics, other_tools, section
from twirlscope.report.trainings import Training
from twirlscope.settings.dynamics import DynamicsSettings
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages.dynamics import ORIENTATIONS, summarised
from twirlscope.twirling.potentials.calculator import measure_structures
from twirlscope.twirling.potentials.measurement import Options
from twirlscope.twirling.potentials.structures import structures_dataset

SETTINGS = TwirlSettings(rotations=3, reflections=2, panel=4, panel_replicates=2, losses=[])


@pytest.fixture(scope="module")
def training():
    frames, calculator = structures(6), Springs(bias=(0, 0, 0.02))
    twirl = measure_structures(Local(calculator), structures_dataset(frames, None), None, SETTINGS, Options(jacobian=1))
    chosen = {"steps": 12, "timestep": 0.2, "every": 3}
    found = [[trajectory(f, calculator, **chosen, rotate=o == "random") for o in ORIENTATIONS] for f in frames]
    index = np.arange(6)
    made = summarised(found, index, index.astype(np.int32), DynamicsSettings())
    made = made.assign_attrs(failures=json.dumps({"7": "no"}))
    return Training("biased", 0, None, twirl, dataset="mine", dynamics=made)


def test_table__has_drifts_in_thousandths_beside_the_error_and_its_degrees(training):
    rows = dynamics.table([training]).numbers.data.set_index("orientation")
    fixed = rows.loc[dynamics.WORDS["fixed"]]
    assert fixed["force_drift"] == pytest.approx(20, rel=1e-9)  # meV/Å: the bias itself
    assert fixed["error"] == pytest.approx(20 / 3**0.5, rel=0.3)
    assert "l = 1" in fixed["degrees"]
    assert (fixed["trajectories"], fixed["failed"]) == (6, 1)
    assert rows.loc[dynamics.WORDS["random"], "force_drift"] < 20
    assert "momentum per atom drifts by 20 meV/Å" in dynamics.sentence(training)


def test_figure__holds_every_series_and_starts_from_zero(training):
    data = dynamics.figure([training]).numbers.data
    start, end = data[data["time"] == 0], data[data["time"] == data["time"].max()]
    assert (start["momentum_change"] == 0).all()
    moved = end[end["orientation"] == dynamics.WORDS["fixed"]]["momentum_change"].iloc[0]
    assert moved == pytest.approx(20 * 12 * 0.2e-3, rel=1e-9)  # force x time
    assert (end["energy_change"] >= 0).all()


def test_other_tools__are_in_the_units_of_the_page(training):
    found = other_tools.table([training]).numbers.data.iloc[0]
    assert found["net_force"] == pytest.approx(6 * 20, rel=1e-6)
    assert found["peg_force_mean"] == pytest.approx(20 * 2 / 3, rel=0.4)
    assert found["arena_pass_rate"] < 20
    assert 0 < found["rot_std"] < 20
    assert found["jacobian_max"] < 1e-3


def test_section__has_no_dynamics_where_none_were_run(training):
    plain = Training("biased", 0, None, training.twirl, dataset="mine")
    assert dynamics.table([plain]) is None
    assert dynamics.figure([plain]) is None
    words = [heading for heading, _ in section.section([plain]).tables]
    assert "Drift in molecular dynamics" not in words
    full = section.section([training])
    assert "Drift in molecular dynamics" in [heading for heading, _ in full.tables]
    assert any("molecular dynamics" in text for text in full.sentences)
