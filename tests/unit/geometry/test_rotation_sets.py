"""Rotation sets are exact up to their degree: Wigner matrices, closed forms and Monte Carlo."""

import numpy as np
import pytest
import torch

from twirlscope.errors import UserError
from twirlscope.geometry import action, so3
from twirlscope.geometry.rotation_sets import (
    DEGREES,
    RotationSet,
    randomised,
    rotation_set,
    sample_rotations,
    smallest,
    uniform,
)

SIZES = dict(zip(DEGREES, [4, 12, 24, 24, 60, 84, 168, 208, 360, 380, 600, 1376], strict=True))
FIRST = {"D2": 0.4, "T": 1 / 7, "O": 1 / 9, "I": 1 / 13, "O7": 0.0186, "I6": 0.0119}  # the first alpha that is not 0
FIRST |= {"lebedev3": 1 / 9, "lebedev5": 0.0336, "lebedev7": 0.0185, "lebedev9": 0.0135, "lebedev11": 0.0087}
FIRST |= {"lebedev15": 0.0042}
HIGHEST = 11  # of e3nn's spherical harmonics


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def averages(quaternion, weight, highest):
    """SUM_i w_i D_l(g_i) for l = 0..highest; rotations on the last axis but one."""
    for degree in range(highest + 1):
        matrices = action.representation(f"{degree}e", so3.matrix(quaternion))
        yield torch.einsum("n,...nij->...ij", weight, matrices)


def haar_set(count, seed):
    weight = torch.full((count,), 1 / count, dtype=torch.float64)
    return RotationSet("haar", so3.haar(count, generator=generator(seed)), weight, 0)


@pytest.mark.parametrize("name", DEGREES)
def test_alpha__is_zero_to_the_degree_of_the_set_and_no_further(name):
    found = rotation_set(name)
    alpha = found.alpha(found.degree + 1)
    assert alpha[0] == pytest.approx(1, abs=1e-14)
    assert abs(alpha[1:-1]).max() < 1e-15
    assert alpha[-1] == pytest.approx(FIRST[name], abs=5e-5)


@pytest.mark.parametrize("name", DEGREES)
def test_rotation_set__holds_unit_quaternions_and_positive_weights_of_sum_one(name):
    found = rotation_set(name)
    assert len(found) == SIZES[name]
    assert found.quaternion.dtype == found.weight.dtype == torch.float64
    torch.testing.assert_close(found.quaternion.norm(dim=1), torch.ones(len(found)).double(), atol=1e-15, rtol=0)
    assert found.weight.min() > 0
    assert found.weight.sum().item() == pytest.approx(1, abs=1e-14)
    assert found.equal == (name[:3] != "leb" or name == "lebedev3")
    overlap = (found.quaternion @ found.quaternion.T).abs().fill_diagonal_(0)
    assert overlap.max() < 1 - 1e-4  # no rotation twice


@pytest.mark.parametrize("name", DEGREES)
def test_rotation_set__averages_every_wigner_matrix_to_zero(name):
    """The sums are of first order in the rotations, alpha is of second order, so errors of rotations show here."""
    found = rotation_set(name)
    few = list(averages(found.quaternion, found.weight, min(found.degree + 1, HIGHEST)))
    assert max(average.abs().max() for average in few[1 : found.degree + 1]) < 2e-14
    if found.degree < HIGHEST:
        assert few[-1].abs().max() > 0.01


@pytest.mark.parametrize("found", [rotation_set("T"), rotation_set("lebedev5"), haar_set(7, 0)], ids=lambda s: s.name)
def test_alpha__is_the_size_of_the_average_wigner_matrix(found):
    expected = [average.square().sum() / len(average) for average in averages(found.quaternion, found.weight, HIGHEST)]
    np.testing.assert_allclose(found.alpha(HIGHEST), expected, atol=1e-13)


def test_alpha__keeps_its_digits_for_angles_near_zero_and_pi():
    """Two rotations: alpha_l = (1 + chi_l(w) / (2l+1)) / 2."""
    w, degrees = np.array([1e-9, 1e-3, np.pi - 1e-3, np.pi - 1e-9, np.pi]), np.arange(41)
    weight = torch.full((2,), 0.5, dtype=torch.float64)
    for angle in w:
        pair = so3.axis_rotation(2, torch.tensor([0.0, angle], dtype=torch.float64))
        characters = np.cos(np.outer(degrees, [angle])).cumsum(0)[:, 0] * 2 - 1
        expected = (1 + characters / (2 * degrees + 1)) / 2
        np.testing.assert_allclose(RotationSet("", pair, weight, 0).alpha(40), expected, atol=2e-14)


def test_alpha__does_not_depend_on_the_blocks(monkeypatch):
    found = haar_set(50, 3)
    whole = found.alpha(6)
    monkeypatch.setattr("twirlscope.geometry.rotation_sets.BLOCK", 170)
    np.testing.assert_allclose(found.alpha(6), whole, rtol=1e-13)


