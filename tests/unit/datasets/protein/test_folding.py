import math

import numpy as np
import pytest
import torch

from twirlscope.datasets.protein import ca_statistics, folding
from twirlscope.datasets.protein.folding import Targets


def angles_and_dihedrals(chains=3, places=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = torch.rand(chains, places, 2, generator=generator, dtype=torch.float64)
    return torch.stack([1.3 + q[..., 0], (2 * q[..., 1] - 1) * 3], -1)


def wells(q, length=None):
    length = torch.full((len(q),), q.shape[1] + 2) if length is None else torch.tensor(length)
    return Targets(length, q, torch.full_like(q, 0.1), torch.full((len(q),), 0.6, dtype=q.dtype))


def test_positions_of__has_the_bonds_angles_and_dihedrals_it_was_made_from():
    q = angles_and_dihedrals()
    x = folding.positions_of(q)[0].numpy()
    for made, chain in zip(q.numpy(), x, strict=True):
        np.testing.assert_allclose(np.linalg.norm(np.diff(chain, axis=0), axis=1), folding.BOND_LENGTH, rtol=1e-12)
        angle, dihedral = ca_statistics.angles(chain)
        np.testing.assert_allclose(angle, made[:, 0], atol=1e-10)
        np.testing.assert_allclose(dihedral, made[1:, 1], atol=1e-10)


def energy(x, held, share):
    """Energy of pairs and of the radius of gyration, pair by pair."""
    total = 0.0
    for chain, length, radius in zip(x, held.length.tolist(), held.radius, strict=True):
        chain = chain[:length]
        i, j = torch.triu_indices(length, length, folding.MIN_SEPARATION)
        r = (chain[i] - chain[j]).norm(dim=-1)
        total = total + (folding.REPULSION_STIFFNESS / 2 * (folding.REPULSION_DISTANCE - r).clamp_min(0) ** 2).sum()
        attraction = torch.sigmoid((folding.ATTRACTION_DISTANCE - r) / folding.ATTRACTION_WIDTH).sum()
        total = total - share * folding.ATTRACTION_DEPTH * attraction
        gyration = (chain - chain.mean(0)).square().sum(1).mean().sqrt()
        total = total + share * folding.GYRATION_ENERGY * length * (gyration / radius - 1) ** 2
    return total


def test_nonlocal_gradient__is_that_of_the_energy_and_padding_feels_nothing():
    q = angles_and_dihedrals()
    x = (0.6 * folding.positions_of(q)[0]).requires_grad_()  # shrunk, so that residues overlap
    held = wells(q, [16, 12, 9])
    exact = torch.autograd.grad(energy(x, held, 0.7), x)[0]
    assert exact.abs().max() > 10
    found = folding.nonlocal_gradient(x.detach(), held, 0.7)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)
    assert (found[1, 12:] == 0).all()


def test_torques__are_the_derivatives_by_angles_and_dihedrals():
    q = angles_and_dihedrals().requires_grad_()
    weight = torch.randn(3, 16, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x, frames = folding.positions_of(q)
    exact = torch.autograd.grad((x * weight).sum() + (x**3).sum(), q)[0]
    g = (weight + 3 * x**2).detach()
    torch.testing.assert_close(folding.torques(x.detach(), frames.detach(), g), exact, rtol=1e-9, atol=1e-9)


def test_fold__samples_the_targets_where_nothing_else_acts(monkeypatch):
    monkeypatch.setattr(folding, "nonlocal_gradient", lambda x, targets, share: torch.zeros_like(x))
    mean = torch.tensor([1.6, 0.9]).expand(400, 20, 2).clone()
    held = Targets(torch.full((400,), 22), mean, torch.tensor([0.05, 0.13]).expand_as(mean), torch.ones(400))
    x = folding.fold(held, 60, torch.Generator().manual_seed(0)).double().numpy()
    angle, dihedral = (np.array(v) for v in zip(*(ca_statistics.angles(c) for c in x), strict=True))
    error = 4 / math.sqrt(2 * angle.size)  # of a standard deviation, four sigmas
    assert angle.mean() == pytest.approx(1.6, abs=0.05 * error)
    assert angle.std() == pytest.approx(0.05, rel=error + folding.STEP_SIZE)  # the step widens by half of itself
    assert dihedral.std() == pytest.approx(0.13, rel=error + folding.STEP_SIZE)


def test_fold__gives_the_same_chains_for_the_same_seed_and_others_for_another():
    held = wells(angles_and_dihedrals(2, 20).float())
    first, again, other = (folding.fold(held, 10, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
