"""Rotation of tensors against matrices, e3nn and closed forms, with and without inversion."""

import pytest
import torch
from e3nn.io import CartesianTensor
from e3nn.o3 import Irrep, Irreps, rand_matrix

from twirlscope.errors import UserError
from twirlscope.geometry import action, so3
from twirlscope.geometry.rotation_sets import rotation_set


def test_rotate__leaves_scalars_alone():
    x = torch.randn(4, 5, 1)
    assert action.rotate("0e", rand_matrix(4), x) is x


def test_rotate__turns_vectors_by_the_matrix_itself():
    R, x = rand_matrix(4), torch.randn(4, 5, 3)
    torch.testing.assert_close(action.rotate("1o", R, x), torch.einsum("sij,saj->sai", R, x))


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 6])
def test_representation__is_an_orthogonal_representation_in_e3nns_basis(degree):
    a, b = rand_matrix(2, 8, dtype=torch.float64)
    D = [action.representation(f"{degree}e", R) for R in (a, b, a @ b)]
    torch.testing.assert_close(D[0] @ D[1], D[2], atol=1e-12, rtol=0)
    torch.testing.assert_close(D[0] @ D[0].mT, torch.eye(2 * degree + 1).double().expand(8, -1, -1), atol=1e-12, rtol=0)
    torch.testing.assert_close(D[0], Irrep(degree, 1).D_from_matrix(a), atol=1e-5, rtol=0)


def test_representation__of_degree_one_is_the_rotation_itself():
    R = rand_matrix(4, dtype=torch.float64)
    torch.testing.assert_close(action.representation("1e", R), R, atol=1e-13, rtol=0)


def test_rotate__of_a_symmetric_tensor_is_conjugation():
    R = rand_matrix(6, dtype=torch.float64)
    basis = CartesianTensor("ij=ji")
    change = basis.reduced_tensor_products().change_of_basis  # float32 constants: agreement to 1e-5
    m = torch.randn(6, 3, 3, dtype=torch.float64)
    m = m + m.mT
    turned = action.rotate(str(basis), R, torch.einsum("aij,sij->sa", change.double(), m))
    expected = torch.einsum("aij,sij->sa", change.double(), R @ m @ R.mT)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_twist__undoes_rotate():
    R, x = rand_matrix(4, dtype=torch.float64), torch.randn(4, 2, 9, dtype=torch.float64)
    irreps = "0e+1o+2e"
    torch.testing.assert_close(action.twist(irreps, R, action.rotate(irreps, R, x)), x, atol=1e-12, rtol=0)


def improper(count, seed=0):
    """Elements of O(3), every other one with inversion."""
    quaternion = so3.haar(count, generator=torch.Generator().manual_seed(seed))
    return so3.matrix(quaternion, 1 - 2 * (torch.arange(count) % 2))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("parity", ["e", "o"])
def test_representation__under_inversion_has_the_parity_of_the_irrep(degree, parity):
    irreps, sign = f"{degree}{parity}", {"e": 1, "o": -1}[parity]
    a, b = improper(8), improper(8, 1).flip(0)
    D = [action.representation(irreps, R) for R in (a, b, a @ b)]
    torch.testing.assert_close(D[0] @ D[1], D[2], atol=1e-12, rtol=0)
    torch.testing.assert_close(action.representation(irreps, -a), sign * D[0], atol=1e-13, rtol=0)
    torch.testing.assert_close(D[0], Irrep(irreps).D_from_matrix(a), atol=1e-5, rtol=0)


def test_rotate__by_an_improper_rotation_of_a_cross_product_is_that_of_a_pseudo_vector():
    R, (a, b) = improper(6), torch.randn(2, 6, 4, 3, dtype=torch.float64)
    turned = torch.linalg.cross(action.rotate("1o", R, a), action.rotate("1o", R, b))
    torch.testing.assert_close(action.rotate("1e", R, torch.linalg.cross(a, b)), turned, atol=1e-12, rtol=0)


def test_rotate__by_an_improper_rotation_of_a_triple_product_is_that_of_a_pseudo_scalar():
    R, (a, b, c) = improper(6), torch.randn(3, 6, 1, 3, dtype=torch.float64)
    triple = lambda *v: torch.linalg.det(torch.stack(v, -2))  # noqa: E731
    turned = triple(*(action.rotate("1o", R, v) for v in (a, b, c)))
    torch.testing.assert_close(action.rotate("0o", R, triple(a, b, c)), turned, atol=1e-12, rtol=0)
    torch.testing.assert_close(turned, torch.tensor([[1.0], [-1]] * 3) * triple(a, b, c), atol=1e-12, rtol=0)


def test_twist__undoes_rotate_with_inversion():
    R, x = improper(4), torch.randn(4, 2, 14, dtype=torch.float64)
    irreps = "0o+2x1e+1x1o+0e+1x1o"
    torch.testing.assert_close(action.twist(irreps, R, action.rotate(irreps, R, x)), x, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("irreps", "shape"), [("1o", (4, 5, 2)), ("0e+2e", (4, 9)), ("2x1o", (4, 2, 3))])
def test_rotate__refuses_a_shape_that_does_not_fit_the_irreps(irreps, shape):
    size = {"1o": 3}.get(irreps, 6)
    with pytest.raises(UserError) as error:
        action.rotate(irreps, rand_matrix(4), torch.zeros(shape))
    for told in (irreps, f"{size} components", str(shape)):
        assert told in str(error.value)


@pytest.mark.parametrize("irreps", ["1o", "0e+2e", "2x0e+1e", "0o"])
def test_rotate__takes_e3nn_irreps_as_well_as_strings(irreps):
    R, objects = rand_matrix(4, dtype=torch.float64), Irreps(irreps)
    x = torch.randn(4, 2, objects.dim, dtype=torch.float64)
    assert torch.equal(action.rotate(objects, R, x), action.rotate(irreps, R, x))
    assert torch.equal(action.twist(objects, R, x), action.twist(irreps, R, x))
    assert torch.equal(action.representation(objects, R), action.representation(irreps, R))


@pytest.mark.parametrize("irreps", ["1o", "0e+1o", "0o", "2e", "trilinear 0e", "fourier 0e"])
def test_rotate__refuses_integers_that_would_turn(irreps):
    shape = (4, 3, 3, 3, 1) if " " in irreps else (4, Irreps(irreps).dim)
    for dtype in (torch.int64, torch.bool):
        with pytest.raises(UserError, match=rf"a floating-point tensor, as .* is rotated, got torch\.{str(dtype)[6:]}"):
            action.rotate(irreps, rand_matrix(4), torch.ones(shape, dtype=dtype))


@pytest.mark.parametrize("irreps", ["0e", "3x0e", "grid 0e"])
def test_rotate__leaves_integer_scalars_exact(irreps):
    x = torch.arange(4 * 27 * 3).reshape(4, 3, 3, 3, 3)
    R = so3.matrix(rotation_set("O").quaternion[:4])
    found = action.rotate(irreps, R, x)
    assert found.dtype == torch.int64
    assert torch.equal(found, action.rotate(irreps, R, x.double()).long())
    assert torch.equal(action.twist(irreps, R, found), x)
