"""Cells, wrapping and overlaps against a loop over all periodic images."""

import itertools

import numpy as np
import pytest

from twirlscope.geometry import cells

SKEWED = np.array([[2.2, 0.3, 0.0], [1.9, 2.4, -0.2], [0.4, -1.1, 2.6]])
AXES = [(True, True, True), (True, True, False), (False, True, False)]


def distances(positions, lattice):
    """Distances between all atoms and all images up to six lattice vectors away, without an atom and itself."""
    shifts = np.array(list(itertools.product(range(-6, 7), repeat=3)))
    apart = positions[:, None] - positions + (shifts @ lattice)[:, None, None]
    every = np.linalg.norm(apart, axis=-1)
    itself = np.eye(len(positions), dtype=bool) & ~(shifts @ lattice).any(1)[:, None, None]
    return np.where(itself, np.inf, every)


@pytest.mark.parametrize("periodic", AXES)
def test_heights__are_those_of_the_volume_over_the_area_of_a_face(periodic):
    lattice = cells.lattice_of(SKEWED, periodic)
    found = cells.heights(lattice)
    assert np.isinf(found[~np.array(periodic)]).all()
    normals = list(np.linalg.svd(lattice)[2][sum(periodic) :])  # unit vectors where the lattice has none
    full = [lattice[k] if periodic[k] else normals.pop() for k in range(3)]
    for k in np.flatnonzero(periodic):
        face = np.cross(full[k - 1], full[k - 2])
        assert found[k] == pytest.approx(abs(np.linalg.det(full)) / np.linalg.norm(face))


def test_heights__of_parallel_vectors_are_zero():
    assert cells.heights(np.array([[1.0, 0, 0], [2, 0, 0], [0, 0, 3]])).min() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("periodic", AXES)
def test_wrapped__moves_by_whole_vectors_into_the_cell(periodic):
    lattice = cells.lattice_of(SKEWED, periodic)
    positions = np.random.default_rng(0).normal(size=(50, 3)) * 9
    inside = cells.wrapped(positions, lattice)
    place = (inside @ np.linalg.pinv(lattice))[:, np.array(periodic)]
    assert place.min() > -1e-9
    assert place.max() < 1
    moved = (positions - inside) @ np.linalg.pinv(lattice)
    np.testing.assert_allclose(moved, moved.round(), atol=1e-12)
    np.testing.assert_allclose(moved @ lattice, positions - inside, atol=1e-12)
    assert abs(moved).max() > 2


def test_wrapped__leaves_atoms_on_a_face_and_molecules_alone():
    corners = np.array([[0.0, 0, 0], [-1e-12, 1, 1]])
    assert np.array_equal(cells.wrapped(corners, 3 * np.eye(3)), corners)
    assert np.array_equal(cells.wrapped(corners - 9, np.zeros((3, 3))), corners - 9)


@pytest.mark.slow
@pytest.mark.parametrize(("periodic", "atoms"), list(zip(AXES, (9, 14, 20), strict=True)))
def test_overlap__is_found_where_some_pair_of_images_is_too_close(periodic, atoms):
    rng, lattice, found = np.random.default_rng(1), cells.lattice_of(SKEWED, periodic), 0
    for _ in range(60):
        positions = rng.uniform(-3, 3, (atoms, 3))
        close = distances(positions, lattice).min() < cells.SMALLEST_DISTANCE
        assert close == (cells.overlap(positions, lattice) is not None)
        found += close
    assert 3 < found < 57


def test_overlap__of_an_atom_and_its_own_image_is_found_in_a_skewed_cell():
    """The lattice vectors are 3 Å and longer, but their difference is short."""
    lattice = np.array([[3.0, 0, 0], [3.0, 0.25, 0], [0, 0, 3.0]])
    assert cells.overlap(np.zeros((1, 3)), lattice) is not None
    assert cells.overlap(np.zeros((1, 3)), lattice + np.diag([0, 0.1, 0])) is None
