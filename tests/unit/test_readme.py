"""The README's examples, run as they stand, and the names and paths in all Markdown files."""

import re
import runpy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

import twirlscope
from twirlscope.planning.plan import Plan

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "config").glob("*.md")),
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(p.parts)),
]
GENERATED = runpy.run_path(str(ROOT / "docs" / "generated.py"))["pages"]()
FILES = r"`((?:workflow|tests|config|docs|profiles|envs)/[\w./-]+)`"


def named(page):
    return page.relative_to(ROOT).as_posix()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_readme__example_runs_and_prints_what_it_says(capsys):
    example = next(b for b in blocks("python") if "FixedBatchTask(" in b)
    exec(compile(example, str(README), "exec"), {})
    last = capsys.readouterr().out.splitlines()[-1]  # a slow machine prints lines of progress before it
    assert float(last) == pytest.approx(0.01 / 3, rel=0.15)


def test_readme__averaged_example_has_no_bias_left():
    names = {}
    for example in (b for b in blocks("python") if "predict" in b):
        exec(compile(example, str(README), "exec"), names)
    points = names["points"]
    assert (names["better"]({"points": points})["arrow"] + points).abs().max() < 1e-5


def test_readme__config_for_a_file_of_ones_own_is_six_lines_and_a_plan(tmp_path, monkeypatch):
    (text,) = blocks("yaml")
    assert text.count("\n") == 6
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.xyz").touch()
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text()))
    update_config(config, yaml.safe_load(text))
    assert Plan(config).datasets == ["mine"]  # nothing else is prepared


def test_readme__maps_every_room():
    named = re.findall(r"^\| `(\w+)/` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted(p.parent.name for p in (ROOT / "workflow" / "twirlscope").glob("*/__init__.py"))


def test_workflow_picture__is_what_its_script_draws():
    script = runpy.run_path(str(ROOT / "docs" / "draw_workflow.py"))
    assert script["OUT"].read_text(encoding="utf-8") == script["drawing"]()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_pages__name_only_files_that_exist(page):
    for name in re.findall(FILES, page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or name == "profiles/mine", name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_pages__link_only_to_files_and_headings_that_exist(page):
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        if "generated" in path.parts:  # from config/README.md, by `make docs`
            assert path.name in GENERATED, target
            continue
        assert path.exists(), target
        assert not heading or heading in anchors(path), heading


def anchors(path):
    """The names under which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_pages__use_only_public_names_of_the_package(page):
    for name in re.findall(r"(?<![\w/.])twirlscope\.([A-Za-z]\w*)", page.read_text(encoding="utf-8")):
        assert name in dir(twirlscope) or name in ("planning",), name
