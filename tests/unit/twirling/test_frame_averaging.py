"""Frame averaging against exact cases: equivariant models, a lab bias, and points without defined axes."""

import doctest

import numpy as np
import pytest
import torch
import toys
from ase.build import molecule

import twirlscope
from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.geometry.principal_axes import frames
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import frame_averaging
from twirlscope.twirling.frame_averaging import frame_averaged, measure_frames

IRREPS = {"irreps_in": {"r": "1o"}, "irreps_out": {"force": "1o", "energy": "0e"}}
BIAS = (0.3, -0.1, 0.2)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def clouds(samples=6, points=5, dtype=torch.float64):
    """Clouds of points away from the origin, every other one with padding."""
    real = torch.ones(samples, points)
    real[::2, -1] = 0
    return {"r": (normal(samples, points, 3, seed=1) + 2) * real[..., None].double(), "real": real}


A, B = normal(3, 3, seed=3), normal(3, 3, seed=4)


def crooked(inputs):
    """Forces and energy without any equivariance."""
    r = inputs["r"]
    return {"force": torch.tanh(r @ A.to(r)) + r, "energy": torch.sin(r @ B.to(r)).sum((1, 2))[:, None]}


def haar(samples, seed=9):
    return so3.matrix(so3.haar(samples, generator=torch.Generator().manual_seed(seed)))


def test_frames__are_four_rotations_that_make_the_covariance_diagonal():
    inputs = clouds()
    found = frames(inputs["r"], inputs["real"])
    rotation, gap = found.rotation, found.gap
    np.testing.assert_allclose(rotation @ rotation.mT, torch.eye(3).double().expand(6, 4, 3, 3), atol=1e-14)
    np.testing.assert_allclose(torch.linalg.det(rotation), 1)
    for k in range(6):
        points = inputs["r"][k][inputs["real"][k] > 0].numpy()
        moments = np.linalg.eigvalsh(np.cov(points.T, bias=True))
        assert gap[k] == pytest.approx(np.diff(moments).min() / moments[-1])
        for g in rotation[k].numpy():
            np.testing.assert_allclose(np.cov(g @ points.T, bias=True), np.diag(moments), atol=1e-12)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_frame_averaged__is_equivariant_to_rounding(dtype, rounding):
    inputs, rotation = clouds(), haar(6)
    inputs["r"] = inputs["r"].to(dtype)
    better = frame_averaged(crooked, "r", "real", **IRREPS)
    turned = better(inputs | {"r": torch.einsum("sij,spj->spi", rotation.to(dtype), inputs["r"])})
    right = better(inputs)
    force = torch.einsum("sij,spj->spi", rotation.to(dtype), right["force"])
    np.testing.assert_allclose(turned["force"], force, atol=rounding)
    np.testing.assert_allclose(turned["energy"], right["energy"], atol=rounding)
    assert (crooked(inputs)["force"] - right["force"]).abs().max() > 0.1


def test_frame_averaged__leaves_an_equivariant_model_alone_and_a_scalar_bias_too():
    inputs = clouds()
    better = frame_averaged(lambda i: {"force": 2 * i["r"], "energy": i["r"].square().sum((1, 2))[:, None] + 3},
                            "r", "real", **IRREPS)  # fmt: skip
    found = better(inputs)
    np.testing.assert_allclose(found["force"], 2 * inputs["r"], atol=1e-13)
    np.testing.assert_allclose(found["energy"], inputs["r"].square().sum((1, 2))[:, None] + 3)


def test_frame_averaged__is_the_mean_over_the_group_d2_in_the_axes_of_the_points():
    """Second way: rotate into the axes, twirl with D2, rotate back."""
    inputs = clouds()
    rotation = frames(inputs["r"], inputs["real"]).rotation[:, 0]
    settled = inputs | {"r": torch.einsum("sij,spj->spi", rotation, inputs["r"])}
    there = twirlscope.twirled(crooked, "D2", **IRREPS)(settled)
    found = frame_averaged(crooked, "r", "real", chunk=9, **IRREPS)(inputs)
    np.testing.assert_allclose(found["force"], torch.einsum("sji,spj->spi", rotation, there["force"]), atol=1e-12)
    np.testing.assert_allclose(found["energy"], there["energy"], atol=1e-12)


