"""Specification of external models: steps of checkpoints, arguments, and mistakes found before any import."""

import pytest

from twirlscope.errors import UserError
from twirlscope.external import specification
from twirlscope.settings.external import ExternalSettings

GOOD = {"calculator": "ase.calculators.emt:EMT", "trust": True}


def made(**changes):
    return ExternalSettings(**(GOOD | changes))


def errors(**changes):
    return "\n".join(map(str, specification.check(made(**changes), "runs.x.external")))


def test_series__sorts_the_files_of_a_pattern_by_step(tmp_path):
    for step in (0, 10, 9, 200):
        (tmp_path / f"epoch_{step}.pt").touch()
    found = specification.series(made(checkpoints=f"{tmp_path}/epoch_{{step}}.pt"), "x")
    assert list(found) == [0, 9, 10, 200]
    assert found[9].endswith("epoch_9.pt")
    assert specification.series(made(), "x") == {0: ""}


def test_spec__has_the_checkpoint_in_every_text_of_its_arguments():
    arguments = {"model": "{checkpoint}", "deep": [{"name": "at {step} of {checkpoint}"}, 3]}
    spec = specification.spec_of(made(arguments=arguments), 7, "a.pt", "x")
    assert spec.arguments == {"model": "a.pt", "deep": [{"name": "at 7 of a.pt"}, 3]}


def test_settings__are_taken_as_another_tool_writes_them():
    found = ExternalSettings(module="ase.calculators.emt", class_name="EMT", kwargs={"a": 1}, trust=True)
    assert (found.calculator, found.arguments) == ("ase.calculators.emt:EMT", {"a": 1})


def test_check__accepts_a_good_calculator():
    assert errors() == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trust": False}, "runs.x.external.trust: expected true"),
        ({"calculator": "EMT"}, "`module:name` or `file.py:factory`"),
        ({"calculator": "no/such/file.py:make"}, "a Python file that exists"),
        ({"python": "/no/such/python"}, "external.python: expected a Python that exists"),
        ({"batched": "mase"}, "batched: expected an adapter"),
        ({"batched": "no/file.py:batch"}, "batched: expected a Python file that exists"),
        ({"checkpoints": "a_{step}.pt", "arguments": {"m": "{checkpoint}"}}, "a pattern that a file fits"),
        ({"checkpoints": "a.pt", "arguments": {"m": "{checkpoint}"}}, "a pattern with one {step}"),
        ({"checkpoints": {"one": "a.pt"}, "arguments": {"m": "{checkpoint}"}}, "steps that are whole numbers"),
        ({"checkpoints": {1: "a.pt"}, "arguments": {"m": "{checkpoint}"}}, "a file that exists"),
        ({"checkpoints": [1], "arguments": {"m": "{checkpoint}"}}, "a mapping from steps to files"),
        ({"arguments": {"m": "{checkpoint}"}}, "with `checkpoints` and only then"),
    ],
)
def test_check__names_every_mistake_before_any_import(changes, words):
    assert words in errors(**changes)


def test_series__refuses_a_step_that_is_no_number(tmp_path):
    (tmp_path / "a_best.pt").touch()
    with pytest.raises(UserError, match="is a whole number"):
        specification.series(made(checkpoints=f"{tmp_path}/a_{{step}}.pt"), "x")


def test_file_hashes__change_with_the_content(tmp_path):
    file = tmp_path / "a.pt"
    file.write_text("one")
    spec = specification.spec_of(made(arguments={"deep": [str(file)]}), 0, "", "x")
    before = specification.file_hashes(spec)
    file.write_text("two")
    assert before != specification.file_hashes(spec)
    assert list(before) == [str(file)]
