"""Dense matrices of networks and of a block of one: against `torch.func`, sub-blocks, groups, errors of rounding."""

import numpy as np
import pytest
import torch
import toys
from scipy import stats
from toy_model import Mlp

from twirlscope.curvature import problem as problems
from twirlscope.curvature import spectra
from twirlscope.curvature.dense_spectra import dense_matrix, exact_spectra, spectrum_of
from twirlscope.curvature.lanczos import spectral_norm
from twirlscope.curvature.objective import Objective
from twirlscope.errors import UserError
from twirlscope.estimators.curvature.condition_numbers import MEASURES, estimate
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.hessian import HessianSettings

QUICK = {"samples": 6, "rotation_set": "D2", "groups": 3, "eigenvalues": 3, "dtype": "float64", "device": "cpu"}
TASK, SAMPLES = toys.force_field(), np.arange(6)
MODES = ("cached", "rebuilt", "vmap", "dual")


def network(block=""):
    torch.manual_seed(4)
    model = Mlp(Mlp.Settings(width=8), {}).double()  # 68 parameters, 36 of them in `outer`
    problems.freeze_outside(model, block)
    return model


def problem(block="", cluster=None, **settings):
    size = sum(p.numel() for p in network(block).parameters() if p.requires_grad)
    return problems.problem_of(TASK, SAMPLES, size, HessianSettings(**QUICK | settings, block=block), cluster)


