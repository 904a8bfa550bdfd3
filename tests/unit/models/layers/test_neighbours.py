"""Neighbour lists against vesin's and against the eye, order parameters against spherical harmonics."""

import numpy as np
import pytest
import torch

from twirlscope.geometry import so3
from twirlscope.models.layers import neighbours as module
from twirlscope.models.layers.neighbours import (
    envelope,
    nearest_neighbours,
    neighbour_pairs,
    order_parameters,
    periodic_neighbours,
)


def cloud(samples=5, atoms=14, seed=0):
    """Random points, some of them padding."""
    random = np.random.default_rng(seed)
    positions = torch.from_numpy(random.normal(size=(samples, atoms, 3)) * 2)
    real = torch.arange(atoms) < torch.from_numpy(random.integers(4, atoms + 1, samples))[:, None]
    return torch.where(real[..., None], positions, 0.0), real


def lists(positions, real, cutoff, most):
    """Neighbours of every atom of every sample, in order."""
    index, filled = nearest_neighbours(positions, real, cutoff, most)
    return [[row[f].tolist() for row, f in zip(*pair, strict=True)] for pair in zip(index, filled, strict=True)]


@pytest.mark.parametrize("most", [3, 40])
def test_nearest_neighbours__agrees_with_vesin(most):
    vesin = pytest.importorskip("vesin")
    positions, real = cloud()
    found = lists(positions, real, 3.0, most)
    for sample, mask, neighbours in zip(positions, real, found, strict=True):
        points = sample[mask].numpy()
        i, j, d = vesin.NeighborList(cutoff=3.0, full_list=True).compute(points, np.eye(3) * 99, False, "ijd")
        for atom in range(len(sample)):
            pairs = sorted(zip(d[i == atom], j[i == atom].tolist(), strict=True))
            assert neighbours[atom] == [other for _, other in pairs][:most]


def test_nearest_neighbours__breaks_ties_by_the_order_of_the_atoms_whatever_the_rotation():
    """The six neighbours of the centre of an octahedron, of which four are taken, in float32."""
    corners = torch.cat([torch.eye(3), -torch.eye(3)])
    positions = torch.cat([torch.zeros(1, 3), corners])[None] + 1.0
    R = so3.matrix(so3.haar(500, generator=torch.Generator().manual_seed(0))).float()
    turned = positions @ R.mT
    index, filled = nearest_neighbours(turned, torch.ones(500, 7, dtype=torch.bool), 1.5, 4)
    assert filled[:, 0].all()
    assert (index[:, 0] == torch.tensor([1, 2, 3, 4])).all()
    exact = (turned[:, 1:] - turned[:, :1]).square().sum(-1).sqrt()
    assert (exact.argsort(-1)[:, :4].sort(-1).values != torch.arange(4)).any()  # distances as they are would not do


def test_nearest_neighbours__does_not_see_padding_and_points_at_the_atom_itself_where_nothing_is():
    positions, real = cloud()
    wide = torch.cat([positions, torch.zeros(5, 6, 3)], 1), torch.cat([real, torch.zeros(5, 6, dtype=torch.bool)], 1)
    assert [s[: real.shape[1]] for s in lists(*wide, 3.0, 5)] == lists(positions, real, 3.0, 5)
    index, filled = nearest_neighbours(positions, real, 0.5, 5)
    itself = torch.arange(real.shape[1])[:, None].expand_as(index[0])
    assert (index[0][~filled[0]] == itself[~filled[0]]).all()
    assert not filled[~real].any()


def test_nearest_neighbours__has_one_empty_place_for_an_atom_alone():
    index, filled = nearest_neighbours(torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool), 5.0, 8)
    assert (index.tolist(), filled.tolist()) == ([[[0]]], [[[False]]])


def test_order_parameters__are_those_of_spherical_harmonics():
    from e3nn.o3 import spherical_harmonics

    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(6, 5, 3, generator=random, dtype=torch.float64), dim=-1)
    filled = torch.arange(5) < torch.tensor([5, 4, 3, 2, 1, 0])[:, None]
    found = order_parameters(directions @ directions.mT, filled, 10)
    for degree in range(10):
        values = spherical_harmonics(degree, directions, True, "integral").double() * filled[..., None]
        mean = values.sum(1) / filled.sum(1, keepdim=True).clamp_min(1)
        exact = mean.square().sum(-1)
        torch.testing.assert_close(found[:, degree] ** 2 - 1e-6, exact, atol=2e-7, rtol=1e-6)


def test_order_parameters__have_finite_derivatives_where_they_vanish():
    """Two opposite neighbours: no order of an odd degree. No neighbour: none at all."""
    cosine = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]] * 2, dtype=torch.float64, requires_grad=True)
    filled = torch.tensor([[True, True], [False, False]])
    (gradient,) = torch.autograd.grad(order_parameters(cosine, filled, 6).sum(), cosine)
    assert gradient.isfinite().all()


def test_pairs__are_the_nearest_of_every_atom_and_skip_padding():
    line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [-1, 0, 0], [2.1, 0, 0]]], dtype=torch.float64).expand(2, -1, -1)
    real = torch.tensor([[True, True, False, True], [True, True, True, True]])
    inputs = {"numbers": real.long(), "positions": line}
    atoms, receiver, sender, vector = neighbour_pairs(inputs, 4.0, 2)
    assert torch.equal(vector, line.flatten(0, 1)[atoms][sender] - line.flatten(0, 1)[atoms][receiver])
    assert atoms.tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert sender[receiver == 0].tolist() == [1, 2]  # the third real atom, fourth in the sample
    assert sender[receiver == 3].tolist() == [4, 5]  # two at one distance, in their order
    assert sender[receiver == 4].tolist() == [3, 6]
    _, receiver, sender, _ = neighbour_pairs(inputs, 4.0, 1)
    assert sender[receiver == 3].tolist() == [4]


