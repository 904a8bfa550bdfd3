"""A table of mistakes in config files: each is named with file, line, key path and the nearest known name."""

import copy
from pathlib import Path

import pytest
import yaml
from copies import ROOT
from snakemake.utils import update_config

from twirlscope.errors import UserErrors
from twirlscope.planning import config_files
from twirlscope.planning.plan import Plan

DEFAULT = ROOT / "config" / "config.yaml"
MISTAKES = yaml.safe_load(Path(__file__).with_name("config_mistakes.yaml").read_text())


@pytest.fixture(scope="module")
def default():
    return yaml.safe_load(DEFAULT.read_text())


def told(overlay, default):
    """What the Snakefile prints about an overlay of the default config."""
    try:
        config_files.require_unambiguous([DEFAULT, overlay])
        config = copy.deepcopy(default)
        update_config(config, yaml.safe_load(overlay.read_text()))
        Plan(config)
    except UserErrors as mistakes:
        return str(config_files.located(mistakes, [DEFAULT, overlay]))
    return "no mistake was found"


def test_table__has_more_than_a_hundred_different_mistakes():
    assert len({text for text, *_ in MISTAKES}) == len(MISTAKES) > 150


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{m[1]} {i}" for i, m in enumerate(MISTAKES)])
def test_mistake__is_named_with_file_line_key_and_nearest_name(mistake, default, tmp_path, monkeypatch):
    text, path, words, *where = mistake
    monkeypatch.chdir(tmp_path)
    overlay = tmp_path / "my.yaml"
    overlay.write_text(text, encoding="utf-8")
    message = told(overlay, default)
    line = next((line for line in message.splitlines() if f": {path}: " in line), message)
    assert f": {path}: " in line
    assert words in line
    assert f"{DEFAULT if where else overlay}, line " in line
    assert "pydantic" not in message
