"""The statistics of CA traces: states of (angle, dihedral), how they follow each other, and how compact chains are.

`python -m twirlscope.datasets.protein.ca_statistics structures/ --index index.csv` fits them to structure files and
writes the table `ca_statistics.json` that `synthetic_backbones` draws from.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..._typing import Array, Float, Int, Sequence

TABLE = Path(__file__).with_suffix(".json")
STATES = 16
LONGEST_GLOBULAR = 1.5  # times the fitted radius of gyration: longer chains are coiled coils and swapped domains
PRIOR = 5.0  # weight of the first-order transition, in observations, where two states before are rare
HELIX = 0.87  # [rad] dihedral of a right-handed alpha helix
HANDS = {"right_handed": 1, "left_handed": -1}
CONTACT = 0.8  # [nm]
DIGITS = 5  # of what is written


@dataclass(frozen=True)
class States:
    """A second-order Markov chain over states of (angle, dihedral), and the radius of gyration of globular chains.

    State k of an atom: the angle at the atom before it and the dihedral of it and the three before it, independent
    normal variables with these means and standard deviations [rad].

    angle, angle_deviation, dihedral, dihedral_deviation: by state.
    pairs: probability of the first two states of a chain, `[16, 16]`.
    triples: probability of a state after two others, `[16, 16, 16]`.
    radius, exponent, spread: radius of gyration = radius [nm] * residues ** exponent * exp(normal * spread).
    chains: number of residues and `summary` of every chain that was fitted, by name; for comparisons.
    """

    angle: Array
    angle_deviation: Array
    dihedral: Array
    dihedral_deviation: Array
    pairs: Array
    triples: Array
    radius: float
    exponent: float
    spread: float
    chains: dict[str, Array]


def angles(x: Float[Array, "residue 3"]) -> tuple[Float[Array, " angle"], Float[Array, " dihedral"]]:
    """Angles between bonds in a row and dihedrals of three bonds in a row [rad]; positive is right-handed."""
    bond = np.diff(x, axis=0)
    unit = bond / np.linalg.norm(bond, axis=1, keepdims=True)
    angle = np.arccos(np.clip(-(unit[:-1] * unit[1:]).sum(1), -1, 1))
    normal = np.cross(unit[:-1], unit[1:])
    sine = (np.cross(normal[:-1], normal[1:]) * unit[1:-1]).sum(1)
    return angle, np.arctan2(sine, (normal[:-1] * normal[1:]).sum(1))


def radius_of_gyration(x: Float[Array, "residue 3"]) -> float:
    """Root mean square distance from the mean position, in the unit of the positions."""
    return math.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())


def summary(x: Float[Array, "residue 3"]) -> dict[str, float]:
    """What a CA trace [nm] is like as a whole: the variables of these names in `variables.py`."""
    angle, dihedral = angles(x)
    far = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 4)]
    turns = {name: (np.abs(sign * dihedral - HELIX) < 0.35) & (angle[1:] < 1.75) for name, sign in HANDS.items()}
    return {
        "radius_of_gyration": radius_of_gyration(x),
        "contacts": float((far < CONTACT).sum() / len(x)),
        **{name: float(turn.mean()) for name, turn in turns.items()},
    }


def fit(traces: Sequence[Array], seed: int = 0) -> States:
    """The states of unbroken CA traces [nm]."""
    pairs = [angles(x) for x in traces]
    angle = np.concatenate([a[1:] for a, _ in pairs])
    dihedral = np.concatenate([d for _, d in pairs])
    label = clustered(np.stack([2 * angle, np.cos(dihedral), np.sin(dihedral)], 1), STATES, seed)
    mean = [math.atan2(np.sin(dihedral[label == k]).mean(), np.cos(dihedral[label == k]).mean()) for k in range(STATES)]
    off = (dihedral - np.array(mean)[label] + np.pi) % (2 * np.pi) - np.pi
    rows = np.split(label, np.cumsum([len(d) for _, d in pairs])[:-1])
    first, triples = transitions(rows)
    radius, exponent, spread = compactness(traces)
    return States(
        angle=np.array([angle[label == k].mean() for k in range(STATES)]),
        angle_deviation=np.array([angle[label == k].std() for k in range(STATES)]),
        dihedral=np.array(mean),
        dihedral_deviation=np.array([off[label == k].std() for k in range(STATES)]),
        pairs=first,
        triples=triples,
        radius=radius,
        exponent=exponent,
        spread=spread,
        chains={"residues": np.array([len(x) for x in traces])} | summaries(traces),
    )


def summaries(traces: Sequence[Array]) -> dict[str, Array]:
    """The `summary` of each trace, by name."""
    found = [summary(x) for x in traces]
    return {name: np.array([row[name] for row in found]) for name in found[0]}


def clustered(points: Float[Array, "point d"], count: int, seed: int, rounds: int = 60) -> Int[Array, " point"]:
    """Label of each point by k-means from random points; the most frequent label is 0."""
    centre = points[np.random.default_rng(seed).choice(len(points), count, replace=False)]
    for _ in range(rounds):
        label = (((points**2).sum(1)[:, None] - 2 * points @ centre.T) + (centre**2).sum(1)).argmin(1)
        centre = np.stack([points[label == k].mean(0) if (label == k).any() else centre[k] for k in range(count)])
    order = np.bincount(label, minlength=count).argsort(kind="stable")[::-1]
    return order.argsort()[label]


def transitions(rows: Sequence[Array]) -> tuple[Float[Array, "k k"], Float[Array, "k k k"]]:
    """Probabilities of two states in a row, and of a third after them, smoothed by the first-order chain."""
    two, three = np.zeros((STATES,) * 2), np.zeros((STATES,) * 3)
    for row in rows:
        np.add.at(two, (row[:-1], row[1:]), 1)
        np.add.at(three, (row[:-2], row[1:-1], row[2:]), 1)
    step = two / np.maximum(two.sum(1, keepdims=True), 1)
    smooth = three + PRIOR * step[None]
    return two / two.sum(), smooth / smooth.sum(-1, keepdims=True)


def compactness(traces: Sequence[Array]) -> tuple[float, float, float]:
    """Prefactor [nm], exponent and relative spread of the radius of gyration of the globular chains among them."""
    length = np.log([len(x) for x in traces])
    radius = np.log([radius_of_gyration(x) for x in traces])
    kept = np.ones(len(traces), bool)
    for _ in range(5):  # outliers leave, and the line moves
        exponent, offset = np.polyfit(length[kept], radius[kept], 1)
        kept = radius - offset - exponent * length < math.log(LONGEST_GLOBULAR)
    return math.exp(offset), float(exponent), float((radius - offset - exponent * length)[kept].std())


def save(states: States, path: Path, provenance: str) -> None:
    """Write the table, with where it comes from."""
    values = {k: np.round(v, DIGITS).tolist() for k, v in asdict(states).items() if k != "chains"}
    values["chains"] = {k: np.round(v, 3).tolist() for k, v in states.chains.items()}
    path.write_text(json.dumps({"provenance": provenance, **values}) + "\n", encoding="utf-8")


def load(path: Path = TABLE) -> States:
    """The table, probabilities summing to 1 exactly."""
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["provenance"]
    found = {k: np.array(v) if isinstance(v, list) else v for k, v in values.items()}
    found["chains"] = {k: np.array(v) for k, v in values["chains"].items()}
    found["pairs"] = found["pairs"] / found["pairs"].sum()
    found["triples"] = found["triples"] / found["triples"].sum(-1, keepdims=True)
    return States(**found)


def provenance() -> str:
    """Where the table comes from, in words."""
    return json.loads(TABLE.read_text(encoding="utf-8"))["provenance"]


def listed(folder: Path, index: Path | None) -> list[str]:
    """Structure files of the folder, or of the train split of an index: a CSV with `file` and `split`."""
    if index is None:
        return [str(folder)]
    with index.open(encoding="utf-8", newline="") as file:
        return [str(folder / row["file"]) for row in csv.DictReader(file) if row["split"] == "train"]


def main() -> None:
    """Fit and write the table."""
    from ... import plugins  # the reader of structure files is a plug-in

    parser = argparse.ArgumentParser(prog="python -m twirlscope.datasets.protein.ca_statistics", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of PDB and mmCIF files")
    parser.add_argument("--index", type=Path, help="CSV with columns file and split; only the train split is read")
    parser.add_argument("--provenance", required=True, help="where the structures come from, in words")
    parser.add_argument("--out", type=Path, default=TABLE, help="table to write")
    given = parser.parse_args()
    files = listed(given.folder, given.index)
    found = plugins.make_dataset({"name": "protein_structures", "files": files, "most_breaks": 0}).read(0).samples
    traces = np.split(found["ca_positions"].values.astype(np.float64), np.cumsum(found["atoms"].values)[:-1])
    counts = f"{len(traces)} chains, {sum(map(len, traces))} residues"
    save(
        fit(traces),
        given.out,
        f"{given.provenance}; {counts}, fitted by python -m twirlscope.datasets.protein.ca_statistics",
    )
    print(f"{given.out}: {counts}")


if __name__ == "__main__":
    main()
