"""Every snippet of the documentation: Python is run, configs are planned, commands are parsed by their program."""

import os
import re
import runpy
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake.utils import update_config

import twirlscope
from twirlscope.planning.plan import Plan

ROOT = Path(__file__).parents[2]
OWN = [p for p in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(p.parts)]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config" / "README.md", *OWN]
RESULTS = os.environ.get("TWIRLSCOPE_RESULTS")
OTHERS = {  # programs that are not run here, and why
    "git": "the address of a clone is the user's",
    "tmux": "a terminal",
    "squeue": "a cluster",
    "python": "tests of its own",
    "pytest": "this is one",
    "pip": "packages of the user's choice",
}
PATHS = ("/data/study", "/tmp/before", "/tmp/after", "my.yaml", "data/train.xyz")  # of the user


def blocks(page):
    """Language and text of every fenced block of a page; commands have no language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def named(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", OWN, ids=named)
def test_python__of_a_page_runs_from_top_to_bottom(page, monkeypatch):
    monkeypatch.setattr("builtins.print", lambda *values, **options: None)
    names = {}
    for language, text in blocks(page):
        if language != "python" or text.startswith("# not run here: "):
            continue
        if text.startswith("# needs results\n"):
            if not RESULTS:
                continue
            monkeypatch.chdir(Path(RESULTS).parent)
        exec(compile(text, named(page), "exec"), names)


@pytest.mark.skipif(not RESULTS, reason="TWIRLSCOPE_RESULTS does not name the results of `make run`")
def test_readme__notebook_example_runs_on_the_default_run(monkeypatch):
    example = next(text for _, text in blocks(ROOT / "README.md") if "twirlscope.Trained(" in text)
    monkeypatch.chdir(Path(RESULTS).parent)
    exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize("page", OWN, ids=named)
def test_configs__of_a_page_are_planned(page, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.xyz").touch()
    monkeypatch.chdir(tmp_path)
    config = {}
    for path in ("config.yaml", "own_data.yaml"):
        update_config(config, yaml.safe_load((ROOT / "config" / path).read_text()))
    for language, text in blocks(page):
        if language == "yaml":
            update_config(config, yaml.safe_load(text))
            assert Plan(config).datasets == ["mine"]


def test_own_data__runs_nothing_but_the_file_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.xyz").touch()
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text()))
    plan = Plan(config)
    assert plan.datasets == ["mine"]
    assert plan.runs == [("augmented", 0), ("equivariant", 0)]
    assert not plan.measured_by("hessian")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands__of_a_page_are_understood(page):
    for language, text in blocks(page):
        for line in text.replace("\\\n", " ").splitlines() if not language else []:
            for command in re.split(r" && | \| ", line.partition(" #")[0].strip()):
                understood(command)


def understood(command):
    """Fails for a command with an option, target or file that does not exist."""
    program, *words = command.replace('"', "").split() or [""]
    if program.endswith("snakemake"):
        found = get_argument_parser().parse_args(words)
        assert set(found.targets) <= rules() or all(target.startswith("results/") for target in found.targets), command
        for path in map(str, [*(found.configfile or []), *(found.profile or [])]):
            assert path in PATHS or (ROOT / path).exists(), command
        assert set(found.forcerun or []) | set(found.until or []) <= rules(), command
    elif program == "make":
        targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words if "=" not in word} <= targets, command
    else:
        known = program in OTHERS or program in ("", "cd", "awk", "xargs")
        assert known, f"{command}: no check and no reason"
        if program == "python" and words[0] != "-m":
            assert (ROOT / words[0]).exists(), command


def rules():
    """Names of all rules."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    return set(re.findall(r"^rule (\w+):", "\n".join(p.read_text() for p in files), re.MULTILINE))


def test_reference__names_every_public_name_and_every_stored_array():
    api = (ROOT / "docs" / "reference" / "api.md").read_text()
    assert sorted(re.findall(r"^\.\. auto\w+:: (\w+)$", api, re.MULTILINE)) == sorted(twirlscope.__all__)
    generated = runpy.run_path(str(ROOT / "docs" / "generated.py"))
    from twirlscope.storage.arrays.summary import SUMMARY
    from twirlscope.storage.registry import VARIABLES

    listed = re.findall(r"^\| `(\w+)` \|", generated["stores"](), re.MULTILINE)
    assert set(listed) == set(VARIABLES) | set(SUMMARY)


def test_guides__are_the_sections_of_the_config_readme():
    generated = runpy.run_path(str(ROOT / "docs" / "generated.py"))
    text = generated["CONFIG"].read_text(encoding="utf-8")
    guides = generated["sections"](text)
    assert len(guides) == len(re.findall(r"^## ", text, re.MULTILINE)) > 5
    assert all(
        len(re.findall(r"^# [A-Z]", re.sub(r"```.*?```", "", g, flags=re.DOTALL), re.M)) == 1 for g in guides.values()
    )
    assert sum(g.count("```") for g in guides.values()) == text.partition("\n## ")[2].count("```")
