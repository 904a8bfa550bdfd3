"""Simulated trainings for which the truth of a claim is known, and how often its verdict is wrong.

Every world draws trainings from a law whose true number is given. At the limit of a claim both verdicts are wrong: such
worlds are the hardest for an interval, and a verdict may be given in 5 % of all draws. Far from the limit a verdict
should be found.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import scaling_worlds
import synthetic
import xarray as xr

from twirlscope.estimators.bootstrap import interval
from twirlscope.report.sections.claims import scaling
from twirlscope.report.sections.claims.judge import CONTRADICTED, HOLDS, judge
from twirlscope.report.sections.claims.paper import CLAIMS
from twirlscope.report.sections.price import crossover
from twirlscope.report.sections.price.crossover import Run
from twirlscope.report.trainings import Training

BY_NAME = {claim.name: claim for claim in (*CLAIMS, *scaling.CLAIMS)}
RESAMPLES = 300
COSTS = 10.0 ** np.linspace(0, 4, 9)
MIXES = (  # standard deviations of logarithms: seeds of one family and of the other, samples, samples in one training
    (0.1, 0.1, 0.4, 0.0),
    (0.3, 0.02, 0.4, 0.2),
    (0.02, 0.02, 0.4, 0.5),
    (0.1, 0.1, 1.2, 0.3),
    (0.02, 0.3, 0.2, 0.2),
)


_base = functools.cache(synthetic.claimed)
_hessian = functools.cache(synthetic.hessian)
_gradient = functools.cache(synthetic.gradient)


# shares of the loss


def shares(random, percents, held=324, sigma=0.5, **changes):
    """A training with these true percentages at its last checkpoints; losses of samples are lognormal."""
    percents = np.atleast_1d(np.asarray(percents, float))
    steps = (0, *np.linspace(10000, 4000, len(percents)).astype(int)[::-1])
    share = np.array([50.0, *percents])[:, None] / 100
    law = sigma * random.standard_normal((2, len(steps), held))
    hard = sigma * random.standard_normal(held)  # hard samples are hard at every checkpoint
    law[0] = math.sqrt(0.8) * hard + math.sqrt(0.2) * law[0]
    equiv, mean = share * np.exp(law[0] - sigma**2 / 2), (1 - share) * np.exp(0.5 * law[1] - sigma**2 / 8)
    base = _base(**changes)
    dims, each = ("step", "term"), ("step", "term", "sample")
    ends = interval(equiv, equiv + mean, RESAMPLES, 0)
    percent = {"": equiv.mean(-1) / (equiv + mean).mean(-1), "_low": ends[0], "_high": ends[1]}
    data = {f"percent_equiv{end}": (dims, 100 * v[:, None]) for end, v in percent.items()}
    data |= {f"sample_loss_{k}": (each, v[:, None]) for k, v in (("equiv", equiv), ("mean", mean))}
    data["trivial"] = (dims, np.array([[True]] + [[False]] * len(percents)))
    data["loss_total"] = (dims, (equiv + mean).mean(-1)[:, None])
    data["loss_equiv_floor"] = (dims, np.full((len(steps), 1), 1e-12))
    twirl = xr.Dataset(data, {"step": list(steps), "term": ["weighted"]}, {"group": "SO3"})
    return Training(base.run, base.seed, base.train, twirl, dataset="md")


def levels(kind):
    """Trainings of four levels of a key, with these true percentages."""
    changes = {
        "size": [{"parameters": n} for n in (1000, 2000, 4000, 8000)],
        "samples": [{"samples": n} for n in (100, 200, 400, 800)],
        "optimiser": [{"optimiser": n} for n in ("adamw", "muon", "sgd", "rmsprop")],
    }[kind]

    def made(random, percents):
        runs = zip("abcd", percents, changes, strict=True)
        return [shares(random, percent, run=run, **change) for run, percent, change in runs]

    return made


def untrained(training):
    """The training without any checkpoint that has learned."""
    nothing = training.twirl.assign(trivial=training.twirl["trivial"] | True)
    return Training(training.run, training.seed, training.train, nothing, dataset=training.dataset)


# curvature


def conditioned(random, ratio, error=0.3, trainings=1, inverse=False):
    """Trainings with this true ratio of condition numbers, whose logarithms have normal errors."""
    found = []
    for seed in range(trainings):
        value = math.log(ratio) + error * random.standard_normal()
        ends = {"": value, "_low": value - 1.96 * error, "_high": value + 1.96 * error}
        if inverse:
            ends = {"": -value, "_low": -ends["_high"], "_high": -ends["_low"]}
        curved = _hessian()
        names = {f"condition_ratio{end}": math.exp(v) for end, v in ends.items()}
        curved = curved.assign({k: xr.full_like(curved[k], v) for k, v in names.items()})
        curved = curved.assign(condition_converged=xr.full_like(curved["condition_converged"], True))
        base = _base(seed=seed)
        found.append(Training("a", seed, base.train, base.twirl, curved))
    return found


# trajectories


def autocorrelated(random, points, rho):
    """Normal numbers of variance 1 with this autocorrelation; a random walk for 1."""
    steps = random.standard_normal(points)
    if rho == 1:
        return np.cumsum(steps)
    found = steps.copy()
    for k in range(1, points):
        found[k] = rho * found[k - 1] + math.sqrt(1 - rho**2) * steps[k]
    return found


def followed(random, correlation, points=12, rho=1.0, growth=1.0):
    """A training whose two numbers have correlated changes; `growth` is the factor of a change to the one before."""
    first, second = (random.standard_normal(points) for _ in range(2))
    second = correlation * first + math.sqrt(1 - correlation**2) * second
    size = growth ** np.arange(points)
    if rho < 1:
        pair = [autocorrelated(random, points, rho) for _ in range(2)]
        first, second = pair[0], correlation * pair[0] + math.sqrt(1 - correlation**2) * pair[1]
    else:
        first, second = np.cumsum(first * size), np.cumsum(second * size)
    found = _gradient().isel(step=[0] * points).assign_coords(step=np.arange(points))
    ratio = xr.ones_like(found["gradient_norm_ratio"]) * xr.DataArray(np.exp(0.1 * second), dims="step")
    found = found.assign(relative_equiv=("step", np.exp(0.1 * first)), gradient_norm_ratio=ratio)
    return [_with_gradient(found)]


def powers(random, exponent, points=10, noise=(0.0, 0.3), rho=0.8, width=2.2):
    """A training whose error is this power of a distance; both have autocorrelated errors of their logarithms."""
    true = np.linspace(0, width, points)
    x, y = (v + s * autocorrelated(random, points, rho) for v, s in zip((true, exponent * true), noise, strict=True))
    found = _gradient().isel(step=[0] * points).assign_coords(step=np.arange(points))
    found = found.assign(nearest_distance=("step", np.exp(x)), nearest_loss_equiv=("step", np.exp(y)))
    return [_with_gradient(found)]


def _with_gradient(gradient):
    base = _base()
    return Training("a", 0, base.train, base.twirl, gradient=gradient)


# costs


def curves(random, seeds, mix, wiggle=0.03, samples=40):
    """Two runs whose losses 2 c^-0.2 and 10 c^-0.5 cross at c = 5^(1/0.3), with four kinds of noise."""
    spread, (common, own) = mix[:2], mix[2:]
    hard = common * random.standard_normal(samples) - common**2 / 2
    runs = []
    for name, n, s, (level, slope) in zip("ab", seeds, spread, ((2.0, 0.2), (10.0, 0.5)), strict=True):
        each = s * random.standard_normal((n, 1)) + wiggle * random.standard_normal((n, len(COSTS)))
        single = own * random.standard_normal((n, 1, samples)) - own**2 / 2
        loss = level * (COSTS**-slope)[None, :, None] * np.exp(each[..., None] + hard + single)
        runs.append(Run(name, np.tile(COSTS, (n, 1)), loss, np.arange(samples)))
    return runs


def coverage(seeds, mix, trials, seed=0):
    """Shares of the trials in which the intervals of the crossing and of the loss ratio hold the truth."""
    random = np.random.default_rng([seed, *seeds])
    crossing, ratio = 5 ** (1 / 0.3), 5 * COSTS[-1] ** -0.3
    covered = []
    for _ in range(trials):
        one, other = crossover.resampled(curves(random, seeds, mix), RESAMPLES)
        found = crossover.crossover([one], [other], 1e9)
        ends = found.ratio_low, found.ratio_high
        low, high = ends if found.ahead == 1 else (1 / ends[1], 1 / ends[0])
        covered.append((found.low <= crossing <= found.high, low <= ratio <= high))
    return tuple(np.mean(covered, 0))


def hourly(random, ratio, seeds=(3, 3), spread=(0.1, 0.1)):
    """Trainings of two families with this true ratio of losses at the end, learned over built in."""
    found = []
    for (run, built_in, level), count, s in zip(
        (("plain", False, ratio), ("exact", True, 1.0)), seeds, spread, strict=True
    ):
        for seed in range(count):
            one = synthetic.priced(run, built_in, seed, level=level, spread=0.0)
            factor = math.exp(s * random.standard_normal())
            scaled = {v: one.twirl[v] * factor for v in one.twirl.data_vars if v.startswith("sample_loss")}
            found.append(Training(run, seed, one.train, one.twirl.assign(scaled), dataset="md"))
    return found


# verdicts


@dataclass(frozen=True)
class World:
    """A law of trainings for one claim.

    truth: `true`, `false`, `limit` (at the limit of the claim, where both verdicts are wrong) or `open` (nothing can be
        known).
    draw: trainings from a random generator.
    """

    claim: str
    truth: str
    words: str
    draw: object

    @property
    def wrong(self):
        """The verdicts that are wrong here."""
        return {"true": (CONTRADICTED,), "false": (HOLDS,)}.get(self.truth, (HOLDS, CONTRADICTED))

    def rates(self, trials, seed=0):
        """Shares of the draws that hold and that are contradicted."""
        random, claim = np.random.default_rng(seed), BY_NAME[self.claim]
        found = [judge([claim], self.draw(random), "weighted")[0].verdict for _ in range(trials)]
        return {verdict: found.count(verdict) / trials for verdict in (HOLDS, CONTRADICTED)}


def worlds():
    """All worlds, claim by claim."""
    return [
        *_share_worlds(),
        *_lasting_worlds(),
        *_level_worlds(),
        *_penalty_worlds(),
        *_condition_worlds(),
        *_path_worlds(),
        *_hour_worlds(),
        *_scaling_worlds(),
    ]


def _in_a_cube(training):
    return Training("a", 0, training.train, training.twirl.assign_attrs(group="octahedral"), dataset="md")


def _share_worlds():
    def world(truth, words, draw):
        return World("reached within 10,000", truth, words, draw)

    for sigma, held in ((1.0, 72), (1.0, 324), (2.0, 72), (2.0, 324)):
        law = f"{held} samples, lognormal of sigma {sigma:g}"
        for truth, percent in (("true", 2.0), ("false", 2.1)):
            yield world(truth, f"{percent:g} %, {law}", lambda r, p=percent, n=held, s=sigma: [shares(r, p, n, s)])
    yield world("true", "1 %", lambda r: [shares(r, 1.0)])
    yield world("false", "4 %", lambda r: [shares(r, 4.0)])
    yield world("open", "1 %, another not learned", lambda r: [shares(r, 1.0), untrained(shares(r, 1.0, run="b"))])
    yield world("open", "1 % under the rotations of a cube", lambda r: [_in_a_cube(shares(r, 1.0))])


def _lasting_worlds():
    for name, before in (("stays below", [1.5]), ("small at the end", [])):
        for truth, percent in (("true", 2.0), ("false", 2.1), ("true", 1.0), ("false", 4.0)):
            draw = lambda r, p=percent, b=before: [shares(r, [*b, p])]  # noqa: E731
            yield World(name, truth, f"{percent:g} % at the end", draw)


def _level_worlds():
    kinds = {"whatever the model size": "size", "whatever the data size": "samples"}
    for name, kind in (kinds | {"whatever the optimiser": "optimiser"}).items():
        draw = levels(kind)
        yield World(name, "open", "1 % at 1 level, 3 not learned", lambda r, d=draw: _one_left(d(r, [1.0] * 4)))
        if kind == "size":
            yield World(name, "true", "1 % at 4 levels", lambda r, d=draw: d(r, [1.0] * 4))
            yield World(name, "true", "2 % at 4 levels", lambda r, d=draw: d(r, [2.0] * 4))
            yield World(name, "false", "2.1 % at 1 level, 1 % at 3", lambda r, d=draw: d(r, [1, 1, 2.1, 1]))
            yield World(name, "false", "4 % at 1 level, 1 % at 3", lambda r, d=draw: d(r, [1, 1, 4, 1]))


def _one_left(trainings):
    return [trainings[0], *map(untrained, trainings[1:])]


def _penalty_worlds():
    limit = 1000 / 110  # percentage of the loss for a penalty of 10 %

    def world(truth, words, draw):
        return World("small penalty throughout", truth, words, draw)

    yield world("true", "10 % at 10 checkpoints", lambda r: [shares(r, [limit] * 10)])
    yield world("true", "10 % at 10 checkpoints, 72 samples", lambda r: [shares(r, [limit] * 10, 72)])
    yield world("false", "10.5 % at 1 of 10, 5 % at 9", lambda r: [shares(r, [1050 / 110.5] + [4.8] * 9)])
    yield world("true", "5 % at 10 checkpoints", lambda r: [shares(r, [4.8] * 10)])
    yield world("false", "20 % at 1 of 10", lambda r: [shares(r, [17.0] + [5.0] * 9)])


def _condition_worlds():
    for name, limit, inverse in (("better conditioned", 10, False), ("better conditioned on average", 1, True)):
        for count in (1, 4):
            words = f"a ratio of {limit} in {count} trainings"
            draw = lambda r, n=count, x=limit, i=inverse: conditioned(r, x, trainings=n, inverse=i)  # noqa: E731
            yield World(name, "limit", words, draw)
        yield World(
            name, "true", f"a ratio of {5 * limit}", lambda r, x=limit, i=inverse: conditioned(r, 5 * x, inverse=i)
        )
        yield World(
            name, "false", f"a ratio of {limit / 5:g}", lambda r, x=limit, i=inverse: conditioned(r, x / 5, inverse=i)
        )


def _path_worlds():
    name = "gradients follow"
    for points in (6, 12, 25):
        yield World(name, "limit", f"unrelated walks, {points} checkpoints", lambda r, n=points: followed(r, 0.0, n))
    yield World(name, "limit", "unrelated walks of growing steps", lambda r: followed(r, 0.0, growth=1.4))
    for rho in (0.5, 0.8, 0.97):
        words = f"unrelated, autocorrelation {rho:g}"
        yield World(name, "limit", words, lambda r, a=rho: followed(r, 0.0, rho=a))
    yield World(name, "true", "changes correlated 0.95", lambda r: followed(r, 0.95, 16))
    yield World(name, "false", "changes correlated -0.95", lambda r: followed(r, -0.95, 16))
    name = "quadratic in parameters"
    for noise in ((0.0, 0.3), (0.3, 0.0), (0.2, 0.2)):
        for exponent in (1.5, 2.5):
            for rho in (0.0, 0.8):
                words = f"exponent {exponent:g}, noise {noise[0]:g} and {noise[1]:g}, autocorrelation {rho:g}"
                draw = lambda r, e=exponent, s=noise, a=rho: powers(r, e, noise=s, rho=a)  # noqa: E731
                yield World(name, "limit", words, draw)
    yield World(name, "true", "exponent 2", lambda r: powers(r, 2.0, noise=(0.03, 0.05)))
    yield World(name, "false", "exponent 1", lambda r: powers(r, 1.0, noise=(0.03, 0.05)))


def _hour_worlds():
    name = "ahead by the hour"
    for seeds in ((2, 2), (2, 3), (3, 3), (5, 5)):
        for spread in ((0.1, 0.1), (0.2, 0.02)):
            words = f"a ratio of 1, {seeds[0]} and {seeds[1]} seeds, spread {spread[0]:g} and {spread[1]:g}"
            yield World(name, "limit", words, lambda r, n=seeds, s=spread: hourly(r, 1.0, n, s))
    yield World(name, "true", "a ratio of 0.5", lambda r: hourly(r, 0.5))
    yield World(name, "false", "a ratio of 2", lambda r: hourly(r, 2.0))
    yield World(name, "open", "a ratio of 0.5, one seed", lambda r: hourly(r, 0.5, (3, 1)))


def _scaling_worlds():
    draw, copies = scaling_worlds.families, scaling_worlds.AUGMENT | {"copies": 4}
    for noise in ((0.1, 0.0), (0.03, 0.1)):
        words = "errors of seeds {:g}, of runs {:g}".format(*noise)
        for name, fixed in (
            ("equivariant scales better", {}),
            ("equivariant at every budget", {}),
            ("equivariant needs fewer samples", {"key": "samples", "objective": copies}),
        ):
            one = functools.partial(draw, noise=noise, **fixed)
            yield World(name, "limit", f"equal laws, {words}", lambda r, d=one: d(0.0, 1.0, r))
    yield World("equivariant scales better", "true", "exponents 0.2 apart", lambda r: draw(0.2, 1.0, r))
    yield World("equivariant scales better", "false", "exponents -0.2 apart", lambda r: draw(-0.2, 1.0, r))
    yield World("equivariant at every budget", "true", "a ratio of 1.5", lambda r: draw(0.0, 1.5, r))
    yield World("equivariant at every budget", "false", "a ratio of 0.7", lambda r: draw(0.0, 0.7, r))
    name, change = "equivariant needs fewer samples", {"key": "samples", "objective": copies}
    yield World(name, "true", "a ratio of 1.5", lambda r: draw(0.0, 1.5, r, **change))
    yield World(name, "false", "a ratio of 0.7", lambda r: draw(0.0, 0.7, r, **change))
    name = "augmentation closes the gap"
    for spread in (0.03, 0.1):
        yield World(
            name, "limit", f"a ratio of 1.1, spread {spread:g}", lambda r, s=spread: scaling_worlds.gap(1.1, r, s)
        )
    yield World(name, "true", "a ratio of 0.8", lambda r: scaling_worlds.gap(0.8, r, 0.03))
    yield World(name, "false", "a ratio of 1.6", lambda r: scaling_worlds.gap(1.6, r, 0.03))
    yield World(
        name, "open", "a ratio of 1.6 that still falls", lambda r: scaling_worlds.gap(1.6, r, 0.03, still_falling=True)
    )
