"""The canonical orientation of points."""

import torch

from twirlscope.geometry import so3
from twirlscope.geometry.principal_axes import canonical_rotation


def test_canonical_rotation__gives_turned_points_the_same_image():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(20, 7, 3, dtype=torch.float64, generator=generator)
    real = torch.ones(20, 7)
    real[:, 5:] = 0
    points[:, 5:] = 0
    rotation = so3.matrix(so3.haar(20, generator=generator))
    images = [x @ canonical_rotation(x, real).mT for x in (points, points @ rotation.mT)]
    torch.testing.assert_close(*images, atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.linalg.det(canonical_rotation(points, real)), torch.ones(20, dtype=torch.float64))
