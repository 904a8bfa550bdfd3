"""Protein chains: chains that a flow generates beside its data, and datasets of chains beside real chains.

Question: are the generated chains, and those of the datasets, like real ones?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Canvas

from ..._typing import Array, Float, Mapping, Sequence
from ...datasets.protein import ca_statistics
from ..figures import style
from ..figures.figure import Figure, tabbed
from ..figures.style import Look
from ..numbers import Column, Numbers, numbers, stored
from ..questions import QUALITY
from ..section import Section
from ..trainings import Training, first_seeds
from ..wording import labels_note, say, slug

TRACES = 3  # most generated chains in a figure
POINTS = 160  # most chains of a dataset in a figure; the CSV file has all of them
STATISTICS = {  # variable of a dataset -> label
    "radius_of_gyration": "radius of gyration [nm]",
    "contacts": "contacts per residue",
    "right_handed": "share in a right-handed turn",
    "left_handed": "share in a left-handed turn",
}
LOOKS = (Look(style.BLACK, "-", "", "data"), Look(style.RED, "--", "", "generated"))
REAL = "real chains (PDB)"
COLUMNS = (Column("residues", "residues", "1"), *stored(*STATISTICS))
DISTANCES = (Column("distance", "distance", "nm"), *(Column(look.words, look.words, "1") for look in LOOKS))


# numbers


@dataclass(frozen=True)
class Generated:
    """Generated chains of a training.

    traces: positions of the residues of each chain [nm].
    bonds: distances of consecutive residues [nm].
    shares: share of residue pairs by distance, in the generated chains and in the data.
    """

    traces: list[Float[Array, "_ 3"]]
    bonds: Float[Array, " pair"]
    shares: Numbers

    @property
    def difference(self) -> float:
        """Half the sum of absolute differences of the two distributions: the share of pairs in which they differ."""
        rows = self.shares.data
        return 0.5 * np.abs(rows["generated"] - rows["data"]).sum()


def generated_chains(training: Training) -> Generated:
    """The generated chains of the last checkpoint."""
    data = training.twirl
    traces = np.split(data["generated_positions"].values, np.cumsum(data["generated_atoms"].values)[:-1])
    rows = pd.DataFrame({"distance": data["distance"].values})
    for origin, values in zip(data["origin"].values, data["distance_share"].values, strict=True):
        rows[str(origin)] = values
    bonds = np.concatenate([np.linalg.norm(np.diff(x, axis=0), axis=1) for x in traces])
    return Generated(traces, bonds, numbers(rows, DISTANCES))


def statistics(name: str, data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Statistics of real chains and of the chains of a dataset, of the same lengths: by origin, one row per chain."""
    real, atoms = ca_statistics.load().chains, data["atoms"].values
    kept = (real["residues"] >= atoms.min()) & (real["residues"] <= atoms.max())
    return {
        REAL: pd.DataFrame({"residues": real["residues"][kept]} | {n: real[n][kept] for n in STATISTICS}),
        name: pd.DataFrame({"residues": atoms} | {n: data[n].values for n in STATISTICS}),
    }


# figures


def generated(trainings: Sequence[Training]) -> list[Figure]:
    """Generated chains and their distances beside the data, for the first seed of each run that generates chains."""
    return [_generated(t) for t in first_seeds([t for t in trainings if "generated_positions" in t.twirl])]


def _generated(training: Training) -> Figure:
    """Traces seen along their shortest axis, coloured from end to end, and the histogram of distances."""
    found = generated_chains(training)
    traces, bonds = found.traces, found.bonds
    count = min(TRACES, len(traces)) + 1

    def draw(canvas: Canvas, columns: int) -> None:
        axes = [panel.ax for panel in style.panels(canvas, count, columns, sharex=False, sharey=False)]
        for ax, x in zip(axes[:-1], traces, strict=False):
            _trace(ax, x)
        _histogram(axes[-1], found.shares.data)
        style.legend(canvas, style.handles(LOOKS))

    wide, narrow = style.canvases(draw, count, 2.4, most=4)
    caption = (
        f"{training.label}: chains generated from noise by the last checkpoint, each seen along its shortest axis and "
        "coloured from end to end. Last panel: share of residue pairs by distance, in all generated chains, and in "
        "chains of the data of the same lengths. Consecutive residues are "
        f"{bonds.mean():.3f} ± {bonds.std():.3f} nm apart (0.380 ± 0.000 in an ideal chain). Chains are chiral: their "
        "symmetry is rotations, SO(3), without reflections."
    ) + labels_note([training])
    residues = len(bonds) + len(traces)
    text = f"{training.label}: {len(traces)} generated chains of {residues} residues. Their distances and those of the "
    text += f"data differ in {say(100 * found.difference)} % of the pairs."
    name = f"generated_{slug(training.run)}_seed{training.seed}"
    return Figure(name, wide, narrow, f"Generated chains: {training.label}", caption, text, found.shares)


