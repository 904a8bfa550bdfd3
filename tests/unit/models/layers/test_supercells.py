"""Force fields of periodic frames checked independently: the same crystal in another cell, strained, or far apart."""

import itertools

import ase
import numpy as np
import pytest
import torch
import toys
from ase.calculators.lj import LennardJones

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.curvature import derivative_check
from twirlscope.curvature.objective import Objective
from twirlscope.estimators import loss_split
from twirlscope.geometry import rotation_sets, so3, stress
from twirlscope.models.layers.conservative_forces import with_forces
from twirlscope.models.layers.neighbours import neighbour_pairs
from twirlscope.twirling import lie_derivative
from twirlscope.twirling.twisting import inner_products, twisted

CONSTANTS = {"elements": [1, 6], "energy_scale": 0.5, "force_scale": 2.0, "stress_scale": 0.3}
SIZES = {
    "escaip": {"width": 8, "layers": 2, "heads": 2, "cutoff": 3.5, "neighbours": 80},
    "tensor_product": {"width": 4, "layers": 2, "l_max": 2, "radial": 4, "radial_width": 4, "neighbours": 80},
    "vector_attention": {"width": 8, "layers": 2, "heads": 2, "neighbours": 80},
}
KINDS = list(itertools.product(SIZES, ("direct", "conservative")))
CELL = torch.tensor([[3.1, 0.2, 0.0], [0.7, 2.9, -0.3], [-0.4, 0.5, 3.3]], dtype=torch.float64)


def model(name, forces, constants=CONSTANTS, **sizes):
    torch.manual_seed(0)
    return plugins.make_model({"name": name, "forces": forces, **(SIZES[name] | sizes)}, constants).double().eval()


def crystal(axes=(1, 1, 1), seed=0):
    """Three atoms in a small cell that repeats along these axes."""
    positions = torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) @ CELL
    cell = CELL * torch.tensor(axes)[:, None]
    return {"numbers": torch.tensor([[1, 6, 6]]), "positions": positions[None], "cell": cell[None]}


def supercell(inputs, copies):
    """The same crystal in a cell of more atoms, copy by copy."""
    cell = inputs["cell"][0]
    shifts = torch.cartesian_prod(*(torch.arange(n) for n in copies)).to(cell) @ cell
    return {
        "numbers": inputs["numbers"].repeat(1, len(shifts)),
        "positions": (inputs["positions"] + shifts[:, None]).reshape(1, -1, 3),
        "cell": inputs["cell"] * torch.tensor(copies)[:, None],
    }


