"""A copy of the project and Snakemake in it, for tests of whole runs."""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Project:
    """A copy of the project, the code in one folder and the results in another.

    printed: by the run that made the results.
    """

    code: Path
    work: Path
    printed: str = ""

    def command(self, *arguments: str) -> list[str]:
        """Snakemake on the smoke config."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", self.code / "Snakefile", "--cores", "2"]
        return [*map(str, command), "--directory", str(self.work), "--configfile", self.smoke, *arguments]

    @property
    def smoke(self) -> str:
        """The smoke config; overlays are named after it."""
        return str(self.code / "config" / "smoke.yaml")

    def snakemake(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess:
        """Run it; fail with its output unless it ends as expected."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, cwd=self.code, env=environment)
        done.output = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, done.output[-4000:]
        return done

    def jobs(self, *arguments: str) -> set[str]:
        """What a dry run would do, as the messages of its jobs up to the first bracket."""
        return self.jobs_in(self.snakemake("-n", *arguments).output)

    @staticmethod
    def jobs_in(output: str) -> set[str]:
        """The messages of the jobs in the output of a dry run."""
        found = re.findall(r"^Job \d+: (.+)$", output, re.MULTILINE)
        return {message.split(" (")[0] for message in found}

    def copy(self, folder: Path) -> Project:
        """A fresh clone of the code over the same results."""
        copy_code(self.code, folder)
        return Project(folder, self.work)


def copy_code(source: Path, target: Path) -> None:
    """The files that git knows (or would add), as a clone would have them, with bytecode that an edit makes void."""
    _copy_files(source, target)
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(target / "workflow", quiet=2, invalidation_mode=mode)


def _copy_files(source: Path, target: Path) -> None:
    listed = ["git", "-C", source, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if not (source / ".git").exists():
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns(".snakemake", "__pycache__"), copy_function=shutil.copy
        )
        return
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)
