"""The command that simulates the coverage of intervals: its table, and a small run of every calibration."""

import importlib

import claim_worlds
import pytest

from bench import calibrate
from bench.calibrations import claims
from bench.calibrations.row import Row, covering


def test_table__has_the_share_its_error_and_the_count_of_every_row():
    rows = [covering("mean", "normal", "9 samples", [True] * 90 + [False] * 10), Row("a", "b", "c", "95 %", 0.0, 0)]
    text = calibrate.table(rows).splitlines()
    assert text[2] == "| mean | normal | 9 samples | 95 % | 90.0 ± 3.0 % of 100 |"
    assert text[3] == "| a | b | c | 95 % | none of them |"


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in calibrate.names() if n != "claims"])
def test_calibration__of_few_simulations_is_within_their_noise_of_what_is_expected(name):
    """A share of 95 % from n simulations has a standard error of 0.22 / sqrt(n); intervals here are not exact."""
    repeats = 8
    for row in importlib.import_module(f"calibrations.{name}").rows(repeats):
        assert 0 <= row.share <= 1
        if row.expected == "at most 5 %":
            assert row.share <= 0.05 + 3 * 0.22 / max(row.count, 1) ** 0.5, row
        elif row.expected[0] == "9" and "approximate" not in row.expected:
            assert row.share >= 0.5, row


@pytest.mark.parametrize("claim", ["whatever the data size", "better conditioned", "gradients follow"])
def test_claims__have_a_row_for_every_wrong_verdict_and_for_the_right_one(claim):
    found = claims.rows(2, claim)
    worlds = [world for world in claim_worlds.worlds() if world.claim == claim]
    assert len(found) == 2 * len(worlds)
    wrong = [row for row in found if "at most 5 %" in row.expected]
    assert len(wrong) == sum(len(world.wrong) for world in worlds)
    assert not any(row.share for row in wrong)


def test_page__has_a_section_for_every_kind_of_interval_and_for_verdicts(monkeypatch, tmp_path):
    """The table of each is as long as its rows; the columns of verdicts are their own."""
    monkeypatch.setattr(claim_worlds, "worlds", lambda: claim_worlds._level_worlds())
    monkeypatch.setattr(importlib.import_module("calibrations.crossover"), "SEEDS", ((2, 2),))
    page = tmp_path / "page.md"
    monkeypatch.setattr(
        "sys.argv", ["calibrate", "--repeats", "1", "--only", "claims", "crossover", "--out", str(page)]
    )
    calibrate.main()
    head, verdicts, crossings = page.read_text().split("\n## ")
    assert head.startswith("# Calibration")
    assert "| the claim is |" in verdicts
    assert verdicts.count("at most 5 %") == sum(len(world.wrong) for world in claim_worlds.worlds())
    assert crossings.count("92 % or more") == 2 * len(claim_worlds.MIXES)


def test_page__keeps_the_sections_that_did_not_run_in_the_order_of_the_modules(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    sections = {name: f"\n## {calibrate.title(name)}\n\n| {name} |\n" for name in ("panel", "courses", "gradients")}
    page.write_text(f"# An older head\n{sections['panel']}{sections['courses']}")
    monkeypatch.setattr(importlib.import_module("calibrations.gradients"), "rows", lambda repeats: [])
    monkeypatch.setattr("sys.argv", ["calibrate", "--repeats", "1", "--only", "gradients", "--out", str(page)])
    calibrate.main()
    head, *found = page.read_text().split("\n## ")
    assert head == calibrate.HEAD
    assert [part.partition("\n")[0] for part in found] == [
        calibrate.title(n) for n in ("courses", "gradients", "panel")
    ]
    assert f"\n## {found[0]}\n" == sections["courses"] + "\n"
    assert f"\n## {found[2]}" == sections["panel"]