def test_frames__of_equal_moments_have_no_gap_and_jump_where_others_do_not():
    """An octahedron of points has three equal moments, so a shift of 1e-9 can rotate its axes by any angle."""
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    stretched = corners * torch.tensor([1.0, 1.3, 1.7]).double()
    inputs = {"r": torch.stack([corners, stretched]), "real": torch.ones(2, 6)}
    gap = frames(inputs["r"], inputs["real"]).gap
    assert gap[0] < 1e-12
    assert gap[1] == pytest.approx((1.3**2 - 1) / 1.7**2)
    moved = inputs | {"r": inputs["r"] + 1e-9 * normal(2, 6, 3, seed=5)}
    alike = [frames(i["r"], i["real"]).rotation[:, 0].abs() for i in (inputs, moved)]  # signs are arbitrary
    assert (alike[1] - alike[0])[0].abs().max() > 1e-3
    assert (alike[1] - alike[0])[1].abs().max() < 1e-7


def test_frames__of_a_line_or_a_single_point_are_rotations():
    inputs = {"r": torch.zeros(2, 3, 3).double(), "real": torch.tensor([[1.0, 1, 1], [1, 0, 0]])}
    inputs["r"][0, :, 2] = torch.tensor([-1.0, 0, 1])
    found = frames(inputs["r"], inputs["real"])
    np.testing.assert_allclose(torch.linalg.det(found.rotation), 1)
    assert (found.gap == 0).all()
    assert found.kind.tolist() == [1, 3]


def test_measure_frames__of_a_lab_frame_bias_is_the_error_without_it():
    """forces + v: the mean over frames removes the bias; the error of the stiffness remains."""
    task, settings, index = toys.force_field(), TwirlSettings(resamples=100), np.arange(12)
    found = measure_frames(Evaluation(toys.Well(0.5, BIAS), task), index, settings)
    plain = measure_frames(Evaluation(toys.Well(0.5), task), index, settings)
    for name in ("frame_loss", "frame_loss_error"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-4)
    assert (abs(found["frame_loss_equiv"]) < 1e-10).all()
    np.testing.assert_allclose(plain["frame_change"], plain["pass_change"], rtol=1e-4)  # frames add no change
    assert found["frame_gap"].shape == (12,)


def test_measure_frames__of_a_flow_of_backbones_has_no_equivariance_error_left():
    task = plugins.make_task({"name": "flow_matching"}, toys.backbones())
    torch.manual_seed(0)
    model = plugins.make_model({"name": "protein_transformer", "width": 8, "layers": 1, "heads": 2}, task.constants)
    found = measure_frames(Evaluation(model.eval(), task), np.arange(6), TwirlSettings(resamples=100))
    defined = found["frame_gap"].values > 1e-3
    assert defined.all()
    assert float(found["frame_loss_equiv"][0]) < 1e-6 * float(found["frame_loss"][0])


def test_measure_frames__of_a_grid_is_empty():
    task = plugins.make_task({"name": "voxel_denoising", "size": 8, "resolution": 1.0}, toys.molecules())
    assert not measure_frames(Evaluation(lambda inputs: {}, task), np.arange(4), TwirlSettings())


def test_frame_averaged__refuses_unknown_names():
    with pytest.raises(UserError, match="averaging, irreps_in: expected the name of an input, got 'mask'"):
        frame_averaged(crooked, "r", "mask", **IRREPS)(clouds())


def test_frame_averaging__example_in_its_docstring_runs():
    assert doctest.testmod(frame_averaging).failed == 0


SYMMETRIC = ("CH4", "C6H6", "C2H6", "NH3", "CO2", "SiH4")


def symmetric_molecules(names=SYMMETRIC, dtype=torch.float64):
    """Geometries from ase, in random orientations, padded; and the same in other orientations."""
    found = [torch.from_numpy(molecule(name).positions) for name in names]
    most = max(map(len, found))
    real = torch.stack([(torch.arange(most) < len(r)).double() for r in found])
    points = torch.stack([torch.nn.functional.pad(r - r.mean(0), (0, 0, 0, most - len(r))) for r in found])
    turned = [torch.einsum("sij,spj->spi", haar(len(found), seed), points).to(dtype) for seed in (1, 2)]
    return [{"r": r, "real": real} for r in turned], (haar(len(found), 2) @ haar(len(found), 1).mT).to(dtype)


