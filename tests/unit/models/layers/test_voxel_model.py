"""The base class of models of voxels: grids and channels that fit, and the layout of fields."""

import pytest
import torch

from twirlscope import plugins
from twirlscope.errors import UserError

MODELS = [{"name": "steerable_unet", "width": 1, "levels": 2}, {"name": "voxel_unet"}]


def build(section, size=8, elements=(1, 6)):
    torch.manual_seed(0)
    return plugins.make_model(section, {"elements": list(elements), "size": size}).eval()


@pytest.mark.parametrize("section", MODELS, ids=lambda s: s["name"])
def test_forward__gives_fields_in_the_layout_of_the_grid(section):
    grid = torch.randn(2, 8, 8, 8, 2, generator=torch.Generator().manual_seed(1))
    assert build(section)({"grid": grid})["density"].shape == grid.shape


@pytest.mark.parametrize("section", MODELS, ids=lambda s: s["name"])
def test_forward__refuses_another_number_of_channels(section):
    with pytest.raises(UserError, match=r"2 channels, atomic numbers \[1, 6\], got a grid of shape \[1, 8, 8, 8, 3\]"):
        build(section)({"grid": torch.zeros(1, 8, 8, 8, 3)})


@pytest.mark.parametrize(("section", "factor"), zip(MODELS, (2, 4), strict=True), ids=[s["name"] for s in MODELS])
def test_model__refuses_a_grid_that_cannot_be_halved(section, factor):
    with pytest.raises(UserError, match=f"a multiple of {factor}, got 9"):
        build(section, size=9)
