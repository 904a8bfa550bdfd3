"""Measurement of calculators whose symmetry is known: biased, noisy, chiral, exact, single precision, failing."""

import gzip
import io
import os
from pathlib import Path

import calculators
import numpy as np
import pytest
from ase.io import read

import twirlscope
from twirlscope.errors import UserError
from twirlscope.external.calls import Budget, Cache, Calls
from twirlscope.external.client import Local
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling.potentials.conclusions import rms
from twirlscope.twirling.potentials.measurement import Options, design_of, measure_series
from twirlscope.twirling.potentials.structures import structures_dataset
from twirlscope.twirling.potentials.task import PotentialTask

FRAMES = calculators.structures(24)
FEW = TwirlSettings(panel=0, losses=[])
PANEL = TwirlSettings(panel=4, losses=[])
ACAC = Path(os.environ.get("TWIRLSCOPE_DATA", "/none")) / "forcefield" / "acac" / "test_MD_300K.xyz.gz"


def measured(calculator, settings=FEW, frames=FRAMES, **choices):
    return twirlscope.twirl_calculator(calculator, frames, settings=settings, **choices).sel(term="forces")


def test_measurement__of_a_bias_finds_a_third_of_its_square_in_degree_one():
    """A constant b along z: L_equiv = b^2 / 3 per component, all in degree 1: the Lie-derivative error is twice it."""
    found, square = measured(calculators.Springs(bias=(0, 0, 0.1)), PANEL), 0.01 / 3
    np.testing.assert_allclose(found["panel_loss_equiv"], square, rtol=0.01)
    np.testing.assert_allclose(found["spectrum"][1], square, rtol=0.1)
    np.testing.assert_allclose(found["lie_error"], 2 * square, rtol=0.25)
    assert float(found["loss_equiv_low"]) <= square <= float(found["loss_equiv_high"])
    assert not found["at_floor"]
    assert float(found["percent_of_signal"]) > 0
    sets = found["twirled_residual"].sel(rotation_set=["D2", "T", "O"])
    assert (abs(sets) < 1e-12 * square).all()


def test_measurement__of_a_bias_of_a_billionth_loses_no_digits():
    found = measured(calculators.Springs(bias=(0, 0, 1e-9)), PANEL)
    np.testing.assert_allclose(found["panel_loss_equiv"], 1e-18 / 3, rtol=0.01)
    assert not found["at_floor"]


@pytest.mark.parametrize("periodic", [False, True])
def test_measurement__of_an_exact_potential_is_at_its_floor_in_every_term(periodic):
    frames = calculators.structures(6, periodic=periodic)
    found = twirlscope.twirl_calculator(calculators.Springs(), frames, settings=FEW, stress=periodic)
    assert list(found["term"].values) == ["forces", "energy", *(["stress"] if periodic else []), "weighted"]
    assert found["at_floor"].all()
    assert found["o3_at_floor"].all()
    assert found["percent_of_signal"].isnull().all()
    assert (rms(found, "loss_equiv", "forces") < 1e-9).all()


def test_measurement__without_labels_has_no_loss():
    found = measured(calculators.Springs(bias=(0, 0, 0.1)))
    for name in ("loss_total", "loss_mean", "percent_equiv", "learned_fraction"):
        assert np.isnan(found[name])
    assert found.attrs["labelled"] == ""


def test_measurement__with_labels_aligns_energies_and_splits_the_loss():
    labels = {"energy": [], "forces": []}
    for frame in FRAMES:
        frame = frame.copy()
        frame.calc = calculators.Springs()
        labels["forces"].append(frame.get_forces())
        labels["energy"].append(frame.get_potential_energy() + 3.0 * (frame.numbers == 6).sum())
    found = twirlscope.twirl_calculator(calculators.Springs(bias=(0, 0, 0.1)), FRAMES, labels, FEW)
    forces = found.sel(term="forces")
    np.testing.assert_allclose(forces["loss_total"], 0.01 / 3, rtol=1e-6)  # |z - y|^2 is that of the bias in each
    np.testing.assert_allclose(forces["percent_equiv"], 100, atol=10)
    assert float(found["loss_total"].sel(term="energy")) < 1e-18
    assert found.attrs["labelled"] == "forces energy"


def test_noise__is_a_floor_and_nothing_is_claimed_below_it():
    found = measured(calculators.Springs(noise=0.05))
    np.testing.assert_allclose(found["floor_noise"], 0.05**2, rtol=0.2)
    np.testing.assert_allclose(found["loss_equiv"], 0.05**2, rtol=0.2)
    assert found["at_floor"]
    assert np.isnan(found["percent_of_signal"])


def test_noise__can_be_subtracted_which_leaves_the_bias():
    calculator, options = calculators.Springs(bias=(0, 0, 0.2), noise=0.05), Options(True, 24)
    found = measured(calculator, PANEL, options=options)
    np.testing.assert_allclose(found["panel_loss_equiv"], 0.04 / 3, rtol=0.1)
    assert found.attrs["noise_subtracted"] == 1
    assert not found["at_floor"]
    whole = measured(calculators.Springs(bias=(0, 0, 0.2), noise=0.05), PANEL)
    np.testing.assert_allclose(whole["panel_loss_equiv"] - found["panel_loss_equiv"], 0.05**2, rtol=0.2)


