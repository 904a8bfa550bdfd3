"""Verdicts on claims: shares of simulated trainings in which a verdict is wrong, and in which it is right."""

from __future__ import annotations

import claim_worlds

from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS

from .row import Row

COLUMNS = ("claim", "simulated trainings", "the claim is", "verdict: expected", "found")
TRUTH = {"true": "true", "false": "false", "limit": "at its limit", "open": "undecidable"}


def rows(repeats: int, claim: str = "") -> list[Row]:
    """For every law of trainings the share of each wrong verdict, and of the right one if there is one.

    Args:
        repeats: number of simulations of each law.
        claim: name of a claim; all claims if empty.
    """
    found = []
    for world in claim_worlds.worlds():
        if claim in ("", world.claim):
            rates, where = world.rates(repeats), (world.claim, world.words, TRUTH[world.truth])
            for verdict in (HOLDS, CONTRADICTED):
                expected = f"{verdict}: at most 5 %" if verdict in world.wrong else f"{verdict}: often"
                if verdict in world.wrong or len(world.wrong) == 1:
                    found.append(Row(*where, expected, rates[verdict], repeats))
    return found
