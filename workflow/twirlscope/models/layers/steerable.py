"""Steerable convolutions: layers for fields on a cubic grid whose vectors and higher degrees rotate with the grid.

Kernels are sums of spherical harmonics times functions of the distance, so that convolutions are equivariant. On a grid
this is exact for the 24 rotations of a cube, which map voxels to voxels. For all others it is as accurate as the
sampling of the kernel. Degrees are irreps of SO(3), without parity: mirror images are distinguished.

Source: Weiler et al., arXiv:1807.02547, for steerable kernels on voxels.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import nn

from ..._typing import Callable, Float, Tensor
from ...errors import Deferred, needs
from .tensor_products import SIGMOID_GAIN, SILU_GAIN, silu

with needs("equivariant"):
    o3 = Deferred("e3nn.o3")

SHELL_WIDTH = 0.6  # [voxel] of the radial functions; neighbouring ones overlap

Field = Float[
    Tensor, "sample _channel _x _y _z"
]  # all channels of the first part, then of the next; the components of a field are adjacent

Parts = list[tuple[int, int]]  # number of fields and their degree; those of degree 0 come first


def channels(parts: Parts) -> list[int]:
    """Number of channels of every part."""
    return [count * (2 * degree + 1) for count, degree in parts]


@functools.cache
def kernels(before: int, after: int, size: int) -> Float[Tensor, "kernel after before voxel"]:
    """All steerable kernels from a field of degree `before` to one of degree `after`, in float64; there may be none.

    The voxels are those of a cube of odd edge. Applied to white noise, a kernel gives components of variance 1.
    """
    half = size // 2
    axis = torch.arange(-half, half + 1, dtype=torch.float64)
    voxel = torch.cartesian_prod(axis, axis, axis)
    length, basis = voxel.norm(dim=-1), []
    for degree, shell in itertools.product(range(abs(after - before), after + before + 1), range(half + 1)):
        harmonic = o3.spherical_harmonics(degree, voxel, True, "component")
        harmonic = harmonic * (-(((length - shell) / SHELL_WIDTH) ** 2) / 2).exp()[:, None]
        if degree:
            harmonic[length == 0] = 0  # it has no direction
        mixed = torch.einsum("jki,vk->jiv", o3.wigner_3j(after, degree, before, torch.float64), harmonic)
        if mixed.any():
            basis.append(mixed / (mixed.square().sum() / len(mixed)).sqrt())
    return torch.stack(basis) if basis else voxel.new_zeros(0, 2 * after + 1, 2 * before + 1, size**3)


class Convolution(nn.Module):
    """Steerable convolution, padded with 0; fields of degree 0 get a bias.

    Args:
        before: input fields.
        after: output fields.
        size: voxels along an edge of the kernel, odd; with 1 it mixes fields of the same degree.
        gain: standard deviation of the output before training, for input of unit variance.
    """

    def __init__(self, before: Parts, after: Parts, size: int, gain: float = 1.0):
        super().__init__()
        self.before, self.after, self.size = before, after, size
        self.weights = nn.ParameterDict()
        for o, (out, wide) in enumerate(after):
            counts = {i: len(kernels(degree, wide, size)) for i, (_, degree) in enumerate(before)}
            fan = sum(before[i][0] * number for i, number in counts.items())
            for i, number in counts.items():
                if number:
                    weight = torch.randn(out, before[i][0], number) * gain / fan**0.5
                    self.weights[f"{i}_{o}"] = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(sum(count for count, degree in after if degree == 0)))
        self._make_kernels()

    def _make_kernels(self) -> None:
        """Registers the kernels in the precision of the weights, computed anew so that none is rounded twice."""
        for i, o in itertools.product({d for _, d in self.before}, {d for _, d in self.after}):
            self.register_buffer(f"kernel_{i}_{o}", kernels(i, o, self.size).to(self.bias), persistent=False)

    def _apply(self, function: Callable, recurse: bool = True) -> nn.Module:
        """Moves to another device or precision."""
        super()._apply(function, recurse)
        self._make_kernels()
        return self

    def kernel(self) -> Float[Tensor, "after before size size size"]:
        """Kernel in the layout of a plain convolution."""
        rows = []
        for o, (out, after) in enumerate(self.after):
            row = []
            for i, (count, before) in enumerate(self.before):
                basis = getattr(self, f"kernel_{before}_{after}")
                weight = self.weights[f"{i}_{o}"] if len(basis) else basis.new_zeros(out, count, 0)
                block = torch.einsum("ous,sjiv->ojuiv", weight, basis)
                row.append(block.reshape(out * (2 * after + 1), count * (2 * before + 1), -1))
            rows.append(torch.cat(row, 1))
        return torch.cat(rows).unflatten(-1, (self.size,) * 3)

    def forward(self, x: Field) -> Field:
        """Fields after the convolution."""
        bias = nn.functional.pad(self.bias, (0, sum(channels(self.after)) - len(self.bias)))
        return nn.functional.conv3d(x, self.kernel(), bias, padding=self.size // 2)


class Gate(nn.Module):
    """Norm per part, then SiLU of scalars; each field of higher degree times the sigmoid of a scalar of its own.

    The norm of a sample is over all voxels and fields of a part. Only scalars are centred.

    Args:
        after: output fields; the input fields are `before`.
    """

    def __init__(self, after: Parts):
        super().__init__()
        self.scalars, self.higher = after[0][0], after[1:]
        self.gates = sum(count for count, _ in self.higher)
        self.before = [(self.scalars + self.gates, 0), *self.higher]
        self.scale = nn.ParameterList(nn.Parameter(torch.ones(count)) for count, _ in self.before)
        self.shift = nn.Parameter(torch.zeros(self.scalars + self.gates))

    def forward(self, x: Field) -> Field:
        """Gated fields."""
        split = x.split(channels(self.before), 1)
        parts = [self._normed(*each) for each in zip(split, self.before, self.scale, strict=True)]
        scalars, gates = (parts[0] + self.shift[:, None, None, None]).split([self.scalars, self.gates], 1)
        gates = (SIGMOID_GAIN * gates.sigmoid()).split([count for count, _ in self.higher], 1)
        gated = [
            (part.unflatten(1, (count, -1)) * gate[:, :, None]).flatten(1, 2)
            for part, gate, (count, _) in zip(parts[1:], gates, self.higher, strict=True)
        ]
        return torch.cat([SILU_GAIN * silu(scalars), *gated], 1)

    def _normed(self, part: Field, fields: tuple[int, int], scale: Float[Tensor, " field"]) -> Field:
        count, degree = fields
        if degree == 0:
            part = part - part.mean((1, 2, 3, 4), keepdim=True)
        normed = part * (part.square().mean((1, 2, 3, 4), keepdim=True) + 1e-5).rsqrt()
        return (normed.unflatten(1, (count, -1)) * scale[:, None, None, None, None]).flatten(1, 2)


def downsampled(x: Field) -> Field:
    """Means over cubes of 2 x 2 x 2 voxels; unlike every second voxel, they rotate with the grid."""
    return nn.functional.avg_pool3d(x, 2)


def upsampled(x: Field) -> Field:
    """Every voxel repeated as a cube of 2 x 2 x 2 voxels."""
    for axis in (2, 3, 4):
        x = x.repeat_interleave(2, axis)
    return x
