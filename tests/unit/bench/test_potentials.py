"""The parts of `make potentials` that need no environment: quadrature, tables, and the config of its workflow."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.potentials import symmetrized, workflow_run
from twirlscope.planning.plan import Plan


def quadrature():
    """Rotations and weights of metatomic's rule of degree 11."""
    pytest.importorskip("metatomic_ase")
    from metatomic_ase import _symmetry

    return _symmetry._get_quadrature(*_symmetry._choose_quadrature(11), False)


def test_spectrum__of_a_constant_force_in_the_laboratory_has_degree_one_alone():
    rotations, weights = quadrature()
    from bench.potentials import metatomic_average

    forces = np.ones((len(rotations), 4, 1)) * np.array([0.0, 0.0, 0.3])
    found = metatomic_average.spectrum(forces, rotations, weights)
    np.testing.assert_allclose(found, [0, 0.03, 0, 0, 0, 0, 0], atol=1e-12)


def test_spectrum__of_equivariant_forces_has_degree_zero_alone():
    rotations, weights = quadrature()
    from bench.potentials import metatomic_average

    body = np.random.default_rng(0).standard_normal((5, 3))
    found = metatomic_average.spectrum(body @ rotations.transpose(0, 2, 1), rotations, weights)
    np.testing.assert_allclose(found, [(body**2).mean(), *[0] * 6], atol=1e-12)


def test_spectrum__is_that_of_the_products_with_wigner_matrices():
    """Second road: projections onto the real Wigner matrices of degree 2, traceless symmetric tensors."""
    rotations, weights = quadrature()
    from bench.potentials import metatomic_average

    axis = Rotation.random(rng=0).as_matrix()[0]
    forces = 0.1 * (rotations @ axis)[:, None, [2]] * np.array([0.0, 0.0, 1.0])  # degrees 1 x 1: 0, 1 and 2
    z = np.einsum("iax,ixy->iy", forces, rotations)
    basis = np.array([[[0, 1, 0], [1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [1, 0, 0]], np.diag([1, -1, 0])])
    rest = np.array([[[0, 0, 0], [0, 0, 1], [0, 1, 0]], np.diag([1, 1, -2]) / 3**0.5])
    basis = np.concatenate([basis, rest]) / 2**0.5
    wigner = np.einsum("kxy,nxa,nyb,lab->nkl", basis, rotations, rotations, basis)
    parts = np.einsum("n,nkl,ny->kly", weights, wigner, z)
    found = metatomic_average.spectrum(forces, rotations, weights)
    assert found[2] == pytest.approx(5 * (parts**2).sum() / 3, rel=1e-9)
    assert sum(found) == pytest.approx((weights[:, None] * z**2).sum() / 3, rel=1e-9)


def test_section__has_a_line_per_quantity_with_its_difference_and_limit():
    found = [symmetrized.Quantity("error", "error", 2.02e-6, 2e-6), symmetrized.Quantity("T", "left by T", 9e-7, 1e-6)]
    lines = symmetrized.section(found, "PET").splitlines()
    assert lines[2].startswith("PET: ")
    assert lines[-2:] == ["| error | 2.02 | 2 | +1.00 % | 1 % |", "| left by T | 0.9 | 1 | -10.00 % | 10 % |"]


def test_config__of_the_workflow_has_every_potential_with_dynamics(tmp_path):
    frames = tmp_path / "frames.xyz"
    frames.touch()
    runs = {name: {"calculator": f"{name}.ase:Calculator"} for name in ("one", "other")}
    plan = Plan(workflow_run.config(runs, frames))
    assert plan.external == "one|other"
    assert plan.trained == []
    assert plan.external_job("dynamics", "one")["settings"]["steps"] == workflow_run.DYNAMICS["steps"]
