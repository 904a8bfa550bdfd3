"""The table of wrong verdicts, from a few simulated trainings."""

import claim_worlds

from bench import calibrate_claims


def test_calibrate_claims__has_a_row_per_world_of_the_claim(capsys):
    assert calibrate_claims.main(["--trials", "2", "--claim", "data size"]) == 0
    head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert len(rows) == sum("data size" in world.claim for world in claim_worlds.worlds())
    assert head.count("|") == rows[0].count("|")
    assert rows[0].endswith("| 0.0 | 0.0 | 0.0 |")


def test_calibrate_claims__has_a_row_per_number_of_seeds_and_mix():
    assert len(calibrate_claims.coverage_lines(1)) == 2 + len(calibrate_claims.SEEDS) * len(claim_worlds.MIXES)