def by_torch(part, curvature="hessian"):
    """Full matrix of a part of the loss by `torch.func`, without `Objective`'s derivatives."""
    objective = Objective(network(), TASK, TASK.batch(SAMPLES), sample_rotations("D2", 6, 0, 0))
    chunk, at = objective.chunks[0], objective.parameters.detach()
    if curvature == "hessian":
        return torch.func.hessian(lambda theta: objective.losses(theta, chunk)[part])(at)
    J = torch.func.jacfwd(lambda theta: objective.twisted(theta, chunk))(at)
    Q = torch.func.hessian(lambda z: objective._parts(z, chunk)[part])(objective.twisted(at, chunk).detach())
    return J.T @ Q @ J


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("curvature", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("part", ["mean", "equiv"])
def test_dense_matrix__is_that_of_torch_func(part, curvature, mode):
    given, expected = problem(), by_torch(part, curvature)
    found = dense_matrix(given.objective(network()), curvature, part, mode, given)
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


@pytest.mark.parametrize("curvature", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("part", ["mean", "equiv"])
def test_dense_matrix__of_a_layer_is_the_block_of_that_of_all_parameters(part, curvature):
    names = [n for n, p in network().named_parameters() for _ in range(p.numel())]
    inside = torch.tensor([n.startswith("outer") for n in names])
    given, full = problem("outer"), by_torch(part, curvature)
    found = dense_matrix(given.objective(network("outer")), curvature, part, "cached", given)
    assert len(found) == 36
    assert (found - full[inside][:, inside]).abs().max() < 1e-10 * full.abs().max()


def test_measure__has_all_eigenvalues_of_both_parts_and_of_their_sum():
    found = spectra.measure(network(), problem(), 4).isel(step=0)
    assert list(found["part"]) == ["mean", "equiv", "total"]
    for curvature in ("hessian", "gauss_newton"):
        for part in ("mean", "equiv", "total"):
            exact = torch.linalg.eigvalsh(by_torch(part, curvature)).numpy()
            one = found.sel(curvature=curvature, part=part)
            np.testing.assert_allclose(one["ritz_value"], exact, atol=1e-10 * np.abs(exact).max())
            np.testing.assert_allclose(one["eigenvalue_top"], exact[::-1][:3], rtol=1e-10)
            magnitude = np.abs(exact[np.abs(exact) > float(one["ritz_error"].max())])
            number = one["condition"].sel(side="absolute")
            assert number.sel(measure="rank") == len(magnitude)
            assert number.sel(measure="kappa_smallest") == pytest.approx(magnitude.max() / magnitude.min(), rel=1e-4)
            assert number.sel(measure="kappa_median") == pytest.approx(magnitude.max() / np.median(magnitude))
    assert found["condition_converged"].sel(measure=["kappa_E90", "kappa_E99", "kappa_GD10"]).all()


def test_measure__of_independent_rotations_has_the_total_of_the_plain_mean_of_all():
    found = spectra.measure(network(), problem(rotation_set="independent", rotations=4), 4).isel(step=0)
    assert list(found["part"]) == ["mean", "mean_plugin", "equiv", "total"]
    trace = found["trace"].sel(curvature="hessian")
    assert trace.sel(part="total") == pytest.approx(float(trace.sel(part="mean") + trace.sel(part="equiv")))


@pytest.mark.slow
def test_exact_spectra__leave_out_each_group_and_give_a_jackknife_interval():
    given = problem()
    found = exact_spectra(network(), given, "cached")
    for group, left_out in zip(given.groups, found.replicates["hessian", "mean"], strict=True):
        rest = np.setdiff1d(SAMPLES, group)
        other = given.objective(network(), rest)
        exact = torch.linalg.eigvalsh(dense_matrix(other, "hessian", "mean", "cached", given)).numpy()
        np.testing.assert_allclose(left_out.value, exact, atol=1e-10)
    stored = spectra.measure(network(), given, 4).isel(step=0).sel(curvature="hessian", side="absolute")
    for name in ("kappa_E90", "effective_rank", "kappa_median"):
        each = [
            np.log([estimate(s, MEASURES[name][0]).value for s in found.replicates["hessian", part]])
            for part in ("mean", "equiv")
        ]
        ratio = each[0] - each[1]
        width = stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * ((ratio - ratio.mean()) ** 2).sum())
        one = stored.sel(measure=name)
        assert np.log(one["condition_ratio_high"] / one["condition_ratio"]) == pytest.approx(width)
        assert np.log(one["condition_ratio"] / one["condition_ratio_low"]) == pytest.approx(width)


def test_spectrum__has_errors_above_those_of_rounding_in_float32():
    rough, exact = problem(dtype="float32"), problem()
    for part in ("mean", "equiv"):
        single = dense_matrix(rough.objective(network().float()), "hessian", part, "cached", rough)
        double = dense_matrix(exact.objective(network()), "hessian", part, "cached", exact)
        found, truth = spectrum_of(single, rough), spectrum_of(double, exact)
        assert (np.abs(found.value - truth.value) <= found.error).all()
        assert found.error[0] < 1e-5 * found.value.max(), "and not far above"
        assert truth.error[0] < 1e-12 * truth.value.max()


def test_spectral_norm__is_the_largest_singular_value():
    matrix = torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert spectral_norm(matrix) == pytest.approx(torch.linalg.matrix_norm(matrix, 2).item(), rel=0.02)
    assert spectral_norm(torch.zeros(3, 3, dtype=torch.float64)) == 0


def test_groups__are_of_whole_clusters():
    given = problem(cluster=np.array([7, 7, 2, 2, 2, 5]))
    assert [list(g) for g in given.groups] == [[0, 1], [2, 3, 4], [5]]
    two = problem(cluster=np.array([7, 7, 2, 2, 2, 5]), groups=2)
    assert [list(g) for g in two.groups] == [[0, 1, 5], [2, 3, 4]]


def test_choose_samples__are_of_different_clusters_if_there_are_enough():
    index, cluster = np.arange(100, 130), np.repeat(np.arange(10), 3)
    for seed in range(20):
        chosen = problems.choose_samples(index, HessianSettings(samples=10, seed=seed), cluster)
        assert len(set(cluster[chosen - 100])) == 10
        more = problems.choose_samples(index, HessianSettings(samples=14, seed=seed), cluster)
        assert len(set(more)) == 14


def test_freeze_outside__names_the_modules_there_are():
    with pytest.raises(UserError, match=r"hessian\.block.*'outr'.*known: inner, outer|outer"):
        network("outr")