def test_envelope__falls_from_one_to_zero_with_two_flat_derivatives():
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64, requires_grad=True)
    value = envelope(ends)
    slope = torch.autograd.grad(value.sum(), ends, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), ends)[0]
    assert torch.allclose(value, torch.tensor([[1.0], [0.0]], dtype=torch.float64), atol=1e-14)
    assert slope.abs().max() < 1e-13
    assert bend.abs().max() < 1e-13


CELLS = {
    "one small cell": np.array([[2.1, 0.2, 0], [0.9, 1.7, 0.3], [-0.2, 0.5, 2.4]]),
    "left-handed": np.diag([4.0, 5.0, -6.0]),
    "wide": np.diag([20.0, 30.0, 40.0]),
    "slab": np.array([[4.0, 1, 0], [0, 0, 0], [-1, 0.5, 4]]),
    "wire": np.array([[0.0, 0, 0], [0, 0, 0], [1, 1, 2]]),
}


def found_images(positions, real, cell, cutoff, most):
    """Of every atom of one sample, distance, neighbour and image of all its neighbours."""
    neighbour, filled, shift = (
        t[0] for t in periodic_neighbours(positions[None], real[None], cell[None], cutoff, most)
    )
    vector = positions[neighbour] - positions[:, None] + shift.to(cell) @ cell
    length = vector.norm(dim=-1)
    rows = zip(length.tolist(), neighbour.tolist(), shift.tolist(), filled.tolist(), strict=True)
    return [[(r, j, s) for r, j, s, f in zip(*row, strict=True) if f] for row in rows]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("most", [7, 400])
def test_periodic_neighbours__agrees_with_vesin_also_for_atoms_outside_of_the_cell(name, most):
    vesin = pytest.importorskip("vesin")
    cell, axes = torch.from_numpy(CELLS[name]), CELLS[name].any(1)
    positions = torch.from_numpy(np.random.default_rng(3).normal(size=(5, 3)) * 3)
    real = torch.arange(5) < 4
    found = found_images(torch.where(real[:, None], positions, 0), real, cell, 5.0, most)
    search = vesin.NeighborList(cutoff=5.0, full_list=True)
    box = np.where(axes[:, None], CELLS[name], np.linalg.svd(CELLS[name])[2] * 99)  # it wants three vectors
    i, j, d, S = search.compute(positions[:4].numpy(), box, axes, "ijdS")
    for atom in range(4):
        mine = zip(d[i == atom].round(4), j[i == atom].tolist(), S[i == atom].tolist(), strict=True)
        assert [(round(r, 4), k, s) for r, k, s in found[atom]] == sorted(mine)[:most]
    assert found[4] == []
    assert any(any(shift) for row in found for _, _, shift in row)


def test_periodic_neighbours__without_a_cell_are_the_nearest_neighbours():
    positions, real = cloud()
    index, filled, shift = periodic_neighbours(positions, real, torch.zeros(5, 3, 3).double(), 3.0, 6)
    assert [t.tolist() for t in (index, filled)] == [t.tolist() for t in nearest_neighbours(positions, real, 3.0, 6)]
    assert not shift.any()


def test_periodic_neighbours__of_a_perfect_crystal_are_the_same_in_every_orientation():
    """Twelve neighbours of an atom of a face-centred cubic crystal, of which five are taken, in float32."""
    cell = 2.0 * (1 - torch.eye(3)).expand(200, 3, 3)
    R = so3.matrix(so3.haar(200, generator=torch.Generator().manual_seed(0))).float()
    real = torch.ones(200, 1, dtype=torch.bool)
    shift = periodic_neighbours(torch.ones(200, 1, 3), real, cell @ R.mT, 3.0, 5)[2][:, 0]
    assert shift[0].tolist() == [[-1, 0, 0], [-1, 0, 1], [-1, 1, 0], [0, -1, 0], [0, -1, 1]]
    assert (shift == shift[0]).all()


def test_periodic_neighbours__do_not_depend_on_how_many_are_looked_at_a_time(monkeypatch):
    positions, real = cloud()
    cell = torch.from_numpy(CELLS["one small cell"]).expand(5, 3, 3)
    whole = periodic_neighbours(positions, real, cell, 4.0, 9)
    monkeypatch.setattr(module, "BLOCK", 5000)
    assert all(
        torch.equal(a, b) for a, b in zip(whole, periodic_neighbours(positions, real, cell, 4.0, 9), strict=True)
    )


def test_periodic_neighbours__of_a_sample_do_not_depend_on_the_cells_beside_it():
    positions, real = cloud()
    cell = torch.stack([torch.from_numpy(CELLS[n]) for n in CELLS])
    cell[1] = 0  # a molecule among them
    together = periodic_neighbours(positions, real, cell, 4.0, 9)
    for n in range(5):
        alone = periodic_neighbours(*(t[n : n + 1] for t in (positions, real, cell)), 4.0, 9)
        for whole, one in zip(together, alone, strict=True):
            places = one.shape[2]
            assert torch.equal(whole[n : n + 1, :, :places], one)
