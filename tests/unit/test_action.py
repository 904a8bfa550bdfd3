"""How tensors turn."""

import pytest
import torch
from e3nn.io import CartesianTensor
from e3nn.o3 import Irrep, rand_matrix

from twirlscope import action


def test_turn__leaves_scalars_alone():
    x = torch.randn(4, 5, 1)
    assert action.turn("0e", rand_matrix(4), x) is x


def test_turn__turns_vectors_by_the_matrix_itself():
    R, x = rand_matrix(4), torch.randn(4, 5, 3)
    torch.testing.assert_close(action.turn("1o", R, x), torch.einsum("sij,saj->sai", R, x))


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


def test_turn__of_a_symmetric_tensor_is_conjugation():
    R = rand_matrix(6, dtype=torch.float64)
    basis = CartesianTensor("ij=ji")
    change = basis.reduced_tensor_products().change_of_basis  # float32 constants: agreement to 1e-5
    m = torch.randn(6, 3, 3, dtype=torch.float64)
    m = m + m.mT
    turned = action.turn(str(basis), R, torch.einsum("aij,sij->sa", change.double(), m))
    expected = torch.einsum("aij,sij->sa", change.double(), R @ m @ R.mT)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_twist__undoes_turn():
    R, x = rand_matrix(4, dtype=torch.float64), torch.randn(4, 2, 9, dtype=torch.float64)
    irreps = "0e+1o+2e"
    torch.testing.assert_close(action.twist(irreps, R, action.turn(irreps, R, x)), x, atol=1e-12, rtol=0)
