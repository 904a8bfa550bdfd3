"""Intervals over held-out samples: means, percentage, learned fraction; clusters of equal samples, as of molecules."""

from __future__ import annotations

import numpy as np
import xarray as xr

from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling.heldout import summarise

from .row import Row, covering

SIZES = ((54, 6, "54 clusters of 6"), (200, 1, "200 samples"))  # clusters, samples of each
LAWS = {"gamma, shape 2": lambda r, n: r.gamma(2, 0.5, n), "lognormal 1": lambda r, n: np.exp(r.normal(size=n) - 0.5)}
SHARE = 0.1  # of the equivariance error in the loss of zero; that of the mean part is 0.3


def products(random: np.random.Generator, clusters: int, each: int, law) -> xr.Dataset:
    """Predictions of one component: z = y - e + d with the error e of the mean, and d different by rotation."""
    size, K = clusters * each, TwirlSettings().rotations
    cluster = np.repeat(np.arange(clusters), each)
    scale = np.sqrt(law(random, clusters))[cluster] * np.sqrt(random.gamma(4, 0.25, size))
    y = np.sqrt(1.0) * random.normal(size=size)
    mean = np.sqrt(0.3) * scale * random.normal(size=size)
    z = (y - mean)[:, None] + np.sqrt(SHARE) * scale[:, None] * random.normal(size=(size, K))
    dims = ("step", "term", "sample", "rotation", "rotation_other")
    return xr.Dataset(
        {
            "gram": (dims, (z[:, :, None] * z[:, None, :])[None, None]),
            "cross": (dims[:4], (z * y[:, None])[None, None]),
            "square": (dims[1:3], (y * y)[None]),
            "parity": ("rotation", np.ones(K, np.int8)),
            "cluster": ("sample", cluster.astype(np.int32)),
        }
    )


def rows(repeats: int) -> list[Row]:
    """Coverage of the means of both parts, the percentage and the learned fraction."""
    truth = {"loss_total": 0.3 + SHARE, "loss_equiv": SHARE, "percent_equiv": 100 * SHARE / (0.3 + SHARE)}
    truth["learned_fraction"] = 1 - truth["loss_total"]
    words = {
        "loss_total": "total loss",
        "loss_equiv": "equivariance error",
        "percent_equiv": "percentage",
        "learned_fraction": "learned fraction",
    }
    found = []
    for clusters, each, size in SIZES:
        for law, draw in LAWS.items():
            hits = {name: [] for name in truth}
            for seed in range(repeats):
                data = products(np.random.default_rng(seed), clusters, each, draw)
                one = summarise(data, TwirlSettings(resamples=500))
                for name, exact in truth.items():
                    hits[name].append((one[f"{name}_low"] <= exact) & (exact <= one[f"{name}_high"]))
            found += [covering(words[name], law, size, hit) for name, hit in hits.items()]
    return found
