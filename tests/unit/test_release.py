"""What a release consists of: archives with the same bytes at every build, and metadata that agree."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import yaml
from copies import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CATALOG = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))


def tracked():
    """Files of a commit, with the edits of the working tree."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def built(folder, umask, time):
    """Archives of a copy of the project, with other file times and rights, and their hashes."""
    for name in tracked():
        target = folder / "code" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(0o666 & ~umask)
        os.utime(target, (time, time))
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")],
        cwd=folder / "code",
        env=environment,
        check=True,
        capture_output=True,
    )
    return {p.name: p for p in sorted((folder / "dist").iterdir())}


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    pytest.importorskip("hatchling", reason="the extra `test` installs it")
    return [
        built(tmp_path_factory.mktemp("first"), 0o022, 1_600_000_000),
        built(tmp_path_factory.mktemp("second"), 0o077, 1_650_000_000),
    ]


def test_archives__have_the_same_bytes_at_every_build(twice):
    first, second = ({n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in one.items()} for one in twice)
    version = PROJECT["version"]
    assert set(first) == {f"twirlscope-{version}.tar.gz", f"twirlscope-{version}-py3-none-any.whl"}
    assert first == second


def test_wheel__has_the_package_with_its_files_and_nothing_else(twice):
    wheel = next(p for n, p in twice[0].items() if n.endswith(".whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
    package = "workflow/twirlscope/"
    assert names == {name.removeprefix("workflow/") for name in tracked() if name.startswith(package)}


def test_source_archive__has_what_a_run_needs(twice):
    source = next(p for n, p in twice[0].items() if n.endswith(".tar.gz"))
    with tarfile.open(source) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    runs = {
        n for n in tracked() if n.split("/")[0] in ("Snakefile", "Makefile", "config", "envs", "profiles", "workflow")
    }
    assert runs <= names


def test_citation__is_of_this_version_and_has_the_required_keys():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    for entry in (CITATION, *CITATION["references"]):
        assert all({"name"} == set(a) or {"family-names"} <= set(a) for a in entry["authors"])


def test_catalog__entry_has_its_keys_and_the_files_that_it_promises():
    usage = CATALOG["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["software-stack-deployment"]["conda"] is bool(list((ROOT / "envs").glob("*.yaml")))
    assert (ROOT / "workflow" / "Snakefile").exists()
    assert (ROOT / "config" / "README.md").exists()
