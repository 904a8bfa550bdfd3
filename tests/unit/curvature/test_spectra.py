"""Spectra of one checkpoint against dense Hessians, groups of the samples, and parts with and without correction."""

import numpy as np
import pytest
import torch
import toys
from scipy import stats
from toy_model import Mlp

from twirlscope.curvature import problem as problems
from twirlscope.curvature import spectra
from twirlscope.curvature.lanczos import lanczos
from twirlscope.curvature.objective import PARTS, Objective, rademacher
from twirlscope.curvature.operators import operator
from twirlscope.estimators.curvature.condition_numbers import MEASURES, estimate
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.settings.hessian import HessianSettings

QUICK = {
    "samples": 4,
    "rotation_set": "D2",
    "probes": 3,
    "lanczos_steps": 4,
    "eigenvalues": 3,
    "exact": 0,
    "device": "cpu",
}
TASK, SAMPLES = toys.force_field(), np.arange(4)


def network():
    torch.manual_seed(4)
    return Mlp(Mlp.Settings(width=8), {}).double()  # 68 parameters


def measured(**settings):
    """Dataset of one checkpoint of `network` on these four samples."""
    settings = HessianSettings(**QUICK | settings)
    size = sum(p.numel() for p in network().parameters())
    problem = problems.problem_of(TASK, SAMPLES, size, settings)
    return spectra.measure(network(), problem, 4).isel(step=0)


@pytest.mark.slow
def test_measure__is_exact_where_lanczos_spans_all_parameters():
    found = measured(lanczos_steps=40, dtype="float64").sel(curvature="hessian")
    objective = Objective(network(), TASK, TASK.batch(SAMPLES), sample_rotations("D2", 4, 0, 0))
    for part, value in objective.values().items():
        if part not in PARTS:
            continue
        exact = torch.autograd.functional.hessian(
            lambda theta, part=part: objective.losses(theta, objective.chunks[0])[part], objective.parameters.detach()
        )
        eigenvalues = torch.linalg.eigvalsh(exact).numpy()
        np.testing.assert_allclose(found["ritz_value"].sel(part=part), eigenvalues, atol=1e-12)
        np.testing.assert_allclose(found["eigenvalue_bottom"].sel(part=part), eigenvalues[:3], atol=1e-12)
        assert found["trace"].sel(part=part) == pytest.approx(exact.trace().item())
        assert found["loss_value"].sel(part=part) == pytest.approx(value)


@pytest.mark.slow
def test_measure__of_independent_rotations_also_has_the_part_that_is_not_corrected():
    found = measured(rotation_set="independent", rotations=4, lanczos_steps=2)
    assert list(found["part"]) == ["mean", "mean_plugin", "equiv"]
    quotient = (found["ritz_weight"] * found["ritz_value"]).sum("ritz").sel(curvature="hessian")  # linear in the matrix
    corrected = quotient.sel(part="mean_plugin") - quotient.sel(part="equiv") / 4
    np.testing.assert_allclose(quotient.sel(part="mean"), corrected, rtol=1e-3)
    assert found["eigenvalue_bottom"].sel(curvature="gauss_newton", part="mean_plugin")[0] > -1e-6
    assert np.isnan(found["trace"].sel(curvature="gauss_newton", part="mean"))
    number = found["condition"].sel(curvature="hessian", side="absolute", measure="kappa_E90")
    ratio = number.sel(part="mean_plugin") / number.sel(part="equiv")
    assert found["condition_ratio"].sel(curvature="hessian", side="absolute", measure="kappa_E90") == pytest.approx(
        ratio
    )


def test_measure__of_a_group_of_the_samples_is_that_of_these_samples_at_half_the_depth():
    found = measured(dtype="float64", groups=2)
    samples = TASK.batch(SAMPLES).map(lambda t: t[1::2])
    second = Objective(network(), TASK, samples, sample_rotations("D2", 4, 0, 0)[1::2])
    half = lanczos(operator(second, "mean"), rademacher(len(second.parameters), 3, 0), 2)
    for measure in ("kappa_E90", "effective_rank"):
        stored = found["condition_replicate"].sel(curvature="hessian", part="mean", side="absolute", measure=measure)
        assert stored.sel(replicate="group 2") == pytest.approx(estimate(half, MEASURES[measure][0]).value, rel=1e-6)
    assert found["condition_ratio_low"].isnull().all(), "two groups have no spread"


@pytest.mark.slow
def test_measure__ratio_has_the_spread_over_groups_of_samples_in_its_interval():
    """Exact spectra, so that probes and depth have no errors: a Student interval over the samples, one per group."""
    found = measured(dtype="float64", lanczos_steps=40, groups=4).sel(curvature="hessian", side="absolute")
    for measure in ("kappa_E90", "effective_rank"):
        one = found.sel(measure=measure)
        each = np.log(one["condition_replicate"].sel(part="mean") / one["condition_replicate"].sel(part="equiv"))
        width = stats.t.ppf(0.975, 3) * each.values.std(ddof=1) / 2
        assert np.log(one["condition_ratio_high"] / one["condition_ratio"]) == pytest.approx(width)
        assert np.log(one["condition_ratio"] / one["condition_ratio_low"]) == pytest.approx(width)


def test_measure__can_leave_out_the_gauss_newton_matrix_and_the_groups():
    found = measured(gauss_newton=False, groups=0)
    assert list(found["curvature"]) == ["hessian"]
    assert found["condition_replicate"].isnull().all()
    assert found["condition_ratio_low"].isnull().all()
    assert found["condition_ratio"].sel(measure=["kappa_E90", "effective_rank"]).notnull().all()
    assert found["condition_ratio"].sel(measure=["kappa_smallest", "kappa_median", "rank"]).isnull().all()
    assert (found["products"] == 3 * 4 + HessianSettings().trace_probes).all()


def test_choose_samples__takes_a_sorted_subset_or_the_whole_split():
    split = np.arange(5, 25)
    chosen = problems.choose_samples(split, HessianSettings(samples=6))
    assert len(set(chosen) & set(split)) == 6
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(problems.choose_samples(split, HessianSettings(samples=30)), split)


def test_problem__has_the_objective_of_the_samples_with_a_target():
    task, known = toys.partly_labelled(12)
    task.terms = task.terms[:1]
    settings = HessianSettings(**QUICK)
    problem = problems.problem_of(task, np.arange(12), 68, settings)
    quaternion = sample_rotations("D2", 12, 0, 0)
    some = Objective(network(), task, task.batch(known), quaternion[known])
    assert problem.objective(network()).values() == pytest.approx(some.values(), rel=1e-6)
