"""The command that changes central modules: its list, and a copy of the repository set up for one of them."""

import tomllib

import pytest

from bench import mutants


@pytest.mark.parametrize("module", mutants.MODULES)
def test_modules__and_their_tests_exist(module):
    assert (mutants.ROOT / "workflow" / mutants.PACKAGE / module).exists()
    for path in mutants.MODULES[module]:
        assert (mutants.ROOT / "tests" / "unit" / path).exists()


def test_prepared__changes_one_module_and_runs_its_own_tests(tmp_path):
    mutants.prepared(tmp_path, "estimators/loss_split.py")
    config = tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert [(tmp_path / p).exists() for p in config["only_mutate"]] == [True]
    assert [(tmp_path / p).exists() for p in config["pytest_add_cli_args_test_selection"]] == [True]


def test_page__keeps_the_results_of_modules_that_were_not_measured_again():
    bootstrap, loss_split = "estimators/bootstrap.py", "estimators/loss_split.py"
    first = mutants.Result("2026-01-02", 200, 180, 200, ["interval: `a - b` → `a + b`", "pooled: `1 | 2` → `None`"])
    other = mutants.Result("2026-01-03", 9, 9, 90, [])
    text = mutants.page({bootstrap: first, loss_split: other})
    assert mutants.read(text) == {bootstrap: first, loss_split: other}
    assert f"| {bootstrap} | 200 | 180 | 90 % | 2026-01-02 |" in text
    assert f"| {loss_split} | 9 drawn of 90 | 9 | 100 % | 2026-01-03 |" in text
    assert mutants.read("") == {}


def test_function__is_the_place_of_a_change():
    assert mutants.function("a.b.loss_split.x_split__mutmut_3") == "split"
    assert mutants.function("a.b.loss_split.x__pairs__mutmut_12") == "_pairs"
    assert mutants.function("a.b.eigenvalues.xǁSpectrumǁtop__mutmut_1") == "Spectrum.top"
