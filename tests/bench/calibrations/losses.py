"""Intervals over held-out samples: means, percentage, learned fraction; clusters of equal samples, as of molecules."""

from __future__ import annotations

import numpy as np
import xarray as xr

from twirlscope.report.headline import is_heavy
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling.heldout import summarise

from .row import Row, covering

SIZES = ((48, 1, "48 samples"), (72, 6, "72 clusters of 6"), (200, 1, "200 samples"))  # clusters, samples of each
LIGHT = {"gamma, shape 2": lambda r, n: r.gamma(2, 0.5, n)}
HEAVY = {
    "lognormal 1": lambda r, n: np.exp(r.normal(size=n) - 0.5),
    "lognormal 2": lambda r, n: np.exp(2 * r.normal(size=n) - 2),
    "Pareto, index 1.5": lambda r, n: (1 + r.pareto(1.5, n)) / 3,
}
SHARE, COMPONENTS = 0.1, 12  # of the equivariance error in the loss of zero, that of the mean part is 0.3; per sample
TRUTH = {
    "loss_total": 0.3 + SHARE,
    "loss_equiv": SHARE,
    "percent_equiv": 100 * SHARE / (0.3 + SHARE),
    "learned_fraction": 1 - 0.3 - SHARE,
}
WORDS = {
    "loss_total": "total loss",
    "loss_equiv": "equivariance error",
    "percent_equiv": "percentage",
    "learned_fraction": "learned fraction",
}


def products(random: np.random.Generator, clusters: int, each: int, law) -> xr.Dataset:
    """Predictions z = y - e + d with the error e of the mean, and d different by rotation; the law is of clusters."""
    size, K = clusters * each, TwirlSettings().rotations
    cluster = np.repeat(np.arange(clusters), each)
    scale = (np.sqrt(law(random, clusters))[cluster] * np.sqrt(random.gamma(4, 0.25, size)))[:, None]
    y = random.normal(size=(size, COMPONENTS))
    mean = np.sqrt(0.3) * scale * random.normal(size=y.shape)
    z = (y - mean)[:, None] + np.sqrt(SHARE) * scale[:, None] * random.normal(size=(size, K, COMPONENTS))
    dims = ("step", "term", "sample", "rotation", "rotation_other")
    return xr.Dataset(
        {
            "gram": (dims, (z @ z.transpose(0, 2, 1))[None, None] / COMPONENTS),
            "cross": (dims[:4], (z @ y[..., None])[None, None, ..., 0] / COMPONENTS),
            "square": (dims[1:3], (y * y).mean(-1)[None]),
            "parity": ("rotation", np.ones(K, np.int8)),
            "cluster": ("sample", cluster.astype(np.int32)),
        }
    )


def rows(repeats: int) -> list[Row]:
    """Coverage of the means of both parts, the percentage and the learned fraction.

    Of skewed clusters also the share of intervals that hold the truth or are called approximate, and the share of
    simulations in which the report calls them so.
    """
    found = []
    for clusters, each, size in SIZES:
        for law, draw in (LIGHT | HEAVY).items():
            hits, heavy = _simulated(repeats, clusters, each, draw)
            if law in LIGHT:
                found += [covering(WORDS[name], law, size, hit) for name, hit in hits.items()]
                found.append(covering("called approximate", law, size, heavy, "seldom"))
            else:
                words = {name: f"{word}, held or called approximate" for name, word in WORDS.items()}
                found += [covering(words[name], law, size, hit | heavy, "92 % or more") for name, hit in hits.items()]
                found.append(covering("percentage, held", law, size, hits["percent_equiv"], "95 %, or approximate"))
                found.append(covering("total loss, held", law, size, hits["loss_total"], "95 %, or approximate"))
                found.append(covering("called approximate", law, size, heavy, "often, if below 92 % are held"))
    return found


def _simulated(repeats: int, clusters: int, each: int, law) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Whether each interval held the truth, and whether the report calls intervals approximate, by simulation."""
    hits, heavy = {name: [] for name in TRUTH}, []
    for seed in range(repeats):
        data = products(np.random.default_rng(seed), clusters, each, law)
        one = summarise(data, TwirlSettings(seed=seed)).isel(step=0, term=0)
        heavy.append(is_heavy(one))
        for name, exact in TRUTH.items():
            hits[name].append(bool(one[f"{name}_low"] <= exact <= one[f"{name}_high"]))
    return {name: np.array(hit) for name, hit in hits.items()}, np.array(heavy)
