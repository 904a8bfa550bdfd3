"""Share of wrong verdicts on simulated trainings, and coverage of crossovers, as Markdown tables.

Usage: PYTHONPATH=workflow:tests/kit python tests/bench/calibrate_claims.py [--trials 1000] [--claim NAME]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kit"))

import claim_worlds

from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS

SEEDS = ((2, 2), (2, 3), (3, 3), (5, 5))


def verdict_lines(trials: int, claim: str) -> list[str]:
    """One row per world: both verdicts in percent, and the share of those that are wrong."""
    lines = [
        "| claim | truth | simulated trainings | holds % | contradicted % | wrong % |",
        "|---|---|---|---|---|---|",
    ]
    for world in claim_worlds.worlds():
        if claim in world.claim:
            rates = world.rates(trials)
            numbers = [rates[HOLDS], rates[CONTRADICTED], max(rates[v] for v in world.wrong)]
            cells = [world.claim, world.truth, world.words, *(f"{100 * n:.1f}" for n in numbers)]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def coverage_lines(trials: int) -> list[str]:
    """One row per number of seeds and mix of noise."""
    lines = [
        "| seeds | noise: seeds, seeds, samples, samples in one training | crossing % | ratio % |",
        "|---|---|---|---|",
    ]
    for seeds in SEEDS:
        for mix in claim_worlds.MIXES:
            crossing, ratio = claim_worlds.coverage(seeds, mix, trials)
            noise = ", ".join(f"{x:g}" for x in mix)
            lines.append(f"| {seeds[0]}, {seeds[1]} | {noise} | {100 * crossing:.1f} | {100 * ratio:.1f} |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--claim", default="", help="only claims whose name holds this text")
    chosen = parser.parse_args(arguments)
    print("\n".join(verdict_lines(chosen.trials, chosen.claim)), end="\n\n")
    if not chosen.claim:
        print("\n".join(coverage_lines(chosen.trials)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
