"""Numbers of other tools on calculators whose symmetry is known, and on frames that are turned by hand."""

import numpy as np
import pytest
from ase import Atoms
from calculators import Springs, structures

import twirlscope
from twirlscope.geometry import so3
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling.potentials.measurement import Options

FEW = TwirlSettings(rotations=5, reflections=2, panel=0)
NUMBERS = ("peg_energy_mean", "peg_energy_max", "peg_force_mean", "peg_force_max", "net_force", "net_torque")


def measured(calculator, frames, **options):
    return twirlscope.twirl_calculator(calculator, frames, settings=FEW, options=Options(**options))


def test_numbers__of_an_exact_potential_are_rounding_and_all_pairs_pass():
    found = measured(Springs(), structures(6))
    for name in NUMBERS:
        assert float(found[name]) < 1e-12, name
    for name in ("arena_pass_rate", "arena_force_rate", "arena_cosine_rate", "arena_sample_rate"):
        assert float(found[name]) == 1, name
    assert "jacobian_mean" not in found


def test_numbers__equal_those_of_the_same_frames_turned_by_hand():
    """Without any of our code but the rotations: frames of different sizes, forces turned back, pairs one by one."""
    frames = [*structures(4, atoms=6, seed=1), *structures(4, atoms=4, seed=2)]
    calculator = Springs(bias=(0, 0, 0.004), chiral=0.1)
    found = measured(calculator, frames)
    changes, net = [], []
    for frame, turns in zip(frames, so3.matrix(_rotations(found)).numpy(), strict=True):
        back, energies = [], []
        for turn in turns:
            turned = Atoms(frame.numbers, (frame.positions - frame.positions.mean(0)) @ turn.T, calculator=calculator)
            back.append(turned.get_forces() @ turn)
            energies.append(turned.get_potential_energy() / len(frame))
            net.append(np.linalg.norm(back[-1].sum(0)))
        pairs = [(i, j) for i in range(5) for j in range(i)]
        changes += [np.abs(back[i] - back[j]).mean() for i, j in pairs]
    assert float(found["peg_force_mean"]) == pytest.approx(np.mean(changes), rel=1e-6)
    assert float(found["peg_force_max"]) == pytest.approx(np.max(changes), rel=1e-6)
    assert float(found["arena_force_rate"]) == pytest.approx(np.mean(np.array(changes) < 1e-3))
    assert float(found["net_force"]) == pytest.approx(np.mean(net), rel=1e-6)


def _rotations(found):
    import torch

    return torch.from_numpy(found["quaternion"].values[:, found["parity"].values == 1])


def test_net_torque__has_no_value_for_periodic_structures():
    assert np.isnan(float(measured(Springs(), structures(4, periodic=True))["net_torque"]))


class Curl(Springs):
    """Springs and a force field whose Jacobian is antisymmetric: F = a z x r about the origin."""

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        self.results["forces"] = self.results["forces"] * 0 + np.cross([0, 0, 0.3], self.atoms.positions)


def test_jacobian__is_symmetric_for_an_energy_and_antisymmetric_for_a_curl():
    frames, calculator = structures(5, atoms=4), Springs()
    found = measured(calculator, frames, jacobian=2)
    assert 0 < float(found["jacobian_mean"]) <= float(found["jacobian_max"]) < 1e-5
    assert float(measured(Curl(), frames, jacobian=2)["jacobian_mean"]) == pytest.approx(1, rel=1e-9)
    plain = Springs()
    measured(plain, frames)
    assert calculator.calls - plain.calls == 2 * 6 * 4
