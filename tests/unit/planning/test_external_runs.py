"""External runs in a config: what is refused before any job, and the parameters of their jobs."""

import copy

import pytest

from twirlscope.errors import UserErrors
from twirlscope.planning.plan import Plan


def config(tmp_path, **external):
    (tmp_path / "frames.xyz").touch()
    (tmp_path / "a_0.pt").write_text("zero")
    (tmp_path / "a_10.pt").write_text("ten")
    given = {
        "calculator": "ase.calculators.emt:EMT",
        "arguments": {"model": "{checkpoint}"},
        "checkpoints": f"{tmp_path}/a_{{step}}.pt",
        "trust": True,
        "workers": 3,
        "threads": 2,
    }
    dataset = {"name": "extxyz", "files": [str(tmp_path / "frames.xyz")]}
    return {"datasets": {"mine": dataset}, "runs": {"pet": {"dataset": "mine", "external": given | external}}}


def test_plan__measures_an_external_run_and_trains_nothing(tmp_path):
    plan = Plan(config(tmp_path))
    assert plan.trained == plan.measured_by("gradient") == plan.measured_by("hessian") == []
    assert plan.external == "pet"
    assert plan.in_one_job("twirl") == plan.in_several_jobs("twirl") == "(?!)"
    assert plan.processes("pet") == 6
    (run,) = plan.report()["runs"]
    assert (run["train"], run["hessian"], run["gradient"]) == (False, False, False)
    assert run["settings"] == plan.external_job("twirl", "pet")["identity"]


def test_plan__measures_again_where_a_checkpoint_has_changed(tmp_path):
    before = Plan(config(tmp_path)).external_job("twirl", "pet")
    assert len(before["files"]) == 2
    given = config(tmp_path)
    (tmp_path / "a_10.pt").write_text("eleven")
    assert Plan(given).external_job("twirl", "pet") != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gradient": {"samples": 3}}, "runs.pet.gradient: expected no such key beside `external`"),
        ({"hessian": {"enabled": True}}, "runs.pet.hessian: expected no such key beside `external`"),
        ({"train": {"steps": 3}}, "runs.pet.train: expected no such key beside `external`"),
        ({"model": {"name": "tensor_product"}}, "runs.pet.model: expected no such key beside `external`"),
        ({"seeds": [0, 1]}, "runs.pet.seeds: expected one seed"),
        ({"external": {"calculator": "a:b"}}, "runs.pet.external.trust: expected true"),
        ({"external": {"calculator": "a:b", "trust": True, "work": 1}}, "runs.pet.external.work: expected no such key"),
        ({"external": {"trust": True}}, "runs.pet.external.calculator: expected a value"),
    ],
)
def test_plan__refuses_what_an_external_run_cannot_have(tmp_path, change, words):
    given = copy.deepcopy(config(tmp_path))
    given["runs"]["pet"] |= change
    with pytest.raises(UserErrors) as error:
        Plan(given)
    assert words in str(error.value)


def test_plan__refuses_a_pattern_without_a_match(tmp_path):
    with pytest.raises(UserErrors, match="a pattern that a file fits"):
        Plan(config(tmp_path, checkpoints=f"{tmp_path}/b_{{step}}.pt"))
