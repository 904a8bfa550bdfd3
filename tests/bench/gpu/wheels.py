"""Files that a machine with a GPU and no network needs for `make check-gpu`: wheels, and prepared acetylacetone.

    python tests/bench/gpu/wheels.py --out wheels --python 3.12 --has torch,e3nn,numpy,scipy,pandas --acac data/acac

The wheels are those that the package needs without those that the machine has, in the versions of envs/constraints.txt
where these exist. torch, and what needs torch, is never among them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "workflow")]

FURTHER = ["pyyaml"]  # beside what the package itself needs: the card reads a config
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12)] + ["manylinux2014_x86_64"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def name_of(requirement: str) -> str:
    """Normalised name of the package of a requirement."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def requirements(has: set[str]) -> list[str]:
    """What the package needs, without what the machine has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [r for r in [*project["dependencies"], *FURTHER] if name_of(r) not in has]


def constraints(has: set[str]) -> str:
    """The tested versions, but for packages that the machine has in a version of its own."""
    lines = (ROOT / "envs" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line[:1].isalpha() and name_of(line) not in has) + "\n"


def missing(python: str, has: set[str]) -> list[str]:
    """Requirements with their own, as `name==version`, that a machine with this Python lacks."""
    with tempfile.TemporaryDirectory() as folder:
        limits = Path(folder) / "constraints.txt"
        limits.write_text(constraints(has), encoding="utf-8")
        report = [*PIP, "install", "--dry-run", "--ignore-installed", "--report", "-", "--target", folder]
        told = subprocess.run([*report, "-c", limits, *_target(python), *requirements(has)], stdout=subprocess.PIPE)
    if told.returncode:
        raise SystemExit(told.returncode)
    found = [one["metadata"] for one in json.loads(told.stdout)["install"]]
    return sorted(f"{one['name']}=={one['version']}" for one in found if name_of(one["name"]) not in has)


def _target(python: str) -> list[str]:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]


def prepared(acac: Path, out: Path) -> bool:
    """Prepare acetylacetone as `config/forcefields.yaml` has it; False where the files are not there."""
    import yaml

    from twirlscope.plugins import make_dataset
    from twirlscope.stages.prepare import prepare, prepare_part

    section = yaml.safe_load((ROOT / "config" / "forcefields.yaml").read_text(encoding="utf-8"))["datasets"]["acac"]
    named = {path.name.removesuffix(".gz"): str(path) for path in acac.glob("*.xyz*")}
    try:
        files = [named[Path(path).name] for path in section["files"]]
        tests = {split: [named[Path(path).name] for path in paths] for split, paths in section["test_files"].items()}
    except KeyError:
        return False
    dataset = make_dataset(section | {"files": files, "test_files": tests})
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.zarr.zip"
        prepare_part(dataset, 0, part)
        prepare(dataset, [part], out)
    return True


def main() -> int:
    """Fill the folder and list it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("wheels"))
    parser.add_argument("--python", default="3.12", help="version of Python on the machine")
    parser.add_argument("--has", default="", help="packages that the machine has, with commas; torch always")
    parser.add_argument("--acac", type=Path, default=None, help="folder with the files of acetylacetone")
    given = parser.parse_args()
    has = {name_of(name) for name in [*filter(None, given.has.split(",")), "torch"]}
    needed = missing(given.python, has)
    given.out.mkdir(exist_ok=True)
    for old in given.out.glob("*.whl"):
        old.unlink()
    subprocess.run([*PIP, "download", "--no-deps", *_target(given.python), "-d", given.out, *needed], check=True)
    if given.acac is None or not prepared(given.acac, given.out / "acac.zarr.zip"):
        print("acetylacetone: no files, so the card will have no long training (ACAC=folder)")
    for path in sorted(given.out.iterdir()):
        if path.is_file():
            print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
