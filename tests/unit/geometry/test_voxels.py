"""Grids of molecules against dense formulas, and atoms found again from their grids."""

import numpy as np
import pytest
import torch

from twirlscope.errors import UserError
from twirlscope.geometry import grid_action, rotation_sets, so3, voxels

GRID = voxels.Grid(16, 0.5, 1.0, (1, 6, 8))


def on_grid(numbers, positions):
    return voxels.voxelise(torch.tensor(np.array([positions]), dtype=torch.float32), torch.tensor([numbers]), GRID)[0]


def test_peaks__of_single_atoms_are_exact_wherever_they_lie_between_voxels():
    random = np.random.default_rng(0)
    for _ in range(20):
        position = random.uniform(-2, 2, 3)
        numbers, found = voxels.peaks(on_grid([6], [position]), GRID)
        assert numbers.tolist() == [6]
        np.testing.assert_allclose(found[0], position, atol=2e-3)


def test_peaks__tell_elements_and_neighbours_apart():
    numbers = [6, 6, 8, 1]
    positions = [[-0.77, 0.1, 0.0], [0.77, 0.0, 0.1], [1.4, 1.2, 0.0], [-1.2, -1.0, 0.2]]
    found = voxels.peaks(on_grid(numbers, positions), GRID)
    assert sorted(found[0].tolist()) == sorted(numbers)
    assert voxels.count_found_atoms(found, (np.array(numbers), np.array(positions)), 0.3) == 4


def test_peaks__of_an_empty_or_faint_field_are_none():
    assert len(voxels.peaks(torch.zeros(16, 16, 16, 3), GRID)[0]) == 0
    assert len(voxels.peaks(0.2 * on_grid([6], [[0.0, 0.0, 0.0]]), GRID)[0]) == 0


def test_count_found_atoms__counts_each_peak_once_and_only_for_its_element():
    one, two = (np.array([6]), np.zeros((1, 3))), (np.array([6, 6]), np.array([[0.0, 0, 0], [0.1, 0, 0]]))
    assert voxels.count_found_atoms(one, two) == 1
    assert voxels.count_found_atoms(two, one) == 1
    assert voxels.count_found_atoms(one, (np.array([7]), np.zeros((1, 3)))) == 0
    assert voxels.count_found_atoms(one, (np.array([6]), np.full((1, 3), 0.4))) == 0  # 0.69 Å off
    assert voxels.count_found_atoms((one[0][:0], one[1][:0]), two) == 0


GRID = voxels.Grid(16, 0.5, 1.0, (1, 6, 8))


