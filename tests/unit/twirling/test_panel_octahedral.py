"""Characters and spectra of the 24 rotations of a cube: orthogonality, known irreps, means over subgroups."""

import numpy as np
import torch

from twirlscope.geometry import so3
from twirlscope.geometry.rotation_sets import rotation_set
from twirlscope.twirling import panel_octahedral

GROUP = rotation_set("O").quaternion
DIMENSIONS = np.array(list(panel_octahedral.IRREPS.values()))


def matrices():
    return so3.matrix(GROUP).numpy()


def of_irrep(name):
    """Components of a function of the group that lies in one irrep: [24, component]."""
    R = matrices()
    off, diagonal = [(0, 1), (1, 2), (2, 0)], np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    products = {p: np.array([r @ np.eye(3)[[p[0]]].T @ np.eye(3)[[p[1]]] @ r.T for r in R]) for p in off}
    squares = np.array([[np.diag(r @ np.diag(d) @ r.T) for d in diagonal] for r in R])
    return {
        "A1": np.ones((24, 1)),
        "A2": np.linalg.det(np.abs(R)).round()[:, None],  # the sign of xyz under the rotation
        "E": squares @ diagonal.T[:, 0],
        "T1": R[:, :, 2],
        "T2": np.stack([products[0, 1][:, i, j] + products[0, 1][:, j, i] for i, j in off], -1),
    }[name]


def gram(z):
    return z @ z.T


def test_characters__are_orthonormal_and_their_squares_sum_to_the_order_of_the_group():
    chi = panel_octahedral.characters(GROUP)
    np.testing.assert_allclose(chi @ chi.T / 24, np.eye(5), atol=1e-12)
    identity = np.argmax(np.abs(GROUP[:, 0].numpy()))
    np.testing.assert_array_equal(chi[:, identity], DIMENSIONS)
    assert (DIMENSIONS**2).sum() == 24


def test_characters__are_traces_of_matrices_that_are_known():
    R = matrices()
    chi = dict(zip(panel_octahedral.IRREPS, panel_octahedral.characters(GROUP), strict=True))
    np.testing.assert_allclose(chi["T1"], np.trace(R, axis1=1, axis2=2), atol=1e-12)
    square = np.array([np.kron(r, r) for r in R])  # a tensor of rank two: A1 + E + T1 + T2
    np.testing.assert_allclose(sum(chi[k] for k in ("A1", "E", "T1", "T2")), np.trace(square, axis1=1, axis2=2))


def test_spectrum__finds_a_function_in_the_irrep_it_is_made_of():
    for k, name in enumerate(panel_octahedral.IRREPS):
        z = of_irrep(name)
        expected = np.zeros(5)
        expected[k] = (z**2).sum(-1).mean()
        assert expected[k] > 0.1
        np.testing.assert_allclose(panel_octahedral.spectrum(gram(z), GROUP), expected, atol=1e-12)


def test_spectrum__sums_to_the_mean_square_and_without_the_trivial_irrep_to_the_variance():
    z = np.random.default_rng(0).normal(size=(3, 24, 7))
    found = panel_octahedral.spectrum(z @ z.swapaxes(1, 2), GROUP)
    np.testing.assert_allclose(found.sum(-1), (z**2).sum(-1).mean(-1), rtol=1e-12)
    np.testing.assert_allclose(found[:, 0], (z.mean(1) ** 2).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(found[:, 1:].sum(-1), z.var(1).sum(-1), rtol=1e-12)
    assert found.min() >= 0


def test_spectrum__does_not_depend_on_the_order_of_the_rotations():
    z, order = np.random.default_rng(1).normal(size=(24, 7)), np.random.default_rng(2).permutation(24)
    shuffled = panel_octahedral.spectrum(gram(z[order]), GROUP[torch.from_numpy(order)])
    np.testing.assert_allclose(shuffled, panel_octahedral.spectrum(gram(z), GROUP), rtol=1e-12)


def test_spectrum__of_a_degree_lies_in_the_irreps_it_splits_into():
    """From Wigner matrices: degree 1 is T1, 2 is E + T2, 3 is A2 + T1 + T2, 4 has A1, an invariant of the group."""
    from twirlscope.geometry import action

    splits = {1: {"T1"}, 2: {"E", "T2"}, 3: {"A2", "T1", "T2"}, 4: {"A1", "E", "T1", "T2"}}
    random = np.random.default_rng(3)
    for degree, irreps in splits.items():
        wigner = action.representation(f"{degree}e", so3.matrix(GROUP)).numpy()
        z = wigner.transpose(0, 2, 1) @ random.normal(size=2 * degree + 1)
        found = dict(zip(panel_octahedral.IRREPS, panel_octahedral.spectrum(gram(z), GROUP), strict=True))
        assert {k for k, q in found.items() if q > 1e-9} == irreps


def test_alpha__predicts_the_mean_over_a_subgroup_at_all_its_offsets():
    z = np.random.default_rng(4).normal(size=(24, 5))
    q = panel_octahedral.spectrum(gram(z), GROUP)
    keys = {tuple(m.round().astype(int).ravel()): i for i, m in enumerate(matrices())}
    for name in ("D2", "T", "O"):
        left = []
        for h in matrices():
            for g in matrices():
                rows = [keys[tuple((h @ m @ g).round().astype(int).ravel())] for m in _members(name)]
                left.append((z[rows].mean(0) ** 2).sum())
        alpha = panel_octahedral.alpha(rotation_set(name).quaternion)
        np.testing.assert_allclose(q @ alpha, np.mean(left), rtol=1e-10)
    np.testing.assert_allclose(alpha, [1, 0, 0, 0, 0], atol=1e-12)  # of the whole group


def _members(name):
    return so3.matrix(rotation_set(name).quaternion).numpy()
