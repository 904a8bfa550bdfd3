"""Trajectories of calculators whose drift is known, and ASE's own EMT."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from twirlscope.external import dynamics

BIAS = np.array([0, 0, 0.02])  # eV/Å
STIFFNESS = 20.0  # eV/Å^2


class Springs(Calculator):
    """Harmonic springs between all atoms, plus a field fixed in space: a bias, and a swirl about the mean position."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, bias=0.0, swirl=0.0):
        super().__init__()
        self.bias, self.swirl = bias, swirl

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        apart = x[:, None] - x
        length = np.linalg.norm(apart, axis=-1)
        stretch = np.where(length > 0, length - 1.3, 0)
        direction = apart / np.where(length > 0, length, 1)[..., None]
        forces = -STIFFNESS * (stretch[..., None] * direction).sum(1)
        arm = x - x.mean(0)
        self.results = {
            "energy": STIFFNESS * (stretch**2).sum() / 4,
            "forces": forces + self.bias * BIAS + self.swirl * np.cross([0, 0, 1.0], arm),
        }


@pytest.fixture
def frame():
    tetrahedron = 0.46 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    return Atoms("CNOH", tetrahedron + 7)


def run(frame, calculator, **changed):
    return dynamics.trajectory(frame, calculator, **({"steps": 200, "timestep": 0.25} | changed))


@pytest.mark.parametrize("rotate", [False, True])
def test_trajectory__of_an_exact_potential_conserves_everything(frame, rotate):
    found = run(frame, Springs(), rotate=rotate, temperature=300.0)
    assert len(found.time) == 201
    assert found.time[-1] == pytest.approx(0.05, rel=1e-12)
    assert found.momentum.max() * units.fs * 1000 < 1e-12
    assert found.angular.max() * units.fs * 1000 < 1e-12
    assert found.force < 1e-12
    assert found.torque < 1e-12
    half = run(frame, Springs(), rotate=rotate, timestep=0.125, steps=400, every=2)
    assert 0 < np.abs(found.energy).max() < 2e-3
    assert np.abs(found.energy).max() / np.abs(half.energy).max() == pytest.approx(4, rel=0.1)  # order of Verlet


def test_rotations__change_nothing_for_an_equivariant_model(frame):
    plain, rotated = run(frame, Springs()), run(frame, Springs(), rotate=True)
    np.testing.assert_allclose(plain.energy, rotated.energy, atol=1e-10)
    other = run(frame, Springs(), seed=1)
    assert np.abs(plain.energy - other.energy).max() > 1e-5


@pytest.mark.slow
def test_bias__drives_the_momentum_at_its_own_rate_and_rotations_make_it_a_random_walk(frame):
    plain = run(frame, Springs(bias=1.0))
    assert plain.force == pytest.approx(0.02, rel=1e-10)
    assert plain.momentum[-1] == pytest.approx(0.02 * 0.05, rel=1e-10)  # force x time [eV ps/Å]
    steps, walks = 32, [run(frame, Springs(bias=1.0), steps=32, rotate=True, seed=n) for n in range(100)]
    moved = np.array([w.momentum[-1] for w in walks])
    dt = 0.25e-3  # every step adds b dt in a random direction; the first and last by half
    expected = 0.02 * dt * np.sqrt(steps - 1 + 0.5)
    assert np.sqrt((moved**2).mean()) == pytest.approx(expected, rel=0.12)
    assert moved.mean() < 0.2 * 0.02 * dt * steps


def test_swirl__is_seen_as_torque_and_as_heating_and_not_as_force(frame):
    swirl = run(frame, Springs(swirl=0.01), temperature=20.0)
    arm = frame.positions - frame.get_center_of_mass()
    expected = 0.01 * np.cross(arm, np.cross([0, 0, 1.0], frame.positions - frame.positions.mean(0))).sum(0) / 4
    assert swirl.torque == pytest.approx(np.linalg.norm(expected), rel=0.05)
    assert swirl.force < 1e-10
    assert run(frame, Springs(), temperature=20.0).torque < 1e-12


def test_periodic__cells_turn_with_the_atoms_and_have_no_angular_momentum():
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=0)
    plain = run(crystal, EMT(), steps=20, every=5)
    rotated = run(crystal, EMT(), steps=20, every=5, rotate=True)
    np.testing.assert_allclose(plain.energy, rotated.energy, atol=1e-9)
    assert len(plain.time) == 5
    assert np.isnan(plain.angular).all()
    assert np.isnan(plain.torque)
    turned = dynamics.RandomlyRotated(EMT(), 3)
    strained = crystal.copy()
    strained.set_cell(crystal.cell[:] @ np.diag([1.02, 1, 0.97]), scale_atoms=True)
    expected = strained.copy()
    strained.calc, expected.calc = turned, EMT()
    np.testing.assert_allclose(strained.get_stress(), expected.get_stress(), atol=1e-10)
    np.testing.assert_allclose(strained.get_forces(), expected.get_forces(), atol=1e-10)


def test_trajectory__leaves_the_structure_alone(frame):
    before = frame.copy()
    run(frame, Springs(), steps=3)
    np.testing.assert_array_equal(before.positions, frame.positions)
    assert frame.calc is None
    assert not frame.has("momenta")