def molecule(samples=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positions = 1.2 * torch.randn(samples, 5, 3, generator=generator)
    numbers = torch.tensor([1, 6, 8])[torch.randint(3, (samples, 5), generator=generator)]
    positions[0, 3:], numbers[0, 3:] = 0, 0  # padding
    return positions, numbers


def dense(positions, numbers, grid):
    """Occupancy from the distances between all atoms and all voxels, in float64."""
    axis = (np.arange(grid.size) - (grid.size - 1) / 2) * grid.resolution
    centre = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    found = np.zeros((grid.size,) * 3 + (len(grid.channels),))
    for c, element in enumerate(grid.channels):
        atoms = positions[numbers == element].astype(np.float64)
        square = ((centre[..., None, :] - atoms) ** 2).sum(-1)
        found[..., c] = 1 - np.prod(1 - np.exp(-square / (0.93 * grid.radius) ** 2), -1)
    return found


@pytest.mark.parametrize(("size", "channels"), [(16, (1, 6, 8)), (15, (8, 1, 6, 7)), (9, (6, 8, 1))])
def test_voxelise__is_the_dense_formula_whatever_the_order_of_channels(size, channels):
    grid = voxels.Grid(size, 0.4, 0.7, channels)
    positions, numbers = molecule()
    found = voxels.voxelise(positions, numbers, grid)
    for i in range(len(found)):
        expected = dense(positions[i].numpy(), numbers[i].numpy(), grid)
        np.testing.assert_allclose(found[i], expected, atol=1e-6)
    assert found.min() >= 0
    assert 0.5 < found.max() <= 1


def test_voxelise__an_atom_on_a_voxel_fills_it_and_nothing_else():
    grid = voxels.Grid(7, 1.0, 0.1, (6,))
    found = voxels.voxelise(torch.tensor([[[1.0, -2.0, 3.0]]]), torch.tensor([[6]]), grid)
    assert found[0, 4, 1, 6, 0] == 1
    assert found.sum() == 1


@pytest.mark.parametrize("size", [16, 15])
def test_voxelise__of_a_turned_molecule_is_the_permuted_grid_for_all_rotations_of_a_cube(size):
    grid = voxels.Grid(size, 0.5, 1.0, (1, 6, 8))
    positions, numbers = (t[:1].expand(24, *t.shape[1:]) for t in molecule(seed=1))
    rotation = so3.matrix(rotation_sets.rotation_set("O").quaternion).float()
    turned = voxels.voxelise(positions @ rotation.mT, numbers, grid)
    permuted = grid_action.permute(rotation, voxels.voxelise(positions, numbers, grid))
    assert (turned - permuted).abs().max() < 1e-6
    assert (turned[0] - turned[1:]).abs().amax((1, 2, 3, 4)).min() > 0.1  # 24 different grids


def test_voxelise__does_not_depend_on_padding_or_on_the_order_of_atoms():
    positions, numbers = molecule()
    wide = voxels.voxelise(
        torch.cat([positions, torch.zeros(3, 2, 3)], 1), torch.cat([numbers, numbers[:, :2] * 0], 1), GRID
    )
    found = voxels.voxelise(positions, numbers, GRID)
    torch.testing.assert_close(wide, found, atol=0, rtol=0)
    order = torch.tensor([4, 2, 0, 3, 1])
    torch.testing.assert_close(voxels.voxelise(positions[:, order], numbers[:, order], GRID), found, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("size", "channels"), [(16, 4), (64, 8)])
def test_voxelise__takes_small_and_large_grids(size, channels):
    grid = voxels.Grid(size, 0.25, 0.5, tuple(range(1, channels + 1)))
    found = voxels.voxelise(torch.tensor([[[0.1, 0.2, 0.3]]]), torch.tensor([[channels]]), grid)
    assert found.shape == (1, size, size, size, channels)
    assert not found[..., :-1].any()
    volume = found.double().sum().item() * 0.25**3  # of one blob that lies within: pi^(3/2) (0.93 r)^3
    assert abs(volume / (np.pi**1.5 * (0.93 * 0.5) ** 3) - 1) < 1e-5


def test_voxelise__refuses_an_element_without_a_channel_and_an_empty_sample():
    positions, numbers = molecule()
    with pytest.raises(UserError, match=r"a channel for every element.*\[7\]"):
        voxels.voxelise(positions, torch.where(numbers == 6, 7, numbers), GRID)
    with pytest.raises(UserError, match="at least one atom"):
        voxels.voxelise(positions, numbers * torch.tensor([[1], [0], [1]]), GRID)
    with pytest.raises(UserError, match="each once"):
        voxels.Grid(16, 0.5, 1.0, (1, 6, 1))


def test_check_fit__refuses_what_leaves_the_grid_in_some_orientation_and_says_what_would_do():
    far = torch.tensor([[[2.7, 0.0, 0.0], [-2.7, 0.0, 0.0]]])
    voxels.check_fit(voxels.largest_radius(far), GRID, 0.25)
    with pytest.raises(UserError, match=r"8 Å in every orientation, got one that needs 8\.12 Å"):
        voxels.check_fit(1.04 * voxels.largest_radius(far), GRID, 0.25)
