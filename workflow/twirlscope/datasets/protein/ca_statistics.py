"""Statistics of CA traces: states of (angle, dihedral), transition probabilities, and the radius of gyration.

`python -m twirlscope.datasets.protein.ca_statistics structures/ --index index.csv` fits them to structure files and
writes the table `ca_statistics.json`, from which `synthetic_backbones` samples.
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
from ...errors import Deferred

vq = Deferred("scipy.cluster.vq")
TABLE = Path(__file__).with_suffix(".json")
STATES = 16
GLOBULAR_LIMIT = 1.5  # times the fitted radius of gyration: chains above it are coiled coils and swapped domains
PRIOR_WEIGHT = 5.0  # of first-order transitions, in observations; counts where pairs of states are rare
HELIX_DIHEDRAL = 0.87  # [rad] of a right-handed alpha helix
HANDEDNESS = {"right_handed": 1, "left_handed": -1}  # sign of the dihedral
CONTACT_DISTANCE = 0.8  # [nm]
DIGITS = 5  # after the decimal point, in the table


@dataclass(frozen=True)
class States:
    """Second-order Markov chain over states of (angle, dihedral), and the radius of gyration of globular chains.

    The state of an atom describes the angle at the atom before it, and the dihedral of the atom and the three before
    it. Both are independent normal variables.

    angle, dihedral: mean by state [rad].
    angle_deviation, dihedral_deviation: standard deviation by state [rad].
    pairs: probability of the first two states of a chain, `[16, 16]`.
    triples: probability of a state after two others, `[16, 16, 16]`.
    radius, exponent, spread: radius of gyration = radius [nm] * residues ** exponent * exp(normal * spread).
    chains: number of residues and `summary` of every fitted chain, by name; for comparisons.
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
    """Angles of two consecutive bonds and dihedrals of three [rad]; a positive dihedral is right-handed."""
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
    """Radius of gyration, contacts and helix content of a CA trace [nm], by the name of the stored variable."""
    angle, dihedral = angles(x)
    far = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 4)]
    helical = {
        name: (np.abs(sign * dihedral - HELIX_DIHEDRAL) < 0.35) & (angle[1:] < 1.75)
        for name, sign in HANDEDNESS.items()
    }
    return {
        "radius_of_gyration": radius_of_gyration(x),
        "contacts": float((far < CONTACT_DISTANCE).sum() / len(x)),
        **{name: float(residues.mean()) for name, residues in helical.items()},
    }


def fit(traces: Sequence[Array], seed: int = 0) -> States:
    """States fitted to CA traces [nm] without chain breaks."""
    pairs = [angles(x) for x in traces]
    angle = np.concatenate([a[1:] for a, _ in pairs])
    dihedral = np.concatenate([d for _, d in pairs])
    label = cluster_labels(np.stack([2 * angle, np.cos(dihedral), np.sin(dihedral)], 1), STATES, seed)
    mean = [math.atan2(np.sin(dihedral[label == k]).mean(), np.cos(dihedral[label == k]).mean()) for k in range(STATES)]
    deviation = (dihedral - np.array(mean)[label] + np.pi) % (2 * np.pi) - np.pi
    rows = np.split(label, np.cumsum([len(d) for _, d in pairs])[:-1])
    first, triples = transitions(rows)
    radius, exponent, spread = fit_gyration(traces)
    return States(
        angle=np.array([angle[label == k].mean() for k in range(STATES)]),
        angle_deviation=np.array([angle[label == k].std() for k in range(STATES)]),
        dihedral=np.array(mean),
        dihedral_deviation=np.array([deviation[label == k].std() for k in range(STATES)]),
        pairs=first,
        triples=triples,
        radius=radius,
        exponent=exponent,
        spread=spread,
        chains={"residues": np.array([len(x) for x in traces])} | summaries(traces),
    )


def summaries(traces: Sequence[Array]) -> dict[str, Array]:
    """`summary` of all traces, one array per name."""
    rows = [summary(x) for x in traces]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def cluster_labels(
    points: Float[Array, "point d"], count: int, seed: int, iterations: int = 60
) -> Int[Array, " point"]:
    """Label of each point by k-means that starts from random points; label 0 is the most frequent one."""
    start = points[np.random.default_rng(seed).choice(len(points), count, replace=False)]
    label = vq.kmeans2(points, start, iter=iterations, minit="matrix")[1]
    order = np.bincount(label, minlength=count).argsort(kind="stable")[::-1]
    return order.argsort()[label]