def polynomial(degree, seed):
    """SUM_k c_k (u_k . R v_k)^n_k, n_k up to `degree`, and its average: R v is uniform on the sphere."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, 3 * degree, 3))
    u, v = u / np.linalg.norm(u, axis=1)[:, None], v / np.linalg.norm(v, axis=1)[:, None]
    power, c = np.repeat(np.arange(1, degree + 1), 3), rng.normal(size=3 * degree)
    exact = (c / (power + 1))[power % 2 == 0].sum()
    return lambda R: (c * np.einsum("ki,nij,kj->nk", u, R, v) ** power).sum(1), exact


@pytest.mark.parametrize("name", DEGREES)
def test_rotation_set__integrates_polynomials_of_its_degree_exactly(name):
    found = rotation_set(name)
    R, weight = so3.matrix(found.quaternion).numpy(), found.weight.numpy()
    for seed in range(3):
        f, exact = polynomial(found.degree, seed)
        assert weight @ f(R) == pytest.approx(exact, abs=1e-12)
    f, exact = polynomial(found.degree + 1, 3)
    assert abs(weight @ f(R) - exact) > 1e-7


@pytest.mark.parametrize("name", ["D2", "T", "O", "I"])
def test_groups__are_closed(name):
    matrices = so3.matrix(rotation_set(name).quaternion)
    products = (matrices[:, None] @ matrices[None]).reshape(-1, 9)
    nearest = (products[:, None] - matrices.reshape(1, -1, 9)).abs().amax(-1).amin(1)
    assert nearest.max() < 1e-12


def test_smallest__is_the_smallest_that_is_exact_enough():
    names = ["D2", "T", "O", "I", "I", "O7", "O7", "I6", "I6", "lebedev11", "lebedev11", "lebedev15", "lebedev15"]
    assert [smallest(degree).name for degree in range(1, 14)] == names
    for degree in range(1, 14):
        enough = [SIZES[n] for n, exact in DEGREES.items() if exact >= degree]
        assert len(smallest(degree)) == min(enough)


def test_smallest__refuses_what_no_set_reaches():
    with pytest.raises(UserError, match="up to 15"):
        smallest(16)


def test_rotation_set__names_the_known_ones():
    with pytest.raises(UserError, match=r"did you mean 'lebedev3'.*D2, T, O"):
        rotation_set("lebedev33")


@pytest.mark.parametrize("name", ["T", "O7", "lebedev5"])
def test_randomised__sets_are_as_exact_as_the_set_itself(name):
    found = rotation_set(name)
    quaternion = randomised(found, 2, 3, generator())
    assert quaternion.shape == (2, 3, len(found), 4)
    expected = found.alpha(found.degree + 3)
    for each in quaternion.flatten(0, 1):
        alpha = RotationSet("turned", each, found.weight, 0).alpha(found.degree + 3)
        np.testing.assert_allclose(alpha, expected, atol=1e-14)
    first = so3.matrix(quaternion[..., 0, :]).reshape(6, 9)
    assert torch.pdist(first).min() > 0.01  # all turned differently


def test_haar__has_alpha_one_over_k_on_average():
    K, draws = 8, 400
    alpha = np.stack([haar_set(K, seed).alpha(6) for seed in range(draws)])[:, 1:]
    error = alpha.std(0) / draws**0.5
    assert (abs(alpha.mean(0) - 1 / K) < 4 * error).all()


@pytest.mark.slow
def test_randomised__leaves_of_a_function_what_its_spectrum_predicts():
    """z = SUM_l <A_l, D_l> has q_l = |A_l|^2 / (2l+1) and T = A_0; the residual is SUM_{l>=1} q_l alpha_l."""
    found, draws, highest = rotation_set("T"), 1500, 6
    quaternion = randomised(found, draws, 2, generator(1))
    A = [torch.randn(2 * l + 1, 2 * l + 1, dtype=torch.float64, generator=generator(l)) for l in range(highest + 1)]  # noqa: E741
    means = averages(quaternion, found.weight, highest)
    z = sum((a * average).sum((-2, -1)) for a, average in zip(A, means, strict=True)).flatten().numpy()
    q = np.array([a.square().sum() / len(a) for a in A])
    residual = (z - A[0].item()) ** 2
    predicted = q[1:] @ found.alpha(highest)[1:]
    assert abs(z.mean() - A[0].item()) < 4 * z.std() / len(z) ** 0.5
    assert abs(residual.mean() - predicted) < 4 * residual.std() / len(z) ** 0.5
    assert residual.std() / len(z) ** 0.5 < 0.05 * predicted


def test_uniform__gives_every_rotation_of_the_cube_equally_often():
    found = so3.matrix(uniform("octahedral", 24000, generator=generator()))
    counts = torch.unique(found.round().flatten(1), dim=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # chi squared with 23 degrees of freedom: 1 in 1000 is above


@pytest.mark.parametrize("kind", ["D2", "T", "O"])
def test_sample_rotations__of_a_group_hold_the_group_between_two_uniform_rotations(kind):
    quaternion = sample_rotations(kind, 2, 0, 0)
    matrices = so3.matrix(quaternion)
    traces = lambda m: torch.einsum("gij,hij->gh", m, m).flatten().sort().values  # noqa: E731
    for each in matrices:
        torch.testing.assert_close(traces(each), traces(so3.matrix(rotation_set(kind).quaternion)))
    assert (matrices[0] - matrices[1]).abs().max() > 0.1
    assert matrices.mean(1).abs().max() < 1e-12  # exact to degree 1


@pytest.mark.parametrize("kind", ["lebedev5", "H"])
def test_sample_rotations__refuses_a_set_with_weights_and_one_that_does_not_exist(kind):
    with pytest.raises(UserError, match=kind):
        sample_rotations(kind, 2, 0, 0)
