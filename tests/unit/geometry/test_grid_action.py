"""Rotation of grids against rotated points, dense interpolation and the group law."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from twirlscope.errors import UserError
from twirlscope.geometry import action, grid_action, rotation_sets, so3, voxels

ALL = so3.matrix(rotation_sets.rotation_set("O").quaternion)


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def haar(samples, seed=0):
    return so3.matrix(so3.haar(samples, generator=torch.Generator().manual_seed(seed)))


def test_permute__moves_a_voxel_to_where_its_centre_is_turned():
    size, place = 5, np.array([0, 3, 1])
    field = torch.zeros(24, size, size, size, 1)
    field[(slice(None), *place)] = 1
    found = grid_action.permute(ALL, field)
    for turned, rotation in zip(found, ALL.numpy(), strict=True):
        expected = np.rint(rotation @ (place - 2) + 2).astype(int)
        assert np.argwhere(turned[..., 0].numpy()).tolist() == [expected.tolist()]


@pytest.mark.parametrize("size", [4, 5])
def test_permute__composes_like_the_rotations_and_never_leaves_the_group(size):
    field, first, second = noise(1, size, size, size, 2), ALL.repeat_interleave(24, 0), ALL.repeat(24, 1, 1)
    field = field.expand(576, *field.shape[1:])
    twice = grid_action.permute(second, grid_action.permute(first, field))
    assert torch.equal(twice, grid_action.permute(second @ first, field))
    products = {tuple(m.round().flatten().int().tolist()) for m in second @ first}
    assert products == {tuple(m.round().flatten().int().tolist()) for m in ALL}
    assert len(products) == 24


def test_permute__is_orthogonal_so_white_noise_stays_white_noise():
    field = noise(24, 6, 6, 6, 2)
    turned = grid_action.permute(ALL, field)
    for a, b in zip(turned, field, strict=True):
        assert torch.equal(a.reshape(-1, 2).sort(0).values, b.reshape(-1, 2).sort(0).values)
    back = grid_action.permute(ALL.mT, turned)
    assert torch.equal(back, field)


def test_permute__refuses_what_does_not_turn_a_grid():
    field = noise(2, 4, 4, 4, 1)
    with pytest.raises(UserError, match=r"24 rotations of a cube.*got 2 of 2 others"):
        grid_action.permute(haar(2), field)
    with pytest.raises(UserError, match="24 rotations"):
        grid_action.permute(-ALL[:2], field)  # a reflection
    with pytest.raises(UserError, match="equal edges"):
        grid_action.permute(ALL[:2], field[:, :, :3])


def test_trilinear__agrees_with_scipy_and_with_the_permutation_where_that_is_exact():
    field, rotation = noise(3, 6, 6, 6, 2, dtype=torch.float64), haar(3)
    found = grid_action.trilinear(rotation, field)
    axis = np.arange(6) - 2.5
    target = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    for n in range(3):
        source = target @ rotation[n].numpy() + 2.5
        for c in range(2):
            expected = map_coordinates(
                np.pad(field[n, ..., c].numpy(), 1), np.moveaxis(source + 1, -1, 0), order=1, mode="constant"
            )
            np.testing.assert_allclose(found[n, ..., c], expected, atol=1e-12)
    field = noise(24, 5, 5, 5, 1, dtype=torch.float64)
    torch.testing.assert_close(grid_action.trilinear(ALL, field), grid_action.permute(ALL, field), atol=1e-12, rtol=0)


def test_trilinear__leaves_less_than_a_third_of_the_variance_of_white_noise():
    rotation, size = haar(64), 16
    turned = grid_action.trilinear(rotation, noise(64, size, size, size, 4))
    centre = slice(4, -4)  # nothing of the outside reaches these voxels
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    target = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    share = torch.einsum("xyzi,sij->sxyzj", target, rotation)[:, centre, centre, centre] + (size - 1) / 2
    share = share - share.floor()
    expected = (share**2 + (1 - share) ** 2).prod(-1).mean().item()  # the sum of the squared weights
    assert abs(turned[:, centre, centre, centre].var().item() / expected - 1) < 0.02
    assert abs(expected - (2 / 3) ** 3) < 0.01  # its value where all places between voxels are equally likely
    assert 0.2 < turned.var() < 0.3


def test_rotate__moves_voxels_and_rotates_the_vectors_in_them():
    field, rotation = noise(24, 4, 4, 4, 3, dtype=torch.float64), ALL
    assert torch.equal(action.rotate("grid 0e", rotation, field), grid_action.permute(rotation, field))
    vectors = action.rotate("grid 1o", rotation, field)
    expected = torch.einsum("sij,sxyzj->sxyzi", rotation, grid_action.permute(rotation, field))
    torch.testing.assert_close(vectors, expected)
    torch.testing.assert_close(action.twist("grid 1o", rotation, vectors), field)
    assert action.rotate("0e", rotation, field) is field


def test_fourier__is_orthogonal_so_white_noise_stays_white_noise():
    rotation = haar(200)
    turned = grid_action.fourier(rotation, noise(200, 8, 8, 8, 1))
    unit = torch.eye(216, dtype=torch.float64).reshape(216, 6, 6, 6, 1)
    matrix = grid_action.fourier(haar(1, 3).expand(216, 3, 3), unit).reshape(216, 216)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(216, dtype=torch.float64), atol=1e-10, rtol=0)
    assert abs(turned.var().item() - 1) < 0.02


def test_fourier__is_the_permutation_where_that_is_exact():
    for size in (5, 6):
        field = noise(24, size, size, size, 2, dtype=torch.float64)
        torch.testing.assert_close(grid_action.fourier(ALL, field), grid_action.permute(ALL, field), atol=1e-9, rtol=0)


def test_interpolation__of_blobs_has_a_floor_that_is_far_lower_by_fourier_than_trilinear():
    """Compared with grids of rotated atoms. The Fourier error is a hundredth of the trilinear one."""
    grid = voxels.Grid(16, 0.5, 1.0, (6,))
    generator = torch.Generator().manual_seed(0)
    positions, numbers = 1.2 * torch.randn(32, 6, 3, generator=generator), torch.full((32, 6), 6)
    positions = positions * (2.5 / positions.norm(dim=-1, keepdim=True)).clamp(max=1)
    rotation = haar(32).float()
    field, exact = (voxels.voxelise(x, numbers, grid) for x in (positions, positions @ rotation.mT))
    square = exact.square().mean()
    trilinear, fourier = (
        (action.rotate(f"{kind} 0e", rotation, field) - exact).square().mean() / square
        for kind in ("trilinear", "fourier")
    )
    assert 0.003 < trilinear < 0.01
    assert fourier < trilinear / 50
