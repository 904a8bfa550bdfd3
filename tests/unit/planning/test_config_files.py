"""Config files read strictly: every key once, every number in base ten."""

import pytest
import yaml
from copies import ROOT

from twirlscope.errors import UserErrors
from twirlscope.planning import config_files

BASE = "expected a number in base ten, or a text in quotes, got"
CASES = {
    "key twice": (
        "runs:\n  a: {seed: 1}\n  b: 2\n  a: {seed: 3}\n",
        "line 4: runs.a: expected every key once, got",
    ),
    "key twice in a flow": ("train: {steps: 3, batch: 1, steps: 4}\n", "line 1: train.steps: expected every key once"),
    "key twice at the top": ("runs: {}\ndata: {}\nruns: {}\n", "line 3: runs: .* got 'runs' again, after line 1"),
    "octal": ("train:\n  steps: 0100\n", f"line 2: train.steps: {BASE} 0100, which YAML reads in octal as 64"),
    "base 60": ("train:\n  steps: 1:30\n", f"line 2: train.steps: {BASE} 1:30, which YAML reads in base 60 as 90"),
    "base 60 in a list": ("seeds: [1, 2:00]\n", rf"line 1: seeds\[1\]: {BASE} 2:00"),
}
PLAIN = ["a: 0\nb: 0.5\nc: '0100'\nd: 10:30 h\ne: -0.0\nf: 0x1F\n", "&a x: 1\nb: *a\n", "", "{", "\t"]


@pytest.mark.parametrize("name", CASES)
def test_require_unambiguous__names_file_line_and_key(tmp_path, name):
    text, message = CASES[name]
    yaml.safe_load(text)  # YAML itself takes it without a word
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(UserErrors, match=message) as told:
        config_files.require_unambiguous([str(path)])
    assert f"{path}, line" in str(told.value)


def test_require_unambiguous__names_all_mistakes_of_all_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("x: 1\nx: 010\n")
    assert len(config_files.mistakes([tmp_path / "a", tmp_path / "b"])) == 4


@pytest.mark.parametrize("text", PLAIN)
def test_mistakes__has_none_where_nothing_is_read_otherwise_than_written(tmp_path, text):
    (tmp_path / "a").write_text(text)
    assert config_files.mistakes([tmp_path / "a", tmp_path / "missing"]) == []


def test_mistakes__are_not_in_the_configs_of_the_project():
    assert config_files.mistakes(sorted((ROOT / "config").glob("*.yaml"))) == []
