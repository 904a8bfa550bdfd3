"""The runs that have figures and sentences of their own."""

from pathlib import Path

from twirlscope.report.inventory import SHOWN, RunFiles, shown_runs


def test_shown_runs__are_all_of_few_runs_and_of_many_those_that_no_sweep_made():
    swept = [RunFiles(f"s_{i}", 0, Path("t"), Path("w"), None, "d", swept=True) for i in range(30)]
    own = [RunFiles("mine", seed, Path("t"), Path("w"), None, "d") for seed in (0, 1)]
    assert shown_runs(swept[:5] + own) == {"mine", *(f.run for f in swept[:5])}
    assert shown_runs(swept + own) == {"mine"}
    assert shown_runs(swept) == {f.run for f in swept[:SHOWN]}
