"""Symmetry inside the networks: features that rotate as irreps, and the layers that create the equivariance error.

Question: where in the network does symmetry sit?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ..._typing import Sequence
from ...settings.steps import evenly_spaced
from ..figures import style
from ..figures.figure import Figure
from ..numbers import Column, Numbers, numbers, stored
from ..questions import WHY
from ..section import Section
from ..tables import Table, present_tables
from ..trainings import Training, first_seeds
from ..wording import listed, plural, say, slug

HEADING = "Where symmetry sits"
CHECKPOINTS = 3  # drawn
TERM = "weighted"
KINDS = ("scalar", "vector")  # features of degree 0 and 1
SHARES = ("created_share", "created_share_low", "created_share_high", "created_size", "patched_share")
FEATURE = ("feature_variance", "feature_rate", "feature_defect", "feature_commutator", "feature_unsteerable")


# numbers


def with_layers(trainings: Sequence[Training]) -> list[Training]:
    """The first seed of every run whose layers were measured."""
    return first_seeds([t for t in trainings if t.layers is not None])


def some_checkpoints(data: xr.Dataset) -> xr.Dataset:
    """A few checkpoints, evenly spread, first and last included."""
    return data.isel(step=evenly_spaced(range(data.sizes["step"]), CHECKPOINTS))


def feature_numbers(training: Training) -> Numbers:
    """Steerability: one row per checkpoint and feature."""
    data, rows = training.layers, []
    for step in data["step"].values:
        for feature in data["feature"].values:
            one = data.sel(step=step, feature=feature)
            row = {"step": step, "feature": str(feature), "feature_rank": int(one["feature_rank"])}
            row |= {name: float(one[name]) for name in FEATURE}
            degrees = data["degree"].values
            row |= {f"copies_{d}": float(one["feature_multiplicity"].sel(degree=d)) for d in degrees}
            row |= {f"share_{d}": float(one["feature_share"].sel(degree=d)) for d in degrees}
            if "feature_spectrum" in data:
                row |= {f"spectrum_{d}": float(one["feature_spectrum"].sel(degree=d)) for d in degrees}
            rows.append(row)
    described = [*stored("step", "feature", "feature_rank", *FEATURE), *_degree_columns(training.layers)]
    return numbers(training.labelled(pd.DataFrame(rows)), described)


def _degree_columns(data: xr.Dataset) -> list[Column]:
    words = {
        "copies": "copies of degree {}",
        "share": "share of variance, steerable of degree {}",
        "spectrum": "share of variance over rotations, degree {}",
    }
    return [Column(f"{name}_{d}", text.format(d), "1") for name, text in words.items() for d in data["degree"].values]


def eigenvalue_numbers(training: Training) -> Numbers:
    """Eigenvalues of the Casimir and the defects of their directions: one row per checkpoint, feature, eigenvalue."""
    names = ["feature_casimir", "feature_direction_defect"]
    rows = some_checkpoints(training.layers)[names].to_dataframe().reset_index().dropna(subset="feature_casimir")
    rows = rows[["step", "feature", *names]].reset_index(drop=True)
    return numbers(training.labelled(rows), stored("step", "feature", *names))


def created_numbers(training: Training) -> Numbers:
    """Shares of the error that each part of the network creates: one row per checkpoint, term and part."""
    rows = training.layers[list(SHARES)].to_dataframe().reset_index()[["step", "term", "cut", *SHARES]]
    return numbers(training.labelled(rows), stored("step", "term", "cut", *SHARES))


def course_numbers(trainings: Sequence[Training]) -> Numbers:
    """Relative stability: one row per checkpoint and term."""
    names = ["layers_lie_error", "stability", "stability_low", "stability_high"]
    parts = [t.labelled(t.layers[names].to_dataframe().reset_index()[["step", "term", *names]]) for t in trainings]
    return numbers(pd.concat(parts, ignore_index=True), stored("step", "term", *names))


# sentences


def sentence(training: Training) -> str:
    """Steerable features, the parts that create the error, stability and attention, first and last checkpoint."""
    data = training.layers
    first, last = data.isel(step=0), data.isel(step=-1)
    text = f"{training.label}: " + "; ".join(f"at step {int(d['step'])} {_vectors(d)}" for d in (last, first)) + "."
    share = last["created_share"].sel(term=TERM)
    if np.isfinite(share).all():
        order = share.values.argsort()[::-1][:2]
        made = [f"{say(100 * float(share[i]))} % {_place(share['cut'].values[i])}" for i in order]
        text += f" The largest shares of its Lie-derivative error are then created: {listed(made)}."
    ends = [float(d["stability"].sel(term=TERM)) for d in (first, last)]
    text += f" A rotation moves the prediction {say(ends[0])} times as much as noise of the same norm at first, and "
    text += f"{say(ends[1])} times at last (squared)."
    if "attention_anisotropy" in data:
        most = [float(d["attention_anisotropy"].max()) for d in (first, last)]
        text += f" The anisotropy of queries and keys is at most {say(most[0])} at first and {say(most[1])} at last."
    return text


def _vectors(one: xr.Dataset) -> str:
    """The features with steerable vectors at a checkpoint."""
    found = []
    for feature in one["feature"].values:
        part = one.sel(feature=feature)
        copies = part["feature_multiplicity"].values
        if copies[1] >= 1:
            counts = [plural(round(c), kind) for c, kind in zip(copies[:2], KINDS, strict=True)]
            found.append(f"{feature} holds {listed(counts)} (defect {say(100 * float(part['feature_defect']))} %)")
    return "; ".join(found) if found else "no feature holds a steerable vector"


def _place(cut: str) -> str:
    return "after the last of these modules" if cut == "after" else f"in {cut}"


# figures


def eigenvalues(training: Training) -> Figure:
    """Eigenvalues of the Casimir by feature, one panel per checkpoint."""
    found = eigenvalue_numbers(training)
    rows, data = found.data, training.layers
    steps, features = list(dict.fromkeys(rows["step"])), [str(f) for f in data["feature"].values]
    tolerance = float(data.attrs["tolerance"])
    degrees = data["degree"].values[: 1 + int(np.sqrt(max(2.0, rows["feature_casimir"].max())))]

    def draw(canvas: Canvas, columns: int) -> None:
        for panel, step in zip(style.panels(canvas, len(steps), columns), steps, strict=True):
            for degree in degrees:
                panel.ax.axvline(degree * (degree + 1), color=style.GREY, linestyle=":", linewidth=0.8)
            _strip(panel.ax, rows[rows["step"] == step], features, tolerance)
            panel.ax.set_title(f"step {step}")
            style.set_ticks(panel.ax.yaxis, [float(i) for i in range(len(features))], features, [], "")
            panel.ax.set_ylim(len(features) - 0.5, -0.5)
            panel.ax.set_xlabel(panel.x("eigenvalue of the Casimir"))
        look = style.Look(style.BLACK, "none", "o", f"defect of the direction at most {tolerance:g}")
        handles = style.handles([look])
        handles += style.handles([look._replace(words="more")], markerfacecolor="white")
        style.legend(canvas, handles)

    wide, narrow = style.canvases(draw, len(steps), 0.9 + 0.3 * len(features))
    caption = (
        "Eigenvalues of the Casimir of the generators that fit the features of a layer best, a point per direction. "
        "Dotted: l (l + 1), 0 for scalars, 2 for vectors. Hollow: a direction whose change under rotation the "
        "generators do not explain on samples left out."
    )
    title = f"Features that rotate as irreps: {training.label}"
    text = f"At the last checkpoint {_vectors(data.isel(step=-1))}."
    name = f"layers_eigenvalues_{slug(training.run)}_seed{training.seed}"
    return Figure(name, wide, narrow, title, caption, text, found)


def _strip(ax: Axes, rows: pd.DataFrame, features: Sequence[str], tolerance: float) -> None:
    """Points of one checkpoint, spread vertically within the row of a feature."""
    for place, feature in enumerate(features):
        one = rows[rows["feature"] == feature]
        y = place + np.linspace(-0.3, 0.3, len(one)) if len(one) > 1 else np.full(len(one), place)
        value, steerable = one["feature_casimir"].to_numpy(), (one["feature_direction_defect"] <= tolerance).to_numpy()
        ax.plot(value[steerable], y[steerable], "o", color=style.BLACK, markersize=3, linestyle="none")
        hollow = {"color": style.BLACK, "markerfacecolor": "white", "markersize": 3, "linestyle": "none"}
        ax.plot(value[~steerable], y[~steerable], "o", **hollow)


def created(training: Training) -> Figure:
    """Share of the Lie-derivative error that each part of the network creates, at a few checkpoints."""
    data = some_checkpoints(training.layers).sel(term=TERM)
    cuts, steps = [str(c) for c in data["cut"].values], [int(s) for s in data["step"].values]
    looks = [look._replace(line="none") for look in style.shades(f"step {s}" for s in steps)]

    def draw(canvas: Canvas, _: int) -> None:
        ax = canvas.subplots()
        for i, look in enumerate(looks):
            one, y = data.isel(step=i), np.arange(len(cuts)) + 0.2 * (i - (len(looks) - 1) / 2)
            share, low, high = (one[n].values for n in SHARES[:3])
            bars = np.nan_to_num([np.maximum(share - low, 0), np.maximum(high - share, 0)])
            ax.errorbar(share, y, xerr=bars, fmt=look.marker, color=look.colour, elinewidth=0.8)
            ax.plot(one["patched_share"].values, y, look.marker, color=look.colour, markerfacecolor="white")
        ax.axvline(0, color=style.GREY, linestyle=":", linewidth=1)
        style.set_ticks(ax.yaxis, [float(i) for i in range(len(cuts))], cuts, [], "")
        ax.set_ylim(len(cuts) - 0.5, -0.5)
        ax.set_xlabel("share of the error created")
        style.legend(canvas, style.handles(looks))

    wide, narrow = style.canvases(draw, 1, 0.9 + 0.35 * len(cuts))
    caption = (
        "Share of the Lie-derivative error (all terms, weighted) that parts of the network create. Shares sum to 1; a "
        "negative one cancels the error of another part. Hollow: under random rotations, by patching rotated features."
    )
    title = f"Layers that create the equivariance error: {training.label}"
    last = data.isel(step=-1)["created_share"]
    words = ", ".join(f"{say(100 * float(v))} % {_place(str(c))}" for c, v in zip(cuts, last.values, strict=True))
    name = f"layers_created_{slug(training.run)}_seed{training.seed}"
    return Figure(
        name, wide, narrow, title, caption, f"At step {steps[-1]} the shares are {words}.", created_numbers(training)
    )


# tables


def feature_table(trainings: Sequence[Training]) -> Table | None:
    """Features at the last checkpoint of every run; None for no run."""
    if not trainings:
        return None
    every = [feature_numbers(t) for t in trainings]
    data = pd.concat([f.data for f in every], ignore_index=True)
    rows = numbers(data, every[0].columns)
    last = data[data["step"] == data.groupby("run")["step"].transform("max")]
    hidden = [c.name for c in rows.columns if c.name.startswith(("share_", "spectrum_"))]
    caption = (
        "Features at the last checkpoint. Rate: squared derivatives under rotation over the variance, l (l + 1) for "
        "features of degree l. Defect: the part of it that no generators explain. Copies: steerable directions of a "
        "degree over 2 l + 1."
    )
    shown = numbers(last, rows.columns).without(["seed", "step", "feature_commutator", "feature_variance", *hidden])
    return Table("layers", caption, rows, shown)


def stability_table(trainings: Sequence[Training]) -> Table | None:
    """Relative stability at every checkpoint; None for no run."""
    if not trainings:
        return None
    caption = (
        "Lie-derivative error, and the same over the squared response to random displacements of the inputs of equal "
        "norm (R_rot): near 0, the network has learned the symmetry rather than become insensitive to everything."
    )
    return Table("layers_stability", caption, course_numbers(trainings))


def section(trainings: Sequence[Training]) -> Section:
    """Layers of the first seed of every run whose layers were measured."""
    chosen = with_layers(trainings)
    figures = [draw(t) for t in chosen for draw in (eigenvalues, created)]
    tables = {"Features and their degrees": feature_table(chosen), "Relative stability": stability_table(chosen)}
    return Section(WHY, "layers", HEADING, [sentence(t) for t in chosen], figures, present_tables(tables))
