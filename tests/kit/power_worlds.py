"""Simulated runs whose power law is known, and how often intervals hold it."""

from __future__ import annotations

import numpy as np

from twirlscope.estimators import power_laws

EXPONENT, OTHER = -0.4, -0.25
WORDS = {
    "exponent": "exponent of a power law",
    "difference": "difference of two exponents",
    "low": "ratio of two laws, low end",
    "high": "ratio of two laws, high end",
}


def drawn(random, x, exponent, seeds, seed_noise, run_noise):
    """Losses `[run, seed]` of a law x^exponent, with normal errors of the logarithm of runs and of seeds."""
    runs = run_noise * random.standard_normal((len(x), 1)) + seed_noise * random.standard_normal((len(x), seeds))
    return np.exp(exponent * np.log(x)[:, None] + runs)


def coverage(repeats, runs, seeds, seed_noise, run_noise, octaves=5.0):
    """Shares of the intervals that hold the truth, by name; the other law has twice the errors and one run more."""
    random = np.random.default_rng([runs, seeds])
    x, other = (2.0 ** np.linspace(0, octaves, n) for n in (runs, runs + 1))
    hits = {name: [] for name in WORDS}
    for _ in range(repeats):
        one = power_laws.fit(x, drawn(random, x, EXPONENT, seeds, seed_noise, run_noise))
        two = power_laws.fit(other, drawn(random, other, OTHER, seeds, 2 * seed_noise, 2 * run_noise))
        found = {
            "exponent": (one.interval, EXPONENT),
            "difference": (power_laws.difference(one, two), EXPONENT - OTHER),
            "low": (power_laws.ratio(one, two, x[0]), x[0] ** (EXPONENT - OTHER)),
            "high": (power_laws.ratio(one, two, x[-1]), x[-1] ** (EXPONENT - OTHER)),
        }
        for name, (interval, truth) in found.items():
            hits[name].append(interval.low <= truth <= interval.high)
    return {name: float(np.mean(each)) for name, each in hits.items()}


def grid(random, widths, budgets, seeds, seed_noise, run_noise):
    """Costs, losses `[run, seed]` and the true exponent of the best loss, for every size and number of updates.

    The loss of N parameters after D updates is N^-0.4 + D^-0.4: at the cost N D the best one falls as its power -0.2.
    """
    size, updates = (axis.ravel() for axis in np.meshgrid(widths, budgets, indexing="ij"))
    loss = size**-0.4 + updates**-0.4
    errors = run_noise * random.standard_normal((len(loss), 1)) + seed_noise * random.standard_normal(
        (len(loss), seeds)
    )
    return size * updates, loss[:, None] * np.exp(errors), -0.2


def frontier_coverage(repeats, sizes, budgets, seeds, seed_noise, run_noise):
    """Share of the intervals of the law of the best runs that hold the true exponent; sizes are two octaves apart."""
    random, hits = np.random.default_rng([sizes, budgets, seeds]), []
    widths, updates = (4.0 ** np.arange(n) for n in (sizes, sizes))
    updates = np.geomspace(updates[0], updates[-1], budgets)
    for _ in range(repeats):
        x, y, truth = grid(random, widths, updates, seeds, seed_noise, run_noise)
        best = power_laws.best_per_octave(x, np.log(y).mean(1))
        if not power_laws.obstacle(x[best], y[best]):
            low, high = power_laws.fit(x[best], y[best]).interval[1:]
            hits.append(low <= truth <= high)
    return hits


def resampled_coverage(repeats, runs, seeds, seed_noise, run_noise, resamples=300):
    """Whether intervals from resampled runs and seeds hold the exponent: what Student's intervals are better than."""
    random, x, hits = np.random.default_rng([runs, seeds]), np.linspace(0, 5, runs), []
    for _ in range(repeats):
        y = np.log(drawn(random, np.exp(x), EXPONENT, seeds, seed_noise, run_noise))
        run = random.integers(runs, size=(resamples, runs))
        mean = y[run[..., None], random.integers(seeds, size=(resamples, runs, seeds))].mean(-1)
        away = x[run] - x[run].mean(-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (away * mean).sum(-1) / (away**2).sum(-1)
        low, high = np.nanquantile(slope, [0.025, 0.975])
        hits.append(low <= EXPONENT <= high)
    return hits