def same(found, expected, copies=1):
    torch.testing.assert_close(found["energy"], expected["energy"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found["forces"], expected["forces"].repeat(1, copies, 1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found["stress"], expected["stress"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "forces"), KINDS)
@pytest.mark.parametrize("copies", [(2, 1, 1), (1, 3, 2)])
def test_models__say_the_same_of_a_supercell(name, forces, copies):
    """Energy of an atom and stress stay, so that the energy of a cell grows with it; forces repeat."""
    net, inputs = model(name, forces), crystal()
    expected = net(inputs)
    assert all(expected[term].abs().max() > 1e-4 for term in expected)
    same(net(supercell(inputs, copies)), expected, int(np.prod(copies)))


@pytest.mark.parametrize(("name", "forces"), KINDS)
def test_models__say_the_same_of_a_cell_of_other_vectors_and_of_atoms_elsewhere(name, forces):
    net, inputs = model(name, forces), crystal()
    expected = net(inputs)
    cell = inputs["cell"]
    same(net(inputs | {"cell": torch.tensor([[1.0, 0, 0], [2, 1, 0], [-1, 1, -1]]).double() @ cell}), expected)
    moved = inputs["positions"].clone()
    moved[0, 1] += torch.tensor([1.0, -3, 2]).double() @ cell[0]
    same(net(inputs | {"positions": moved}), expected)
    same(net(inputs | {"positions": inputs["positions"] + torch.tensor([7.3, -4.0, 1.1])}), expected)


@pytest.mark.parametrize(("name", "forces"), KINDS)
def test_models__say_of_a_slab_what_they_say_of_one_in_a_tall_cell(name, forces):
    net, slab = model(name, forces), crystal((1, 1, 0))
    tall = slab["cell"] + torch.tensor([[[0.0, 0, 0], [0, 0, 0], [0, 0, 30]]])
    found, expected = net(slab), net(slab | {"cell": tall})
    for term in ("energy", "forces"):
        torch.testing.assert_close(found[term], expected[term], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "forces"), KINDS)
def test_models__say_of_a_molecule_beside_a_crystal_what_they_say_of_it_alone(name, forces):
    constants = {k: v for k, v in CONSTANTS.items() if k != "stress_scale"}
    net, inputs = model(name, forces, constants=constants), crystal()
    both = {k: torch.cat([v, v]) for k, v in inputs.items()}
    both["cell"] = both["cell"] * torch.tensor([1.0, 0.0])[:, None, None]
    found, expected = net(both), net({k: v for k, v in inputs.items() if k != "cell"})
    assert set(found) == {"energy", "forces"}
    for term in found:
        torch.testing.assert_close(found[term][1:], expected[term], rtol=1e-9, atol=1e-12)
        assert (found[term][0] - found[term][1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", SIZES)
def test_models__have_conservative_stress_that_is_the_strain_derivative_of_their_energy(name):
    """Central differences of the energy of the cell [eV] in its symmetric strains, over its volume."""
    net, inputs, step = model(name, "conservative"), crystal(), 1e-5
    found = stress.matrix(net(inputs)["stress"])[0] * CONSTANTS["stress_scale"]
    atoms, volume = 3, torch.linalg.det(CELL).abs()

    def energy(strain):
        moved = {k: v + v @ strain if k in ("positions", "cell") else v for k, v in inputs.items()}
        return net(moved)["energy"][0, 0] * atoms * CONSTANTS["energy_scale"]

    for i, j in itertools.combinations_with_replacement(range(3), 2):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        slope = (energy(strain) - energy(-strain)) / (2 * step)
        torch.testing.assert_close(found[i, j], slope / volume, rtol=1e-6, atol=1e-9)


def test_with_forces__of_lennard_jones_are_those_of_ase():
    """Energy, forces and stress, in their units and with their signs, of an energy that reads the neighbour list."""
    atoms = ase.Atoms(numbers=[6, 6, 6], positions=crystal()["positions"][0].numpy(), cell=CELL.numpy(), pbc=True)
    atoms.calc = LennardJones(sigma=1.7, epsilon=0.3, rc=5.0)

    def energy(inputs):
        length = neighbour_pairs(inputs, 5.0, 10_000)[3].norm(dim=1)
        each, end = (4 * 0.3 * ((1.7 / r) ** 12 - (1.7 / r) ** 6) for r in (length, torch.tensor(5.0).double()))
        return (each - end).sum()[None, None] / 2 / 3 / CONSTANTS["energy_scale"]

    with torch.no_grad():
        found = with_forces(energy, crystal(), CONSTANTS)
    total = found["energy"].item() * 3 * CONSTANTS["energy_scale"]
    matrix = stress.matrix(found["stress"])[0].numpy() * CONSTANTS["stress_scale"]
    np.testing.assert_allclose(total, atoms.get_potential_energy(), rtol=1e-10)
    np.testing.assert_allclose(found["forces"][0].numpy() * 2.0, atoms.get_forces(), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(matrix, atoms.get_stress(voigt=False), rtol=1e-8)


@pytest.mark.parametrize("name", SIZES)
def test_models__have_no_conservative_stress_where_there_is_no_volume(name):
    net = model(name, "conservative")
    for axes in [(1, 1, 0), (0, 0, 0)]:
        out = net(crystal(axes))
        assert not out["stress"].any()
        assert torch.autograd.grad(out["forces"].square().sum(), next(net.parameters()))[0].isfinite().all()


def task(samples=8):
    return plugins.make_task({"name": "force_field", "stress_weight": 1.0}, toys.crystals(samples))


@pytest.mark.parametrize(("name", "forces"), KINDS)
def test_models__have_an_equivariance_error_of_the_stress_exactly_where_they_are_not_equivariant(name, forces):
    quaternion = so3.haar(4, 4, generator=torch.Generator().manual_seed(0))
    net = model(name, forces, cutoff=3.0)
    found = inner_products(Evaluation(net, task(), dtype=torch.float64), np.arange(4), quaternion)
    parts = loss_split.split(found["gram"], found["cross"], found["square"])
    size = np.diagonal(found["gram"], axis1=2, axis2=3).mean((1, 2))
    share = parts.equiv.mean(1)[2] / size[2]
    exact = name == "tensor_product" or (name, forces) == ("escaip", "conservative")
    assert share < 1e-10 if exact else share > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_models__with_conservative_stress_pass_the_certificate_and_have_lie_derivatives(name):
    """Third derivatives of the energy, against central differences; forward mode through positions and cell."""
    net, made = model(name, "conservative", cutoff=2.5, layers=1, neighbours=6), task()
    objective = Objective(net, made, made.batch(np.arange(2)), rotation_sets.sample_rotations("T", 2, 0, 0))
    found = derivative_check.certify(objective)
    assert max(found.error.values()) < derivative_check.TOLERANCE
    quaternion = so3.haar(2, 1, generator=torch.Generator().manual_seed(0))
    ways = [
        lie_derivative.lie_error(Evaluation(net, made, dtype=torch.float64), np.arange(2), quaternion, method=m).values[
            "stress"
        ]
        for m in ("forward", "difference")
    ]
    np.testing.assert_allclose(*ways, rtol=1e-4, atol=1e-13)


@pytest.mark.slow
def test_escaip__twirled_stress_is_that_of_the_mean_weight_of_degree_2():
    """Twisted, the weights of a degree hold degrees 0, 2 and 4, which the icosahedral group integrates exactly."""
    net, made = model("escaip", "direct", cutoff=3.0), task()
    batch = made.batch(np.arange(4)).to("cpu", torch.float64)
    every = so3.matrix(rotation_sets.rotation_set("I").quaternion)
    with torch.no_grad():
        twirled = torch.stack([twisted(net, made, batch, R.expand(4, 3, 3))["stress"] for R in every]).mean(0)
        graph, real = net.graph(batch.inputs), batch.inputs["numbers"] > 0
        weight = net.stress(net.edges(net.atom_features(graph)[1])) * graph.filled[..., None]
    mean = torch.cat([weight[..., :1], weight[..., 1:].mean(-1, keepdim=True).expand(-1, -1, 5)], -1)
    each = (mean * stress.components(graph.direction[..., None] * graph.direction[..., None, :])).sum(1)
    sample = real.nonzero()[:, 0]
    expected = torch.stack([each[sample == n].mean(0) for n in range(4)])
    torch.testing.assert_close(twirled, expected, rtol=0, atol=1e-12)
    assert (net(batch.inputs)["stress"] - expected).abs().max() > 1e-3
