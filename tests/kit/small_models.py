"""Models of 25 to 190 parameters and their dense Hessians, computed by loops, independently of the operators.

They are small enough for a loop over samples, rotations and rows; `medium_models` have spectra worth an estimate.
"""

from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from twirlscope import Batch, LayerNorm, Task, Term
from twirlscope.curvature.objective import Objective
from twirlscope.geometry import action, rotation_sets, so3

SAMPLES = 3


class Clouds(Task):
    """Three points per sample, one of them padding; targets are a vector per point and a scalar per sample."""

    irreps_in: ClassVar = {"positions": "1o"}
    terms = (Term("forces", "1o", weight=2.0), Term("energy", "0e", loss="l2", weight=0.5))

    def __init__(self):
        pass

    def batch(self, index):
        generator = torch.Generator().manual_seed(0)
        forces = torch.randn(SAMPLES, 3, 3, generator=generator)
        weights = torch.full((SAMPLES, 3), 1 / 3)
        weights[0] = torch.tensor([0.5, 0.5, 0])
        forces[0, 2] = 0
        whole = Batch(
            {"positions": torch.randn(SAMPLES, 3, 3, generator=generator)},
            {"forces": forces, "energy": torch.randn(SAMPLES, 1, generator=generator)},
            {"forces": weights, "energy": torch.ones(SAMPLES)},
        )
        return whole.map(lambda t: t[index])


class Direct(nn.Module):
    """Dense network with a vector per point and a scalar; one parameter is never used."""

    def __init__(self, norm=LayerNorm):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 6), norm(6), nn.SiLU(), nn.Linear(6, 4))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, inputs):
        out = self.body(inputs["positions"])
        return {"forces": out[..., :3], "energy": out[..., 3].mean(1, keepdim=True)}


class Conservative(Direct):
    """Forces are minus the gradient of the energy: the Hessian of their loss is a third derivative."""

    def forward(self, inputs):
        positions = inputs["positions"].detach().requires_grad_()
        energy = self.body(positions)[..., 3].mean(1, keepdim=True)
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return {"forces": -gradient, "energy": energy}


class Equivariant(nn.Module):
    """Positions times a function of their length, exactly equivariant for every value of the parameters."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, inputs):
        out = self.body(inputs["positions"].square().sum(-1, keepdim=True))
        return {"forces": out[..., :1] * inputs["positions"], "energy": out[..., 1].mean(1, keepdim=True)}


class Attention(Direct):
    """Native attention and layer norm of torch, with dropout in training."""

    def __init__(self, width=4):
        nn.Module.__init__(self)
        self.body = nn.Sequential(
            nn.Linear(3, width),
            nn.TransformerEncoderLayer(width, 2, 6, dropout=0.5, activation="gelu", batch_first=True),
            nn.Linear(width, 4),
        )


class Convolution(nn.Module):
    """Convolutions along the points with the native group norm of torch; the last two share their weights."""

    def __init__(self):
        super().__init__()
        inward, outward, again = nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1)
        again.weight = outward.weight
        self.body = nn.Sequential(inward, nn.GroupNorm(2, 4), nn.SiLU(), outward, nn.SiLU(), again)

    def forward(self, inputs):
        out = self.body(inputs["positions"].mT)
        return {"forces": out[:, :3].mT, "energy": out[:, 3].mean(1, keepdim=True)}


class Messages(nn.Module):
    """Spherical harmonics, tensor product and gate of e3nn for all pairs; a fixed vector breaks the symmetry."""

    def __init__(self):
        super().__init__()
        from e3nn import nn as equivariant
        from e3nn import o3

        self.harmonics = o3.SphericalHarmonics("0e+1o", normalize=False, normalization="component")
        scalars, gates, gated = "2x0e", "2x0e", "2x1o"
        self.gate = equivariant.Gate(scalars, [torch.nn.functional.silu], gates, [torch.sigmoid], gated)
        self.embed = o3.Linear("0e+1o", "2x0e+1o")
        self.product = o3.FullyConnectedTensorProduct("2x0e+1o", "0e+1o", self.gate.irreps_in)
        self.out = o3.Linear(self.gate.irreps_out, "0e+1o")
        self.register_buffer("lab", torch.tensor([0.3, 0.0, -0.2]))

    def forward(self, inputs):
        positions = inputs["positions"]
        pairs = positions[:, :, None] - positions[:, None] + self.lab
        sent = self.embed(self.harmonics(positions + self.lab))[:, None].expand(-1, positions.shape[1], -1, -1)
        message = self.gate(self.product(sent, self.harmonics(pairs)))
        out = self.out(message.sum(2))
        return {"forces": out[..., 1:], "energy": out[..., :1].mean(1)}


MODELS = (Direct, Conservative, Attention, Convolution, Messages)


def case(model=Direct, kind="T", dtype=torch.float64, chunk=8, steps=0, **keys):
    """An objective, and the model, batch and rotations that it is built from, after some steps of training."""
    torch.manual_seed(1)
    model = model(**keys).to(dtype)
    quaternion = rotation_sets.sample_rotations(kind, SAMPLES, 5, 0)
    batch = Clouds().batch(np.arange(SAMPLES))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(plain_losses(model, batch.to("cpu", dtype), quaternion[:, :2])).backward()
        optimizer.step()
    model.zero_grad()
    return Objective(model, Clouds(), batch, quaternion, chunk, kind == "independent"), (model, batch, quaternion)


def plain_losses(model, batch, quaternion):
    """The two plug-in parts of the loss, by loops over samples, rotations and terms."""
    mean = equiv = 0.0
    task = Clouds()
    batch = batch.to("cpu", torch.float64)
    for s in range(len(batch)):
        one = batch.map(lambda t, s=s: t[s : s + 1])
        z = []
        for q in quaternion[s]:
            rotation = so3.matrix(q)[None]
            response = model(task.rotate(one, rotation).inputs)
            z.append({t.name: action.twist(t.irreps, rotation, response[t.name]) for t in task.terms})
        for term in task.terms:
            stack = torch.stack([twisted[term.name] for twisted in z])
            weights = one.weights[term.name][..., None] * term.weight / stack.shape[-1] / len(batch)
            mean = mean + (weights * (stack.mean(0) - one.targets[term.name]) ** 2).sum()
            equiv = equiv + (weights * (stack - stack.mean(0)) ** 2).sum() / len(stack)
    return mean, equiv


def dense_hessians(model, batch, quaternion, batched=True):
    """Dense Hessians of the two plug-in parts, by reverse over reverse mode through the loops."""
    named = dict(model.named_parameters())
    sizes = [p.numel() for p in named.values()]
    model.eval()

    def losses(theta):
        pieces = zip(named.items(), theta.split(sizes), strict=True)
        state = {n: t.view(p.shape) for (n, p), t in pieces}
        return plain_losses(lambda x: torch.func.functional_call(model, state, (x,)), batch, quaternion)

    theta = torch.cat([p.detach().flatten() for p in named.values()]).requires_grad_()
    found = []
    with sdpa_kernel(SDPBackend.MATH):  # the other backends have no second derivative
        for part in losses(theta):
            (slope,) = torch.autograd.grad(part, theta, create_graph=True)
            every = torch.eye(len(theta), dtype=theta.dtype)
            for rows in every.split(len(theta) if batched else 1):
                keys = {"retain_graph": True, "is_grads_batched": batched}
                found.append(torch.autograd.grad(slope, theta, rows if batched else rows[0], **keys)[0])
    return torch.cat([f.reshape(-1, len(theta)) for f in found]).split(len(theta))
