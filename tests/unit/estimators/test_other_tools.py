"""Numbers of other tools against closed forms, against their published procedure step by step, and metatomic's code."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from twirlscope.estimators import loss_split, other_tools


def biased(samples=1, rotations=400, atoms=3, size=1.0, seed=0):
    """Forces of an equivariant model plus a constant lab vector, and an energy that follows it; turned back."""
    random = np.random.default_rng(seed)
    turn = Rotation.random(samples * rotations, rng=seed).as_matrix().reshape(samples, rotations, 3, 3)
    base = random.normal(size=(samples, 1, atoms, 3))
    bias = turn.swapaxes(-1, -2) @ np.array([0, 0, size])  # R^-1 b
    energy = turn[..., 2, 2] * size  # one component of a rotated unit vector
    return energy, base + bias[:, :, None], np.ones((samples, atoms), bool), turn


def test_changes__of_a_constant_bias_are_two_thirds_of_it_on_average():
    """The z components of two independent unit vectors are uniform on [-1, 1]: E|z - z'| = 2/3; at most 2."""
    energy, forces, present, _ = biased(size=0.6)
    found = other_tools.changes(energy, forces, present, other_tools.independent_pairs(400))
    for change in (found.energy, found.forces):
        mean, largest = other_tools.mean_and_largest(change)
        assert mean == pytest.approx(0.6 * 2 / 3, rel=0.03)
        assert 1.1 < largest / 0.6 <= 2


def test_changes__equal_the_procedure_of_the_tools_frame_by_frame():
    """Rotated frames, forces in the lab, one pair after another, as both benchmarks do it."""
    energy, turned_back, present, turn = biased(2, 5, 4, 0.3)
    lab = np.einsum("srij,sraj->srai", turn, turned_back)
    pairs = other_tools.independent_pairs(5)
    found = other_tools.changes(energy, turned_back, present, pairs)
    for s in range(2):
        for p, (i, j) in enumerate(pairs):
            relative = turn[s, j] @ turn[s, i].T
            difference = lab[s, i] @ relative.T - lab[s, j]  # the first frame's forces, turned to the second's frame
            common = lab[s, i] @ turn[s, i] - lab[s, j] @ turn[s, j]  # both turned to the frame without rotation
            cosines = [
                a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                for a, b in zip(lab[s, i] @ relative.T, lab[s, j], strict=True)
            ]
            assert found.forces[s, p] == pytest.approx(np.abs(common).mean(), rel=1e-12)
            assert found.cosine[s, p] == pytest.approx(min(cosines), rel=1e-12)
            assert found.energy[s, p] == abs(energy[s, i] - energy[s, j])
            assert np.linalg.norm(difference) == pytest.approx(np.linalg.norm(common), rel=1e-12)


def test_changes__ignore_padding():
    energy, forces, _, _ = biased(2, 4, 5)
    pairs = other_tools.independent_pairs(4)
    present = np.array([[True] * 5, [True, True, True, False, False]])
    found = other_tools.changes(energy, forces, present, pairs)
    alone = other_tools.changes(energy[1:], forces[1:, :, :3], present[1:, :3], pairs)
    np.testing.assert_allclose(found.forces[1], alone.forces[0], rtol=1e-14)
    np.testing.assert_allclose(found.cosine[1], alone.cosine[0], rtol=1e-14)
    forces[1, :, 3:] = 1e9
    assert other_tools.changes(energy, forces, present, pairs).forces[1].max() < 10
    np.testing.assert_allclose(
        other_tools.net_force(forces, present)[1], other_tools.net_force(forces[1:, :, :3], present[1:, :3])[0]
    )


