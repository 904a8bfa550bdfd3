"""Consequences of the equivariance error in molecular dynamics: drift of energy, momentum and angular momentum."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ...._typing import Mapping, Sequence
from ....estimators.bootstrap import interval
from ...figures import style
from ...figures.curves import run_handles, run_looks
from ...figures.figure import Figure
from ...numbers import ENDS, Column, numbers
from ...tables import Table, with_intervals
from ...trainings import Training, by_run
from ...wording import extremes, interval_words, say
from .errors import row

DRIFTS = {  # stored mean: words, unit
    "energy_drift": ("energy drift", "meV/atom/ps"),
    "force_drift": ("momentum drift", "meV/Å"),
    "torque_drift": ("angular momentum drift", "meV"),
}
SERIES = {"energy_change": ("energy change, rms", "meV/atom"), "momentum_change": ("momentum change", "meV ps/Å")}
SERIES |= {"angular_change": ("angular momentum change", "meV ps")}
WORDS = {"fixed": "fixed orientation", "random": "random rotation in every step"}
DASHED = {"fixed": "-", "random": (0, (3, 2))}


def with_dynamics(trainings: Sequence[Training]) -> list[Training]:
    """The potentials with trajectories."""
    return [t for t in trainings if t.dynamics is not None]


def table(trainings: Sequence[Training]) -> Table | None:
    """Drifts of every potential with fixed and with random orientation; None without trajectories."""
    rows = [_row(t, o) for t in with_dynamics(trainings) for o in WORDS]
    if not rows:
        return None
    columns = [
        Column(f"{name}{end}", words + extra, unit)
        for name, (words, unit) in DRIFTS.items()
        for end, extra in zip(ENDS, ("", ", from", ", to"), strict=True)
    ]
    columns += [Column("error", "force error under rotations", "meV/Å"), Column("degrees", "degrees of that error")]
    columns += [Column("trajectories", "trajectories", "1"), Column("failed", "failed", "1")]
    caption = (
        "Drift along trajectories at constant energy (velocity Verlet), per atom, means with 95 % intervals over the "
        "structures at the start, beside the equivariance error of the forces and its degrees. Momentum drift is the "
        "mean net force, angular momentum drift the mean net torque. With a random rotation before every call of the "
        "model systematic drifts become random walks (arXiv:2406.17747)."
    )
    full = numbers(pd.DataFrame(rows), columns)
    return Table("potentials_dynamics", caption, full, with_intervals(full, list(DRIFTS)))


def _row(training: Training, orientation: str) -> dict:
    """Mean drifts of one potential in thousandths of the stored units."""
    data = training.dynamics.sel(orientation=orientation)
    found = {"run": training.run, "orientation": WORDS[orientation]}
    found |= {f"{name}{end}": 1e3 * float(data[f"mean_{name}{end}"]) for name in DRIFTS for end in ENDS}
    failed = len(json.loads(training.dynamics.attrs.get("failures", "{}")))
    about = {"error": row(training, "forces", -1)["so3"], "degrees": _degrees(training)}
    return found | about | {"trajectories": data.sizes["trajectory"], "failed": failed}


def _degrees(training: Training) -> str:
    """Shares of the largest degrees in the equivariance error of the forces; empty if it is at its floor."""
    last = training.last("forces")
    if "spectrum" not in last or bool(last["at_floor"]):
        return ""
    shares = 100 * last["spectrum"].values[1:] / float(last["panel_loss_equiv"])
    order = np.argsort(-shares)[:3]
    return ", ".join(f"l = {degree + 1}: {say(shares[degree])} %" for degree in sorted(order))


def sentence(training: Training) -> str:
    """Drifts of the momentum of one potential, with and without rotations."""
    parts = []
    for orientation, words in WORDS.items():
        data = training.dynamics.sel(orientation=orientation)
        force = [1e3 * float(data[f"mean_force_drift{end}"]) for end in ENDS]
        parts.append(f"{interval_words(*force, 'meV/Å')} with a {words}")
    return f"Run {training.run}, molecular dynamics: the momentum per atom drifts by {' and by '.join(parts)}."


def figure(trainings: Sequence[Training]) -> Figure | None:
    """Changes of energy and momenta over time, of all potentials; None without trajectories."""
    chosen = with_dynamics(trainings)
    if not chosen:
        return None
    table, groups = pd.concat([_series(t) for t in chosen], ignore_index=True), by_run(chosen)
    drawn = [name for name in SERIES if table[name].notna().any()]

    def draw(canvas: Canvas, columns: int) -> None:
        panels = canvas.subplots(-(-len(drawn) // columns), columns, squeeze=False).ravel()
        for ax, name in zip(panels, drawn, strict=False):
            _lines(ax, table[table["time"] > 0], name, run_looks(groups))
        for ax in panels[len(drawn) :]:
            ax.set_visible(False)
        style.legend(canvas, run_handles(groups))

    wide, narrow = style.canvases(draw, len(drawn), 2.8)
    caption = "Change of the conserved quantities since the start, per atom, root mean square over trajectories of the "
    caption += "energy and mean norm of the momenta. Solid: fixed orientation. Dashed: random rotation in every step."
    columns = [Column("time", "time", "ps")]
    columns += [
        Column(f"{n}{e}", w + x, u)
        for n, (w, u) in SERIES.items()
        for e, x in zip(ENDS, ("", ", from", ", to"), strict=True)
    ]
    return Figure(
        "potentials_drift",
        wide,
        narrow,
        "Drift in molecular dynamics",
        caption,
        _words(chosen),
        numbers(table, columns),
    )


def _words(chosen: Sequence[Training]) -> str:
    """The potential and orientation with the largest drift of the momentum, and the range of all."""
    drift = {
        f"{t.run}, {words}": 1e3 * float(t.dynamics["mean_force_drift"].sel(orientation=orientation))
        for t in chosen
        for orientation, words in WORDS.items()
    }
    return (
        f"The momentum drifts most with {max(drift, key=drift.get)}. Drifts per atom are {extremes(drift, ' meV/Å')}."
    )


def _lines(ax: Axes, table: pd.DataFrame, name: str, looks: Mapping[str, style.Look]) -> None:
    """One quantity over time, one line per run and orientation, with bands."""
    for run, look in looks.items():
        colour = look.colour
        for orientation, line in DASHED.items():
            rows = table[(table["run"] == run) & (table["orientation"] == WORDS[orientation])]
            value, low, high = (rows[f"{name}{end}"].to_numpy() for end in ENDS)
            ax.plot(rows["time"], value, color=colour, linestyle=line, linewidth=1.4)
            ax.fill_between(rows["time"], low, high, color=colour, alpha=0.14, linewidth=0)
    ax.set_xlabel("time [ps]")
    style.log_axis(ax, table.loc[table[name] > 0, name], f"{SERIES[name][0]} [{SERIES[name][1]}]")


def _series(training: Training) -> pd.DataFrame:
    """Changes over time with their intervals over trajectories, in thousandths of the stored units."""
    found = []
    cluster = training.dynamics["trajectory_cluster"].values
    for orientation, words in WORDS.items():
        data, columns = training.dynamics.sel(orientation=orientation), {}
        for name in SERIES:
            values = data[name].values.T  # time, trajectory
            squared = name == "energy_change"
            each = values**2 if squared else values
            ends = (each.mean(-1), *interval(each, None, 1000, 0, cluster))
            ends = [np.sqrt(np.maximum(e, 0)) if squared else np.maximum(e, 0) for e in ends]
            columns |= {f"{name}{end}": 1e3 * e for end, e in zip(ENDS, ends, strict=True)}
        found.append(pd.DataFrame({"run": training.run, "orientation": words, "time": data["time"].values} | columns))
    return pd.concat(found, ignore_index=True)