def _trace(ax: Axes, x: Float[Array, "residue 3"]) -> None:
    """A chain seen along its shortest principal axis."""
    flat = (x - x.mean(0)) @ np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:2].T
    pieces = np.stack([flat[:-1], flat[1:]], 1)
    ax.add_collection(LineCollection(pieces, array=np.linspace(0, 1, len(pieces)), cmap="viridis", linewidth=2))
    extent = 1.1 * max(np.abs(flat).max(), 1.0)
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="nm")


def _histogram(ax: Axes, rows: pd.DataFrame) -> None:
    """Densities of the distances."""
    width = rows["distance"].diff().iloc[-1]
    closed = slice(len(rows) - 1)  # the last bin is open
    for look in LOOKS:
        density = rows[look.words][closed] / width
        ax.step(rows["distance"][closed], density, where="mid", color=look.colour, linestyle=look.line)
    ax.set(xlabel="distance of two residues [nm]", ylabel="density [1/nm]")


def compared(datasets: Mapping[str, xr.Dataset]) -> list[Figure]:
    """The chains of each dataset of backbones beside the real chains whose statistics the package holds."""
    return [_compared(name, data) for name, data in datasets.items() if "contacts" in data]


def _compared(name: str, data: xr.Dataset) -> Figure:
    """Each statistic against the number of residues; a point is a chain."""
    tables = statistics(name, data)
    looks = {REAL: Look(style.GREY, "none", "x", REAL), name: Look(style.BLUE, "none", "o", name)}

    def draw(canvas: Canvas, columns: int) -> None:
        panels = style.panels(canvas, len(STATISTICS), columns, sharex=False, sharey=False)
        for panel, (variable, label) in zip(panels, STATISTICS.items(), strict=True):
            for origin, every in tables.items():
                rows = every.iloc[:: -(-len(every) // POINTS) or 1]
                look, settings = looks[origin], {"markersize": 2.2, "alpha": 0.6}
                panel.ax.plot(rows["residues"], rows[variable], look.marker, color=look.colour, **settings)
            panel.ax.set(xlabel="residues", ylabel=label)
            top = max(np.quantile(t[variable], 0.995) for t in tables.values() if len(t))
            panel.ax.set_ylim(0, max(1e-9, 1.05 * top))
        style.legend(canvas, style.handles(looks.values()))

    wide, narrow = style.canvases(draw, len(STATISTICS), 2.4, most=2)
    caption = (
        f"Chains of the dataset {name} beside real chains of the same lengths, one point per chain, of at most "
        f"{POINTS} each: radius of gyration, contacts (pairs closer than 0.8 nm, four or more residues apart), and "
        "residues in right- and in left-handed turns. "
        f"Data: {data.attrs.get('labels', 'not stated')}. Real chains: {ca_statistics.provenance()}."
    )
    text = " ".join(
        f"{origin}: " + ", ".join(f"{label} {say(rows[n].mean())}" for n, label in STATISTICS.items()) + "."
        for origin, rows in tables.items()
    )
    rows = pd.concat([t.assign(chains=origin) for origin, t in tables.items()], ignore_index=True)
    title = f"Chains of {name} and real chains"
    return Figure(f"chains_{slug(name)}", wide, narrow, title, caption, text, numbers(rows, COLUMNS))


def section(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> Section:
    """Generated chains beside the data, and the datasets beside real chains."""
    figures = tabbed(generated(trainings)) + tabbed(compared(data))
    return Section(QUALITY, "chains", "Protein chains", figures=figures, open_figures=1)
