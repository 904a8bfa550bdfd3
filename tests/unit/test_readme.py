"""The README's example for a model of one's own, run as it stands."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_readme__example_runs_and_prints_what_it_says(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    example = next(b for b in blocks if "FixedBatchTask(" in b)
    exec(compile(example, str(README), "exec"), {})
    assert float(capsys.readouterr().out) == pytest.approx(0.01 / 3, rel=0.15)
