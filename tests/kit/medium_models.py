"""Models of 557 to 972 parameters, before and after a short training, and their dense Hessians in float64.

Their Hessians are large enough for tests of estimates from a few Lanczos steps, unlike those of `small_models`.
"""

import functools
from typing import ClassVar

import numpy as np
import torch
from e3nn import o3
from torch import nn

from twirlscope import Batch, Task, Term
from twirlscope.curvature.lanczos import _symmetric
from twirlscope.curvature.objective import Objective
from twirlscope.geometry import rotation_sets
from twirlscope.runtime import precision

POINTS, SAMPLES = 5, 6


class Clouds(Task):
    """Five points per sample; targets are an equivariant vector per point and an invariant scalar."""

    irreps_in: ClassVar = {"positions": "1o"}
    terms = (Term("forces", "1o", weight=2.0), Term("energy", "0e", weight=0.5))

    def __init__(self):
        pass

    def batch(self, index):
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(SAMPLES, POINTS, 3, generator=generator)
        length = x.norm(dim=-1, keepdim=True)
        forces = torch.sin(2 * length) * x + 0.3 * torch.linalg.cross(x, x.roll(1, 1), dim=-1)
        targets = {"forces": forces, "energy": length.sum((1, 2))[:, None] - 8}
        weights = {"forces": torch.full((SAMPLES, POINTS), 1 / POINTS), "energy": torch.ones(SAMPLES)}
        return Batch({"positions": x}, targets, weights).map(lambda t: t[index])


def heads(out):
    return {"forces": out[..., :3], "energy": out[..., 3].mean(1, keepdim=True)}


class Attention(nn.Module):
    """Transformer block on the points."""

    def __init__(self, width=11):
        super().__init__()
        self.embed, self.qkv = nn.Linear(3, width), nn.Linear(width, 3 * width)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 4))

    def forward(self, inputs):
        x = self.embed(inputs["positions"])
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v))
        return heads(self.body(x))


class Convolution(nn.Module):
    """Convolution over a grid of densities of the points; outputs are interpolated at the points."""

    def __init__(self, width=5):
        super().__init__()
        self.register_buffer("nodes", torch.cartesian_prod(*[torch.linspace(-2, 2, 3)] * 3))
        self.body = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.SiLU(), nn.Conv3d(width, 4, 3, padding=1))

    def forward(self, inputs):
        near = torch.exp(-(inputs["positions"][..., None, :] - self.nodes).square().sum(-1))
        field = self.body(near.sum(1).view(-1, 1, 3, 3, 3)).flatten(2)
        return heads(torch.einsum("spn,scn->spc", near, field))


class Harmonics(nn.Module):
    """Spherical harmonics and a tensor product of e3nn, plus a small part that breaks the symmetry."""

    def __init__(self, width=10):
        super().__init__()
        self.mix = o3.FullyConnectedTensorProduct(
            "1x0e + 1x1o + 1x2e", f"{width}x0e + {width}x1o", f"{width}x0e + {width}x1o"
        )
        self.lift, self.out = o3.Linear("1x0e + 1x1o", f"{width}x0e + {width}x1o"), o3.Linear(f"{width}x1o", "1x1o")
        self.scalar, self.broken = nn.Linear(width, 1), nn.Linear(3, 4)
        self.width = width

    def forward(self, inputs):
        x = inputs["positions"]
        one = torch.ones_like(x[..., :1])
        around = o3.spherical_harmonics([0, 1, 2], x, normalize=False)
        hidden = self.mix(around, self.lift(torch.cat([one, x.mean(1, keepdim=True).expand_as(x)], -1)))
        scalars, vectors = hidden[..., : self.width], hidden[..., self.width :]
        out = torch.cat([self.out(vectors), self.scalar(torch.tanh(scalars))], -1)
        return heads(out + torch.tanh(self.broken(x)))


class Conservative(nn.Module):
    """Energy from positions and their differences; forces are minus its gradient."""

    def __init__(self, width=24):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.out = nn.Linear(width, 1)

    def forward(self, inputs):
        x = inputs["positions"].detach().requires_grad_()
        features = torch.cat([x, x.roll(1, 1) - x], -1)
        energy = self.out(self.body(features)).mean((1, 2))[:, None]
        (gradient,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
        return {"forces": -gradient, "energy": energy}


MODELS = {"attention": Attention, "convolution": Convolution, "e3nn": Harmonics, "conservative": Conservative}


@functools.cache
def objective(name, steps=0):
    """Objective of a model after some steps of Adam."""
    torch.manual_seed(0)
    task, index = Clouds(), np.arange(SAMPLES)
    model = MODELS[name]().double()
    batch, quaternion = task.batch(index), rotation_sets.sample_rotations("D2", SAMPLES, 0, 0)
    if steps:
        optimiser, sample = torch.optim.Adam(model.parameters(), 1e-2), batch.to("cpu", torch.float64)
        for _ in range(steps):
            optimiser.zero_grad()
            out = model(sample.inputs)
            sum((out[k] - sample.targets[k]).square().mean() for k in out).backward()
            optimiser.step()
    return Objective(model, task, batch, quaternion, chunk=SAMPLES)


@functools.cache
def hessian(name, part, steps=0):
    """Dense Hessian of a part of the loss: the Jacobian of the gradient, row by row, without the operators."""
    built = objective(name, steps)
    theta = built.parameters
    with precision.differentiable():
        losses = built.losses(theta, built.chunks[0])
        (gradient,) = torch.autograd.grad(losses[part], theta, create_graph=True)
        rows = torch.eye(len(theta), dtype=theta.dtype)
        matrix = [
            torch.autograd.grad(gradient, theta, r, retain_graph=True, is_grads_batched=True)[0]
            for r in rows.split(256)
        ]
    return _symmetric(torch.cat(matrix))
