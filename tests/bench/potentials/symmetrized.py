"""The equivariance error of PET by two roads: our panel, and metatomic's own average over rotations."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from ase.io import read, write

import twirlscope
from twirlscope.external import specification
from twirlscope.external.client import Pool, Spec
from twirlscope.geometry.rotation_sets import rotation_set
from twirlscope.settings.twirl import TwirlSettings

HERE = Path(__file__).parent
FRAMES, REPLICATES = 3, 48
SETS = ("D2", "T", "O")
LIMITS = {"error": 1.0, "degree 1": 2.0, "degree 2": 2.0} | dict.fromkeys(SETS, 10.0)  # [%] largest difference


class Quantity(NamedTuple):
    """Mean square of the forces [eV^2/Å^2] by us and by metatomic."""

    name: str
    words: str
    ours: float
    theirs: float

    @property
    def percent(self) -> float:
        """Difference of ours, in percent of theirs."""
        return 100 * (self.ours / self.theirs - 1)


def molecules(source: Path, out: Path) -> Path:
    """The first frames of a file without cell and labels, about their mean position."""
    frames = read(source, f":{FRAMES}")
    for frame in frames:
        frame.calc, frame.info, frame.pbc = None, {}, False
        frame.set_cell(None)
        frame.positions -= frame.positions.mean(0)
        for name in set(frame.arrays) - {"numbers", "positions"}:
            del frame.arrays[name]
    write(out, frames, format="extxyz")
    return out


def compared(python: Path, model: Path, frames: Path) -> list[Quantity]:
    """Error, its parts of degree 1 and 2, and what averaging over sets leaves, as metatomic's parts predict it."""
    told = subprocess.run([python, HERE / "metatomic_average.py", model, frames], capture_output=True, text=True)
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    theirs = json.loads(told.stdout.splitlines()[-1])
    batched = f"{specification.ADAPTERS / 'metatomic'}.py:evaluate"
    arguments = {"model": str(model), "device": "cpu"}
    pool = Pool(Spec("metatomic_ase:MetatomicCalculator", arguments, str(python), batched), batch=64)
    chosen = TwirlSettings(rotations=2, reflections=0, panel=FRAMES, panel_replicates=REPLICATES, losses=[])
    try:
        data = twirlscope.twirl_calculator(pool, read(frames, ":"), settings=chosen)
    finally:
        pool.close()
    one, square = data.sel(term="forces"), float(data.attrs["scale_forces"]) ** 2
    found = [Quantity("error", "error", square * float(one["panel_loss_equiv"]), theirs["error"])]
    for degree in (1, 2):
        ours = square * float(one["spectrum"].sel(degree=degree))
        found.append(Quantity(f"degree {degree}", f"its part of degree {degree}", ours, theirs["spectrum"][degree]))
    for name in SETS:
        alpha = rotation_set(name).alpha(len(theirs["spectrum"]) - 1)
        left = square * float(one["twirled_residual"].sel(rotation_set=name))
        predicted = float(alpha[1:] @ theirs["spectrum"][1:])
        found.append(Quantity(name, f"left by averaging over {name}", left, predicted))
    return found


def section(found: list[Quantity], name: str) -> str:
    """The table of the page."""
    lines = [
        f"| {q.words} | {1e6 * q.ours:.4g} | {1e6 * q.theirs:.4g} | {q.percent:+.2f} % | {LIMITS[q.name]:g} % |"
        for q in found
    ]
    text = f"""## The same error by metatomic's own average over rotations

{name}: mean squares of the forces [meV²/Å²] over {FRAMES} frames. Here: {REPLICATES} random orientations of the
octahedral group. metatomic-ase: `SymmetrizedCalculator` with its quadrature of degree 11. Its parts by degree come from
the forces at the nodes of that quadrature; what averaging leaves is predicted from these parts.

| forces | here | metatomic-ase | difference | allowed |
| --- | --- | --- | --- | --- |
"""
    return text + "\n".join(lines) + "\n"