def test_pairs__join_different_replicates_only():
    pairs = other_tools.independent_pairs(3, 2)
    assert len(pairs) == 3 * 2 * 2
    assert (pairs[:, 0] // 2 != pairs[:, 1] // 2).all()
    assert len({tuple(sorted(p)) for p in pairs.tolist()}) == len(pairs)


def test_pass_rates__hold_the_two_tests_of_the_arena_apart():
    x, y = np.eye(3)[:2]
    none, tiny = np.zeros(3), 1e-4 * y
    cases = {  # two forces of one atom: do they pass the test of size, of direction
        "the same": (x, x, True, True),
        "opposite": (x, -x, False, False),
        "small but opposite": (tiny, -tiny, True, False),
        "longer": (x, 1.1 * x, False, True),
        "both zero": (none, none, True, True),
        "one zero": (none, tiny, True, False),
        "two degrees apart": (x, math.cos(0.03) * x + math.sin(0.03) * y, False, True),
        "five degrees apart": (x, math.cos(0.09) * x + math.sin(0.09) * y, False, False),
    }
    forces = np.array([[[a], [b]] for a, b, _, _ in cases.values()])
    found = other_tools.changes(np.zeros((len(cases), 2)), forces, np.ones((len(cases), 1), bool), np.array([[0, 1]]))
    for n, (name, (_, _, size, direction)) in enumerate(cases.items()):
        rates = other_tools.pass_rates(other_tools.Changes(*(part[n : n + 1] for part in found)))
        assert rates == (size and direction, size, direction, size and direction), name
    assert other_tools.pass_rates(found).both == 2 / 8


def test_pass_rate__counts_an_atom_that_fails_alone():
    forces = np.tile(np.eye(3)[0], (1, 2, 50, 1)) * 1e-4
    forces[0, 1, 7] *= -1
    found = other_tools.changes(np.zeros((1, 2)), forces, np.ones((1, 50), bool), np.array([[0, 1]]))
    assert other_tools.pass_rates(found) == (0, 1, 0, 0)


def test_rotational_std__of_a_constant_bias_is_b_over_root_three_and_agrees_with_the_split():
    energy, forces, _, _ = biased(rotations=4000)
    np.testing.assert_allclose(other_tools.rotational_std(forces[0]), 1 / math.sqrt(3), rtol=0.03)
    assert other_tools.rotational_std(energy[0]) == pytest.approx(1 / math.sqrt(3), rel=0.03)
    few = forces[0, :5].reshape(5, -1)
    split = loss_split.split(few @ few.T / few.shape[1], np.zeros(5), 0.0)
    assert (other_tools.rotational_std(few) ** 2).mean() == pytest.approx(split.equiv * 4 / 5, rel=1e-12)


def test_rotational_std__equals_that_of_metatomic():
    symmetry = pytest.importorskip("metatomic_ase._symmetry", reason="metatomic-ase is not installed")
    rotations, weight = symmetry._get_quadrature(5, 7, True)
    random = np.random.default_rng(0)
    lab = {"energy": random.normal(size=len(weight)), "forces": random.normal(size=(len(weight), 4, 3))}
    theirs = symmetry._compute_rotational_average(lab, rotations, weight, True)
    turned_back = np.einsum("rji,raj->rai", rotations, lab["forces"])
    np.testing.assert_allclose(other_tools.rotational_std(turned_back, weight), theirs["forces_rot_std"], rtol=1e-12)
    np.testing.assert_allclose(other_tools.rotational_std(lab["energy"], weight), theirs["energy_rot_std"], rtol=1e-12)


def test_net_force_and_torque__vanish_for_pair_forces_and_see_what_is_added():
    random = np.random.default_rng(3)
    x, strength = random.normal(size=(6, 3)) + 5, random.normal(size=(6, 6))
    strength = strength + strength.T
    pair = ((x[:, None] - x) * strength[..., None]).sum(1)
    present = np.ones((1, 6), bool)

    def both(forces):
        stack = forces[None, None]
        return (
            other_tools.net_force(stack, present)[0, 0],
            other_tools.net_torque(stack, x[None], present)[0, 0],
        )

    np.testing.assert_allclose(both(pair), 0, atol=1e-12)
    np.testing.assert_allclose(both(pair + np.array([0, 0, 0.1])), [0.6, 0], atol=1e-12)
    spin, arm = np.array([0.3, 0, 0]), x - x.mean(0)
    inertia = (np.eye(3) * (arm**2).sum() - arm.T @ arm) @ spin
    np.testing.assert_allclose(both(pair + np.cross(spin, arm)), [0, np.linalg.norm(inertia)], atol=1e-12)


def test_net_torque__ignores_padding():
    random = np.random.default_rng(4)
    forces, x = random.normal(size=(1, 2, 5, 3)), random.normal(size=(1, 5, 3))
    present = np.array([[True, True, True, False, False]])
    np.testing.assert_allclose(
        other_tools.net_torque(forces, x, present),
        other_tools.net_torque(forces[:, :, :3], x[:, :3], present[:, :3]),
        rtol=1e-13,
    )


def test_jacobian__of_linear_forces_is_their_matrix_and_splits_by_symmetry():
    random = np.random.default_rng(5)
    x, matrix = random.normal(size=(4, 3)), random.normal(size=(12, 12))

    def measured(m):
        moved = other_tools.displaced(x)
        return other_tools.force_jacobian((moved.reshape(len(moved), -1) @ m.T).reshape(moved.shape))

    np.testing.assert_allclose(measured(matrix), matrix, atol=1e-9)
    assert other_tools.antisymmetric_share(measured(matrix + matrix.T)) < 1e-9
    assert other_tools.antisymmetric_share(measured(matrix - matrix.T)) == pytest.approx(1, abs=1e-9)
    share = other_tools.antisymmetric_share(matrix)
    symmetric = np.linalg.norm(matrix + matrix.T) / 2 / np.linalg.norm(matrix)
    assert share**2 + symmetric**2 == pytest.approx(1, rel=1e-12)
