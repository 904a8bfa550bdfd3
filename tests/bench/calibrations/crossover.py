"""Intervals of the cost at which one family of runs overtakes another, and of the ratio of their losses."""

from __future__ import annotations

import claim_worlds

from .row import Row

SEEDS = ((2, 2), (2, 3), (3, 3), (5, 5))


def rows(repeats: int) -> list[Row]:
    """Coverage of the crossing and of the ratio for few seeds and several kinds of noise."""
    found = []
    for seeds in SEEDS:
        for mix in claim_worlds.MIXES:
            noise = "noise of seeds {:g} and {:g}, of samples {:g}, of samples in one training {:g}".format(*mix)
            shares = claim_worlds.coverage(seeds, mix, repeats)
            for name, share in zip(("cost of the crossing", "ratio of the losses"), shares, strict=True):
                found.append(
                    Row(name, noise, f"{seeds[0]} and {seeds[1]} seeds", "92 % or more", float(share), repeats)
                )
    return found