def transitions(rows: Sequence[Array]) -> tuple[Float[Array, "k k"], Float[Array, "k k k"]]:
    """Probabilities of two consecutive states, and of a third after them, smoothed by the first-order chain."""
    two, three = np.zeros((STATES,) * 2), np.zeros((STATES,) * 3)
    for row in rows:
        np.add.at(two, (row[:-1], row[1:]), 1)
        np.add.at(three, (row[:-2], row[1:-1], row[2:]), 1)
    step = two / np.maximum(two.sum(1, keepdims=True), 1)
    smooth = three + PRIOR_WEIGHT * step[None]
    return two / two.sum(), smooth / smooth.sum(-1, keepdims=True)


def fit_gyration(traces: Sequence[Array]) -> tuple[float, float, float]:
    """Prefactor [nm], exponent and relative spread of the radius of gyration, fitted to the globular chains."""
    length = np.log([len(x) for x in traces])
    radius = np.log([radius_of_gyration(x) for x in traces])
    kept = np.ones(len(traces), bool)
    for _ in range(5):  # outliers are removed, and the line is fitted again
        exponent, offset = np.polyfit(length[kept], radius[kept], 1)
        kept = radius - offset - exponent * length < math.log(GLOBULAR_LIMIT)
    return math.exp(offset), float(exponent), float((radius - offset - exponent * length)[kept].std())


def save(states: States, path: Path, provenance: str) -> None:
    """Writes the table and its provenance."""
    values = {k: np.round(v, DIGITS).tolist() for k, v in asdict(states).items() if k != "chains"}
    values["chains"] = {k: np.round(v, 3).tolist() for k, v in states.chains.items()}
    path.write_text(json.dumps({"provenance": provenance, **values}) + "\n", encoding="utf-8")


def load(path: Path = TABLE) -> States:
    """Table read from a file, with probabilities that sum to 1."""
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["provenance"]
    fields = {k: np.array(v) if isinstance(v, list) else v for k, v in values.items()}
    fields["chains"] = {k: np.array(v) for k, v in values["chains"].items()}
    fields["pairs"] = fields["pairs"] / fields["pairs"].sum()
    fields["triples"] = fields["triples"] / fields["triples"].sum(-1, keepdims=True)
    return States(**fields)


def provenance() -> str:
    """Origin of the structures that the table is fitted to."""
    return json.loads(TABLE.read_text(encoding="utf-8"))["provenance"]


def structure_files(folder: Path, index: Path | None) -> list[str]:
    """The folder, or its files in the train split of an index, which is a CSV with columns `file` and `split`."""
    if index is None:
        return [str(folder)]
    with index.open(encoding="utf-8", newline="") as file:
        return [str(folder / row["file"]) for row in csv.DictReader(file) if row["split"] == "train"]


def main() -> None:
    """Fits and writes the table."""
    from ... import plugins  # the reader of structure files is a plug-in

    parser = argparse.ArgumentParser(prog="python -m twirlscope.datasets.protein.ca_statistics", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of PDB and mmCIF files")
    parser.add_argument("--index", type=Path, help="CSV with columns file and split; only the train split is read")
    parser.add_argument("--provenance", required=True, help="origin of the structures")
    parser.add_argument("--out", type=Path, default=TABLE, help="file to write")
    given = parser.parse_args()
    files = structure_files(given.folder, given.index)
    samples = plugins.make_dataset({"name": "protein_structures", "files": files, "most_breaks": 0}).read(0).samples
    traces = np.split(samples["ca_positions"].values.astype(np.float64), np.cumsum(samples["atoms"].values)[:-1])
    counts = f"{len(traces)} chains, {sum(map(len, traces))} residues"
    save(
        fit(traces),
        given.out,
        f"{given.provenance}; {counts}, fitted by python -m twirlscope.datasets.protein.ca_statistics",
    )
    print(f"{given.out}: {counts}")


if __name__ == "__main__":
    main()
