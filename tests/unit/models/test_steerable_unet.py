"""Networks on grids with the symmetry of a cube: steerable convolutions, and the mean over 24 rotations."""

import itertools

import numpy as np
import pytest
import torch
import toys
from e3nn import o3

from twirlscope import plugins
from twirlscope.curvature import derivative_check
from twirlscope.curvature.objective import Objective
from twirlscope.errors import UserErrors
from twirlscope.geometry import grid_action, so3
from twirlscope.geometry.rotation_sets import rotation_set
from twirlscope.models.layers.steerable import Convolution, channels, downsampled, kernels, upsampled
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import measure

CONSTANTS = {"elements": [1, 6], "size": 8}
TURNS = so3.matrix(rotation_set("O").quaternion)
MODELS = [
    {"name": "steerable_unet", "width": 2},
    {"name": "steerable_unet", "width": 1, "l_max": 2, "kernel": 5},
    {"name": "voxel_unet", "average": "octahedral"},
]


def model(section, constants=CONSTANTS):
    torch.manual_seed(0)
    return plugins.make_model(section, constants).eval()


def turned(field, parts):
    """Fields `[turn, channel, x, y, z]` under the 24 rotations: voxels move, and components turn."""
    moved = grid_action.permute(TURNS, field.movedim(1, -1)).movedim(-1, 1)
    rows = []
    for part, (count, degree) in zip(moved.split(channels(parts), 1), parts, strict=True):
        matrix = o3.Irrep(degree, 1).D_from_matrix(TURNS.double()).to(field)
        rows.append(torch.einsum("gij,guj...->gui...", matrix, part.unflatten(1, (count, -1))).flatten(1, 2))
    return torch.cat(rows, 1)


@pytest.mark.parametrize("section", MODELS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
@torch.no_grad()
def test_network__turns_with_the_24_rotations_of_the_grid(section, dtype, limit):
    """Quarter turns about two axes make all 24."""
    quarters = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, -1], [0, 1, 0]]])
    net, grid = model(section).to(dtype), torch.randn(1, 8, 8, 8, 2, generator=torch.Generator().manual_seed(1))
    grid = grid.to(dtype).expand(2, -1, -1, -1, -1)
    there = net({"grid": grid_action.permute(quarters, grid)})["density"]
    here = net({"grid": grid[:1]})["density"].expand_as(there)
    assert (there - here).abs().amax((1, 2, 3, 4)).min() > 0.01 * here.abs().max()  # turning changes something
    assert (there - grid_action.permute(quarters, here)).abs().max() < limit * here.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("section", MODELS[::2], ids=lambda s: s["name"])
def test_measure__of_it_is_rounding_in_single_precision(section):
    task = plugins.make_task({"name": "voxel_denoising", "size": 8, "resolution": 1.0}, toys.molecules(4))
    found = measure.measure(model(section, task.constants), task, np.arange(4), TwirlSettings(rotations=4))
    assert (abs(found["loss_equiv"]) < 1e-9 * found["loss_total"]).all()


@pytest.mark.parametrize(("before", "after", "size"), [(0, 0, 3), (1, 2, 3), (2, 2, 5), (1, 1, 1), (0, 1, 1)])
def test_kernels__are_equivariant_and_as_many_as_degrees_and_shells(before, after, size):
    found = kernels(before, after, size)
    expected = (after + before + 1 - abs(after - before)) * (size // 2 + 1) if size > 1 else int(before == after)
    assert len(found) == expected
    assert torch.linalg.matrix_rank(found.flatten(1)) == expected
    for place in found.unflatten(-1, (size,) * 3):
        field = place.flatten(0, 1)[None].expand(24, -1, -1, -1, -1)
        moved = grid_action.permute(TURNS, field.movedim(1, -1)).movedim(-1, 1).unflatten(1, place.shape[:2])
        out, into = (o3.Irrep(degree, 1).D_from_matrix(TURNS.double()) for degree in (after, before))
        assert torch.allclose(
            torch.einsum("gij,gjk...,glk->gil...", out, moved, into), place.expand_as(moved), atol=1e-5
        )


def test_convolution__turns_all_degrees_and_keeps_the_variance():
    torch.manual_seed(0)
    before, after = [(2, 0), (1, 1), (1, 2)], [(1, 0), (2, 1), (1, 2)]
    layer, field = Convolution(before, after, 3).double(), torch.randn(1, 10, 6, 6, 6, dtype=torch.float64)
    there, here = layer(turned(field.expand(24, -1, -1, -1, -1), before)), layer(field)
    assert (there - turned(here.expand(24, -1, -1, -1, -1), after)).abs().max() < 1e-5  # turns of e3nn are single
    wide = [(32, 0), (32, 1)]
    made = Convolution(wide, wide, 3)(torch.randn(1, 128, 16, 16, 16))[..., 1:-1, 1:-1, 1:-1]
    for part in made.split(channels(wide), 1):
        assert 0.7 < part.square().mean() < 1.3


def test_convolution__is_exact_in_double_precision_after_single():
    layer = Convolution([(1, 2)], [(1, 2)], 3).float().double()
    assert torch.equal(layer.kernel_2_2, kernels(2, 2, 3))
    assert layer.state_dict().keys() == dict(layer.named_parameters()).keys()


def test_pooling__turns_with_the_grid_and_undoes_copies():
    field, parts = torch.randn(1, 4, 8, 8, 8, dtype=torch.float64), [(1, 0), (1, 1)]
    for pool in (downsampled, upsampled):
        there, here = pool(turned(field.expand(24, -1, -1, -1, -1), parts)), pool(field)
        assert torch.allclose(there, turned(here.expand(24, -1, -1, -1, -1), parts), atol=1e-5)
    assert torch.allclose(downsampled(upsampled(field)), field)


def test_averaged_unet__is_the_mean_of_24_turned_passes_of_the_plain_one():
    plain, averaged = (model({"name": "voxel_unet", "average": a}).double() for a in ("none", "octahedral"))
    averaged.load_state_dict(plain.state_dict())
    grid = torch.randn(2, 8, 8, 8, 2, dtype=torch.float64)
    passes = []
    for axes, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        matrix = torch.eye(3)[list(axes)] * torch.tensor(signs)[:, None]
        if torch.linalg.det(matrix) > 0:
            turn = matrix.expand(2, 3, 3)
            out = plain({"grid": grid_action.permute(turn, grid)})["density"]
            passes.append(grid_action.permute(turn.mT, out))
    assert len(passes) == 24
    assert torch.allclose(averaged({"grid": grid})["density"], torch.stack(passes).mean(0), atol=1e-12)


@pytest.mark.slow
def test_steerable_unet__passes_the_certificate_of_curvature():
    task = plugins.make_task({"name": "voxel_denoising", "size": 8, "resolution": 1.0}, toys.molecules(2))
    net = model({"name": "steerable_unet", "width": 1, "levels": 2}, task.constants)
    objective = Objective(net, task, task.batch(np.arange(1)), rotation_set("D2").quaternion[None])
    found = derivative_check.certify(objective)
    assert max(*found.error.values(), *found.gauss_newton.values()) < derivative_check.TOLERANCE


def test_steerable_unet__refuses_a_kernel_without_a_middle():
    with pytest.raises(UserErrors, match="an odd kernel"):
        model({"name": "steerable_unet", "kernel": 4})