def test_reflections__are_told_from_rotations():
    """Pseudo-vectors of length c: rotations keep them, reflections turn them over, so L_O3 = c^2 / 3."""
    found = measured(calculators.Springs(chiral=0.1))
    assert found["at_floor"]
    assert not found["o3_at_floor"]
    np.testing.assert_allclose(found["o3_loss_equiv"], 0.01 / 3, rtol=1e-6)


def test_translations__of_a_potential_that_breaks_them_show_in_the_rounding_floor():
    found = measured(calculators.Springs(drift=0.01))
    assert float(found["floor_rounding"]) > 1e-5
    assert float(found["loss_equiv"]) < 1e-25


def test_energies__in_single_precision_have_its_spacing_as_floor():
    found = twirlscope.twirl_calculator(calculators.Springs(single=True), FRAMES, settings=FEW).sel(term="energy")
    energy = 10.0 * FRAMES[0].numbers.sum()
    np.testing.assert_allclose(found["floor_spacing"], (np.spacing(np.float32(energy)) / 6) ** 2 / 12, rtol=1)
    assert found["at_floor"]


@pytest.mark.parametrize(("how", "words"), [("raise", "not supported"), ("nan", "not finite")])
def test_failures__leave_out_the_whole_structure_and_are_listed(how, words):
    frames = calculators.structures(8, numbers=[[6, 1, 1, 7, 1, 6]] * 3 + [[8, 1, 1, 7, 1, 6]])
    every = TwirlSettings(panel=8, losses=[])  # so that only failing keeps a structure out of the panel
    found = measured(calculators.Failing(how, bias=(0, 0, 0.1)), every, frames)
    assert list(found["failed_sample"].values) == [3, 7]
    assert all(words in str(reason) for reason in found["failed_reason"].values)
    assert list(found["sample"].values) == [0, 1, 2, 4, 5, 6]
    assert not set(found["panel_sample"].values) & {3, 7}
    np.testing.assert_allclose(found["panel_loss_equiv"], 0.01 / 3, rtol=0.01)


def test_failures__of_every_structure_are_an_error():
    with pytest.raises(UserError, match="none: ValueError: element 6 is not supported"):
        measured(calculators.Failing("always", number=6))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, _: f.positions.__setitem__((0, 0), np.nan), "a position is not finite"),
        (lambda f, _: (f.set_pbc(True), f.set_cell([[1, 0, 0], [1, 0, 0], [0, 0, 1]])), "singular"),
        (lambda _, y: y["forces"][0].__setitem__((0, 0), np.nan), "NaN or infinity in structure 0"),
        (lambda _, y: y.__setitem__("force", y.pop("forces")), "did you mean 'forces'"),
        (lambda _, y: y.__setitem__("energy", [0.0]), "an entry of the right shape"),
    ],
)
def test_structures__that_cannot_be_used_are_refused(change, words):
    frames = [FRAMES[0].copy(), FRAMES[1].copy()]
    labels = {"forces": [np.zeros((6, 3)), np.zeros((6, 3))]}
    change(frames[0], labels)
    with pytest.raises(UserError, match=words):
        twirlscope.twirl_calculator(calculators.Springs(), frames, labels, FEW)


def test_steps__with_the_same_predictions_are_refused():
    task, cache = PotentialTask(structures_dataset(FRAMES[:4])), Cache()
    design = design_of(task, np.arange(4), np.arange(4), FEW)

    def series(*biases):
        made = [Local(calculators.Springs(bias=(0, 0, b), seed=i)) for i, b in enumerate(biases)]
        for i, (local, b) in enumerate(zip(made, biases, strict=True)):
            object.__setattr__(local, "spec", type(local.spec)(f"test:{i}", {"bias": b}))
        calls = {4 * i: Calls(m, ("forces", "energy"), cache, Budget(1, say=[].append)) for i, m in enumerate(made)}
        return measure_series(task, None, design, calls, FEW, Options())

    course = series(0.1, 0.2, 0.4).sel(term="forces")["loss_equiv"].values
    np.testing.assert_allclose(course / course[0], [1, 4, 16], rtol=1e-6)
    with pytest.raises(UserError, match="steps 0, 8 are one model"):
        series(0.1, 0.2, 0.1)


@pytest.mark.skipif(not ACAC.exists(), reason=f"no data: {ACAC}")
def test_tblite__is_exact_with_reset_and_noisy_with_its_history():
    tblite = pytest.importorskip("tblite.ase")
    with gzip.open(ACAC, "rt") as file:
        frames = read(io.StringIO(file.read()), ":6", format="extxyz")
    few = TwirlSettings(panel=0, losses=[], rotations=3, reflections=0)
    exact, kept = (
        twirlscope.twirl_calculator(tblite.TBLite(method="GFN2-xTB", verbosity=0), frames, settings=few, reset=reset)
        for reset in (True, False)
    )
    assert rms(exact, "loss_equiv", "forces") < 1e-9
    assert exact["at_floor"].all()
    assert 1e-3 < rms(kept, "floor_noise", "forces") < 0.1
    assert kept["at_floor"].sel(term="forces")
    assert np.isnan(kept["percent_of_signal"].sel(term="forces"))