def equivariance_error(predict, pair, rotation):
    """Difference of the forces of both orientations in the same frame, over the forces, by sample."""
    here, there = (predict(inputs)["force"] * inputs["real"][..., None] for inputs in pair)
    difference = torch.einsum("sij,spj->spi", rotation.to(here), here) - there
    return difference.flatten(1).norm(dim=1) / here.flatten(1).norm(dim=1)


def test_frame_averaged__refuses_symmetric_molecules_and_names_the_remedy():
    pair, _ = symmetric_molecules((*SYMMETRIC, "H2O"))
    refusing = frame_averaged(crooked, "r", "real", **IRREPS)
    with pytest.raises(UserError, match=r"6 of 7 with equal moments.*the first is number 0; .*degenerate='average'"):
        refusing(pair[0])
    assert refusing.degenerate_share(pair[0]) == pytest.approx(6 / 7)
    assert frames(points=pair[0]["r"], real=pair[0]["real"]).kind.tolist() == [3, 2, 1, 2, 1, 3, 0]


def cubic(inputs):
    """Forces and energy of degree 3 in the points, not equivariant; twisted forces are of degree 4."""
    r = inputs["r"]
    force = (r @ A.to(r)) * (r @ B.to(r)).square() + r
    return {"force": force, "energy": (r @ B.to(r)).pow(3).sum((1, 2))[:, None] * inputs["real"].sum(1)[:, None].to(r)}


def test_frame_averaged__over_free_rotations_is_exact_for_predictions_of_low_degree():
    pair, rotation = symmetric_molecules()
    better = frame_averaged(cubic, "r", "real", **IRREPS, degenerate="average", chunk=50)
    assert equivariance_error(better, pair, rotation).max() < 1e-10
    one, other = (better(inputs)["energy"] for inputs in pair)
    np.testing.assert_allclose(one, other, atol=1e-10)
    quarter = torch.full((4,), 0.25)
    plain = lambda i: better.average(i, frames(i["r"], i["real"]).rotation, quarter)  # noqa: E731
    pair, rotation = symmetric_molecules(dtype=torch.float32)
    assert equivariance_error(plain, pair, rotation)[:3].min() > 0.03
    assert equivariance_error(better, pair, rotation).max() < 1e-5


def test_frame_averaged__of_symmetric_and_other_samples_keeps_their_order():
    pair, rotation = symmetric_molecules(("H2O", "CH4", "CH3OH", "C6H6"))
    better = frame_averaged(cubic, "r", "real", **IRREPS, degenerate="average")
    both = better(pair[0])
    for k in range(4):
        alone = better({name: v[k : k + 1] for name, v in pair[0].items()})
        np.testing.assert_allclose(both["force"][k], alone["force"][0], atol=1e-12)
    assert equivariance_error(better, pair, rotation).max() < 1e-10


def test_frames__refuse_points_that_are_not_finite_and_samples_without_points():
    inputs = clouds()
    spoilt = inputs["r"].clone()
    spoilt[2, -1] = torch.nan
    with pytest.raises(UserError, match="in 1 of 6 samples, the first is number 2, on padding only: fill it with 0"):
        frames(spoilt, inputs["real"])
    spoilt[2, 0] = torch.inf
    with pytest.raises(UserError, match=r"the first is number 2$"):
        frames(spoilt, inputs["real"])
    inputs["real"][3] = 0
    with pytest.raises(UserError, match="a real point in every sample, got none in 1 of 6, the first is number 3"):
        frames(inputs["r"], inputs["real"])


def test_frame_averaged__refuses_unknown_ways():
    with pytest.raises(UserError, match=r"got .mean. .*known: refuse, average"):
        frame_averaged(crooked, "r", "real", **IRREPS, degenerate="mean")


def test_measure_frames__of_a_term_without_some_targets_is_that_of_the_samples_that_have_one():
    task, known = toys.partly_labelled(12)
    model = toys.Well(0.5)
    every, some = (measure_frames(Evaluation(model, task), index, TwirlSettings()) for index in (np.arange(12), known))
    np.testing.assert_allclose(every["frame_loss"][0], some["frame_loss"][0], rtol=1e-4)
