"""Figures of protein backbones: what a flow generates, and how a dataset of chains compares with real ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from ..._typing import Array, Float, Mapping, Sequence
from ...datasets.protein import ca_statistics
from ..figures import style
from ..figures.figure import Figure
from ..section import Section
from ..trainings import Training, by_run
from ..wording import column, labels_note, say, slug

TRACES = 3  # generated chains that are drawn
NAMES = ("radius_of_gyration", "contacts", "right_handed", "left_handed")
AXES = ("radius of gyration [nm]", "contacts a residue", "share in a right-handed turn", "share in a left-handed turn")
LOOKS = (("data", style.BLACK, "-"), ("generated", style.RED, "--"))
REAL = "real chains (PDB)"


def generated(trainings: Sequence[Training]) -> list[Figure]:
    """For the first seed of each run that generates chains: some of them, and their distances against the data."""
    return [_generated(seeds[0]) for seeds in by_run([t for t in trainings if _makes(t)]).values()]


def _makes(training: Training) -> bool:
    return "generated_positions" in training.twirl


def _generated(training: Training) -> Figure:
    """One figure: traces seen along their shortest axis, coloured from end to end, and the histogram of distances."""
    data = training.twirl
    traces = np.split(data["generated_positions"].values, np.cumsum(data["generated_atoms"].values)[:-1])
    shares = pd.DataFrame({"distance [nm]": data["distance"].values})
    for origin, values in zip(data["origin"].values, data["distance_share"].values, strict=True):
        shares[f"{origin} [1]"] = values
    bonds = np.concatenate([np.linalg.norm(np.diff(x, axis=0), axis=1) for x in traces])

    def draw(canvas: Canvas, columns: int) -> None:
        panels = min(TRACES, len(traces)) + 1
        axes = canvas.subplots(-(-panels // columns), columns, squeeze=False).ravel()
        for ax, x in zip(axes, traces[: panels - 1], strict=False):
            _trace(ax, x)
        for spare in axes[panels:]:
            spare.remove()
        _histogram(axes[panels - 1], shares)
        style.legend(canvas, [Line2D([], [], color=c, linestyle=ls, label=n) for n, c, ls in LOOKS])

    wide, narrow = style.canvases(draw, min(TRACES, len(traces)) + 1, 2.4, most=4)
    caption = (
        f"{training.label}: chains generated from noise by the last checkpoint, each seen along its shortest axis and "
        "coloured from end to end, and the share of residue pairs at a distance in all of them and in chains of the "
        "data of the same lengths. Residues in a row are "
        f"{bonds.mean():.3f} ± {bonds.std():.3f} nm apart (0.380 ± 0.000 in an ideal chain). Chains are "
        "chiral: rotations are a symmetry of them, SO(3), and reflections are none."
    ) + labels_note([training])
    text = f"{training.label}: {len(traces)} generated chains of {len(bonds) + len(traces)} residues. " + _apart(shares)
    name = f"generated_{slug(training.run)}_seed{training.seed}"
    return Figure(name, wide, narrow, f"Generated chains: {training.label}", caption, text, shares)


def _apart(shares: pd.DataFrame) -> str:
    """How far the two histograms are from each other, in a sentence."""
    half = 0.5 * np.abs(shares["generated [1]"] - shares["data [1]"]).sum()
    return f"Their distances and those of the data differ in {say(100 * half)} % of the pairs."


def _trace(ax: Axes, x: Float[Array, "residue 3"]) -> None:
    """A chain seen along its shortest principal axis."""
    flat = (x - x.mean(0)) @ np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:2].T
    pieces = np.stack([flat[:-1], flat[1:]], 1)
    ax.add_collection(LineCollection(pieces, array=np.linspace(0, 1, len(pieces)), cmap="viridis", linewidth=2))
    reach = 1.1 * max(np.abs(flat).max(), 1.0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="nm")


def _histogram(ax: Axes, shares: pd.DataFrame) -> None:
    width = shares["distance [nm]"].diff().iloc[-1]
    for name, colour, line in LOOKS:
        closed = slice(len(shares) - 1)  # the last bin is open
        middle, density = shares["distance [nm]"][closed], shares[f"{name} [1]"][closed] / width
        ax.step(middle, density, where="mid", color=colour, linestyle=line)
    ax.set(xlabel="distance of two residues [nm]", ylabel="density [1/nm]")


DRAWN = 160  # chains of a dataset that are drawn; the table has all of them


def compared(datasets: Mapping[str, xr.Dataset]) -> list[Figure]:
    """For each dataset of backbones: its chains beside the real ones that the package knows the statistics of."""
    return [_compared(name, data) for name, data in datasets.items() if "contacts" in data]


def _compared(name: str, data: xr.Dataset) -> Figure:
    """Each statistic against the number of residues; a point is a chain."""
    real = ca_statistics.load().chains
    kept = (real["residues"] >= data["atoms"].values.min()) & (real["residues"] <= data["atoms"].values.max())
    tables = {
        REAL: pd.DataFrame({"residues": real["residues"][kept]} | {n: real[n][kept] for n in NAMES}),
        name: pd.DataFrame({"residues": data["atoms"].values} | {n: data[n].values for n in NAMES}),
    }
    looks = {REAL: (style.GREY, "x"), name: (style.BLUE, "o")}

    def draw(canvas: Canvas, columns: int) -> None:
        axes = canvas.subplots(-(-len(NAMES) // columns), columns, squeeze=False).ravel()
        for ax, variable, words in zip(axes, NAMES, AXES, strict=True):
            for origin, every in tables.items():
                colour, marker = looks[origin]
                table = every.iloc[:: -(-len(every) // DRAWN) or 1]
                ax.plot(table["residues"], table[variable], marker, color=colour, markersize=2.2, alpha=0.6)
            ax.set(xlabel="residues", ylabel=words)
            ax.set_ylim(0, max(1e-9, 1.05 * max(np.quantile(t[variable], 0.995) for t in tables.values() if len(t))))
        handles = [Line2D([], [], color=c, marker=m, linestyle="none", label=n) for n, (c, m) in looks.items()]
        style.legend(canvas, handles)

    wide, narrow = style.canvases(draw, len(NAMES), 2.4, most=2)
    caption = (
        f"Chains of the dataset {name} beside real chains of the same lengths, a point a chain (of at most {DRAWN}): "
        "compactness, contacts (pairs closer than 0.8 nm, four or more residues apart), and residues in right- and in "
        "left-handed turns. "
        f"Data: {data.attrs.get('labels', 'not stated')}. Real chains: {ca_statistics.provenance()}."
    )
    text = " ".join(
        f"{origin}: " + ", ".join(f"{words} {say(table[n].mean())}" for n, words in zip(NAMES, AXES, strict=True)) + "."
        for origin, table in tables.items()
    )
    joined = pd.concat([t.assign(chains=origin) for origin, t in tables.items()], ignore_index=True)
    joined = joined.rename(columns={"residues": "residues [1]"} | {n: column(n) for n in NAMES})
    return Figure(f"chains_{slug(name)}", wide, narrow, f"Chains of {name} and real chains", caption, text, joined)


def section(trainings: Sequence[Training], data: Mapping[str, xr.Dataset]) -> Section:
    """Generated chains beside the data, and the datasets beside each other."""
    return Section("chains", "Protein chains", figures=generated(trainings) + compared(data))
