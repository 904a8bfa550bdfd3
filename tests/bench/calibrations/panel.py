"""Intervals over the samples of the panel: spectrum of the equivariance error and effective degree."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import t as student

from twirlscope.geometry import so3
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import panel

from .row import Row, covering

WEIGHTS = {1: 1.0, 2: 0.5}  # mean square of the coefficient of each degree


def rows(repeats: int) -> list[Row]:
    """Coverage of q_1, q_2 (Student intervals) and of the effective degree."""
    settings = TwirlSettings(highest_degree=4)
    exact = {1: WEIGHTS[1] / 3, 2: WEIGHTS[2] / 5}  # means over rotations of cos^2 and of P_2^2
    lie = 2 * exact[1] + 6 * exact[2]
    degree = np.sqrt(lie / sum(exact.values()) + 0.25) - 0.5
    hits: dict[str, list] = {"spectrum, degree 1": [], "spectrum, degree 2": [], "effective degree": []}
    for seed in range(repeats):
        one = _measured(seed, settings).isel(step=0, term=0)
        for number, q in exact.items():
            distance = abs(float(one["spectrum"][number]) - q)
            hits[f"spectrum, degree {number}"].append(
                distance <= student.ppf(0.975, settings.panel - 1) * float(one["spectrum_error"][number])
            )
        hits["effective degree"].append(one["effective_degree_low"] <= degree <= one["effective_degree_high"])
    size = f"{settings.panel} samples under {settings.panel_replicates} orientations of {settings.panel_set}"
    return [covering(name, "degrees 1 and 2, gamma", size, each) for name, each in hits.items()]


def _measured(seed: int, settings: TwirlSettings) -> xr.Dataset:
    """The statistics of a panel of scalars z(g) = b cos + c P_2(cos), cos that of the angle of the turned z axis."""
    random = np.random.default_rng(seed)
    chosen = panel.panel_of(np.arange(settings.panel), settings.model_copy(update={"seed": seed}))
    cosine = so3.matrix(chosen.flat)[..., 2, 2].numpy()
    squares = random.gamma(2, 0.5, (2, settings.panel)) * np.array([WEIGHTS[1], WEIGHTS[2]])[:, None]
    b, c = np.sqrt(squares)[..., None]
    z = b * cosine + c * (3 * cosine**2 - 1) / 2
    gram = (z[:, :, None] * z[:, None, :])[None]
    products = {"gram": gram, "cross": np.zeros((1, *z.shape)), "square": np.zeros((1, len(z)))}
    data = panel.panel_dataset(chosen, [(products, None)])
    lie = (2 * squares[0] / 3 + 6 * squares[1] / 5)[None, None]
    data = data.assign(panel_lie_error=(("step", "term", "panel"), lie))
    data = data.assign_coords(step=[0], term=np.array(["forces"], object))
    return panel.summarise_panel(data, chosen, settings)
