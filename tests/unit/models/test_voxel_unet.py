"""The U-Net: sizes against the published counts, layers against torch's own, channels that are what they say."""

import pytest
import torch

from twirlscope.errors import UserError
from twirlscope.models.voxel_unet import SIZES, Attention, Block, GroupNorm, VoxelUnet

PUBLISHED = {"2k": (4, 1844), "190k": (4, 189_940), "7M": (5, 7.0e6), "28M": (5, 27.9e6), "112M": (5, 111.5e6)}


def build(size="190k", elements=(1, 6, 7, 8), voxels=16):
    torch.manual_seed(0)
    return VoxelUnet(VoxelUnet.Settings(size=size), {"elements": list(elements), "size": voxels}).eval()


@pytest.mark.parametrize("size", SIZES)
def test_sizes__have_the_published_number_of_parameters_to_one_percent(size):
    channels, count = PUBLISHED[size]
    with torch.device("meta"):
        model = build(size, range(1, channels + 1), 32)
    assert abs(sum(p.numel() for p in model.parameters()) / count - 1) < 0.01


@pytest.mark.parametrize("size", ["190k", "7M"])
def test_forward__gives_a_field_of_the_shape_of_the_grid_and_sees_all_of_it(size):
    model = build(size)
    grid = torch.randn(1, 16, 16, 16, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    out = model({"grid": grid})["density"]
    assert out.shape == grid.shape
    (slope,) = torch.autograd.grad(out[0, 8, 8, 8, 0], grid)
    assert (slope.abs().amax((0, 1, 2, 3)) > 0).all()  # every channel
    assert (slope[0].abs().amax((1, 2, 3)) > 0).all()  # every place along an axis


def test_equivariant__is_claimed_with_the_mean_over_the_rotations_of_a_cube_alone():
    for average, claim in (("none", False), ("octahedral", True)):
        with torch.device("meta"):
            model = VoxelUnet(VoxelUnet.Settings(average=average), {"elements": [1], "size": 16})
        assert model.equivariant is claim


def test_group_norm__is_that_of_torch():
    own, other = GroupNorm(8, 4), torch.nn.GroupNorm(4, 8)
    with torch.no_grad():
        for ours, theirs in ((own.scale, other.weight), (own.shift, other.bias)):
            theirs.copy_(ours.normal_())
    x = torch.randn(2, 8, 3, 3, 3)
    torch.testing.assert_close(own(x), other(x))


def test_attention__is_that_of_torch():
    own = Attention(6)
    x = torch.randn(2, 6, 2, 2, 2)
    tokens = x.flatten(2).mT
    heads = torch.nn.functional.scaled_dot_product_attention(*own.project(tokens).chunk(3, -1))
    torch.testing.assert_close(own(x), (tokens + own.mix(heads)).mT.reshape(x.shape))


def test_block__with_attention_has_right_second_derivatives_in_weights_and_input():
    torch.manual_seed(0)
    block = Block(2, 4, 2, 0.0, True).double()
    names, weights = zip(*block.named_parameters(), strict=True)

    def applied(x, *values):
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x,)).square().sum()

    x = torch.randn(1, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(applied, (x, *weights), fast_mode=True)


def test_load__refuses_weights_whose_channels_are_in_another_order():
    state = build(elements=(1, 6, 7, 8)).state_dict()
    build(elements=(1, 6, 7, 8)).load_state_dict(state)
    with pytest.raises(UserError, match=r"channels \[6, 1, 7, 8\], got \[1, 6, 7, 8\]"):
        build(elements=(6, 1, 7, 8)).load_state_dict(state)


def test_forward__refuses_another_number_of_channels():
    with pytest.raises(UserError, match=r"4 channels, atomic numbers \[1, 6, 7, 8\]"):
        build()({"grid": torch.zeros(1, 16, 16, 16, 5)})


def test_model__refuses_a_grid_that_cannot_be_halved():
    with pytest.raises(UserError, match="a multiple of 4, got 10"):
        build(voxels=10)
    with pytest.raises(UserError, match="a multiple of 8, got 12"):
        build("7M", voxels=12)
