"""Atoms from grids: what was put on a grid is found again."""

import numpy as np
import torch

from twirlscope import peaks, voxels

GRID = voxels.Grid(16, 0.5, 1.0, (1, 6, 8))


def on_grid(numbers, positions):
    return voxels.voxelise(torch.tensor(np.array([positions]), dtype=torch.float32), torch.tensor([numbers]), GRID)[0]


def test_peaks__of_single_atoms_are_exact_wherever_they_lie_between_voxels():
    random = np.random.default_rng(0)
    for _ in range(20):
        position = random.uniform(-2, 2, 3)
        numbers, found = peaks.peaks(on_grid([6], [position]), GRID)
        assert numbers.tolist() == [6]
        np.testing.assert_allclose(found[0], position, atol=2e-3)


def test_peaks__tell_elements_and_neighbours_apart():
    numbers = [6, 6, 8, 1]
    positions = [[-0.77, 0.1, 0.0], [0.77, 0.0, 0.1], [1.4, 1.2, 0.0], [-1.2, -1.0, 0.2]]
    found = peaks.peaks(on_grid(numbers, positions), GRID)
    assert sorted(found[0].tolist()) == sorted(numbers)
    assert peaks.matched(found, (np.array(numbers), np.array(positions)), 0.3) == 4


def test_peaks__of_an_empty_or_faint_field_are_none():
    assert len(peaks.peaks(torch.zeros(16, 16, 16, 3), GRID)[0]) == 0
    assert len(peaks.peaks(0.2 * on_grid([6], [[0.0, 0.0, 0.0]]), GRID)[0]) == 0


def test_matched__counts_each_peak_once_and_only_for_its_element():
    one, two = (np.array([6]), np.zeros((1, 3))), (np.array([6, 6]), np.array([[0.0, 0, 0], [0.1, 0, 0]]))
    assert peaks.matched(one, two) == 1
    assert peaks.matched(two, one) == 1
    assert peaks.matched(one, (np.array([7]), np.zeros((1, 3)))) == 0
    assert peaks.matched(one, (np.array([6]), np.full((1, 3), 0.4))) == 0  # 0.69 Å off
    assert peaks.matched((one[0][:0], one[1][:0]), two) == 0
