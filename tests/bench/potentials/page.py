"""The page of published potentials: tables and figures, from the stores."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from twirlscope.storage import store
from twirlscope.twirling.potentials.conclusions import rms

ENDS = ("", "_low", "_high")
LARGER = 100.0  # ratio of both errors from which a potential counts as symmetric under rotations alone

TEXT = """# Published potentials under rotations and reflections

Made by `make potentials` from {samples} frames of the 300 K test set of acetylacetone (15 atoms; Batatia et al.,
arXiv:2205.06643), each under {rotations} random rotations and {reflections} random rotoreflections, {panel} of them
under 72 rotations for the spectrum. The environments are those of `envs/external/`. Errors are root mean squares of a
force component, with 95 % intervals over frames. Floors: two calls for the same structure, and the structure translated
with permuted atoms. An error within 10 times of a floor is called "at its floor". The share is that of the loss where
the model was trained on labels of the same level (MACE and PET, on the 500 frames of the training set), else that of
the mean square of the predicted forces. CHGNet needs a cell: its molecules lie in a periodic box, and the box turns
with them. Seconds are those of one process on a shared machine, with its start.
"""


def write(
    found: dict[str, dict[int, Path]], absent: list[str], design: dict[str, int], sections: list[str], out: Path
) -> None:
    """Write the page, and its figures beside it.

    Args:
        found: stores by name and step.
        absent: environments that are not there.
        design: numbers of samples and rotations.
        sections: further ones, at the end.
    """
    data = {
        name: {step: store.load(path).isel(step=0) for step, path in sorted(paths.items())}
        for name, paths in found.items()
    }
    seconds = {name: _seconds(paths) for name, paths in found.items()}
    last = {name: list(steps.values())[-1] for name, steps in data.items()}
    parts = [TEXT.format(**design), _errors(last), _cost(last, seconds), _others(last)]
    folder = out.parent / out.stem
    folder.mkdir(parents=True, exist_ok=True)
    _draw_spectra(last, folder / "spectra.svg")
    parts.append("## Error by degree\n\n![Error of the forces by degree](potentials/spectra.svg)\n")
    for name, steps in data.items():
        if len(steps) > 2:
            parts.append(_course(name, steps, folder))
    parts += sections
    if absent:
        parts.append(f"Not measured here, as there was no environment: {', '.join(sorted(absent))}.\n")
    out.write_text("\n".join(parts), encoding="utf-8")


def _seconds(paths: dict[int, Path]) -> float:
    """Time of the last run of the command."""
    file = paths[max(paths)].with_suffix(".seconds")
    return float(file.read_text()) if file.exists() else np.nan


def _three(data: xr.Dataset, name: str) -> str:
    """An error with its interval."""
    value, low, high = (float(rms(data, f"{name}{end}", "forces")) for end in ENDS)
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def remark(data: xr.Dataset) -> str:
    """Symmetry of the forces in words."""
    one = data.sel(term="forces")
    floor, whole = bool(one["at_floor"]), bool(one["o3_at_floor"])
    if floor and whole:
        return "at its floor"
    if not whole and (floor or float(one["o3_loss_equiv"]) > LARGER**2 * float(one["loss_equiv"])):
        return "equivariant to rotations, not to reflections"
    return "at its floor under rotations" if floor else ""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(map(_row, [head, ["---"] * len(head), *rows])) + "\n"


def _errors(last: dict[str, xr.Dataset]) -> str:
    rows = []
    for name, data in last.items():
        labelled = "forces" in data.attrs["labelled"].split()
        share = float(data["percent_equiv" if labelled else "percent_of_signal"].sel(term="forces"))
        floors = [f"{float(rms(data, f'floor_{n}', 'forces')):.2g}" for n in ("noise", "rounding")]
        percent = "" if np.isnan(share) else f"{share:.2g} % of the {'loss' if labelled else 'signal'}"
        cells = [_three(data, "loss_equiv"), _three(data, "o3_loss_equiv"), *floors, percent, remark(data)]
        rows.append([name, *cells])
    head = ["potential", "rotations [meV/Å]", "with reflections [meV/Å]", "noise", "rounding", "share", "remark"]
    return f"## Equivariance error of the forces\n\n{_table(head, rows)}"


def _cost(last: dict[str, xr.Dataset], seconds: dict[str, float]) -> str:
    rows = []
    for name, data in last.items():
        versions = json.loads(data.attrs["versions"])
        words = ", ".join(f"{k} {v}" for k, v in versions.items() if k not in ("numpy", "ase"))
        rows.append([name, str(data.attrs["calls"]), f"{seconds[name]:.0f}", words])
    return f"## Versions and time\n\n{_table(['potential', 'calls', 'seconds', 'versions in its process'], rows)}"


def _others(last: dict[str, xr.Dataset]) -> str:
    """Numbers of other tools, of the stores that have them."""
    rows = []
    for name, data in last.items():
        if "peg_force_mean" in data:
            values = [1e3 * float(data[f"peg_{n}"]) for n in ("energy_mean", "energy_max", "force_mean", "force_max")]
            values += [100 * float(data["arena_pass_rate"])]
            values += [1e3 * float(data[n]) for n in ("net_force", "net_torque")]
            rows.append([name, *("" if np.isnan(v) else f"{v:.3g}" for v in values)])
    head = ["potential", "mean ΔE [meV/atom]", "max ΔE", "mean ΔF [meV/Å]", "max ΔF", "pass rate [%]"]
    head += ["net force [meV/Å]", "net torque [meV]"]
    text = "ΔE and ΔF as in ml-peg, pass rate as in MLIP Arena, over all pairs of rotations of a frame."
    return f"## The same predictions as other tools report them\n\n{text}\n\n{_table(head, rows)}" if rows else ""


def _draw_spectra(last: dict[str, xr.Dataset], path: Path) -> None:
    """Root of the error of the forces by degree, of the potentials whose error is above its floor."""
    figure = Figure((7, 3.2), layout="constrained")
    ax = figure.subplots()
    shown = {n: d for n, d in last.items() if "spectrum" in d and not bool(d["at_floor"].sel(term="forces"))}
    width = 0.8 / max(len(shown), 1)
    for i, (name, data) in enumerate(shown.items()):
        q = data["spectrum"].sel(term="forces").values[1:]
        scale = 1e3 * float(data.attrs["scale_forces"])
        ax.bar(np.arange(1, len(q) + 1) + (i + 0.5) * width - 0.4, scale * np.sqrt(np.maximum(q, 0)), width, label=name)
    ax.set(xlabel="degree", ylabel="error [meV/Å]", yscale="log" if shown else "linear")
    if shown:
        ax.legend(fontsize=8)
    _save(figure, path)


def _course(name: str, steps: dict[int, xr.Dataset], folder: Path) -> str:
    """Table and figure of a series of checkpoints."""
    rows = []
    for step, data in steps.items():
        total = float(rms(data, "loss_total", "forces"))
        share = float(data["percent_equiv"].sel(term="forces"))
        rows.append([str(step), f"{total:.3g}", _three(data, "loss_equiv"), f"{share:.2g}"])
    head = ["step", "force error [meV/Å]", "equivariance error [meV/Å]", "percent of the loss"]
    figure = Figure((5.5, 3), layout="constrained")
    ax = figure.subplots()
    x = list(steps)
    for variable, words in (("loss_total", "force error"), ("loss_equiv", "equivariance error")):
        ends = [[float(rms(d, f"{variable}{end}", "forces")) for d in steps.values()] for end in ENDS]
        ax.plot(x, ends[0], "o-", label=words)
        ax.fill_between(x, ends[1], ends[2], alpha=0.2)
    ax.set(xlabel="step", ylabel="meV/Å", yscale="log")
    ax.legend(fontsize=8)
    file = f"course_{name.split(',')[0].lower()}.svg"
    _save(figure, folder / file)
    return f"## Course: {name}\n\n{_table(head, rows)}\n![Course of {name}](potentials/{file})\n"


def _save(figure: Figure, path: Path) -> None:
    """A figure with the same bytes for the same numbers."""
    with mpl.rc_context({"svg.hashsalt": "potentials"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
