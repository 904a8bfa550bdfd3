"""Cost of an interval of the equivariance error, beside the designs of other tools on the same network.

Every design estimates the mean over molecules of the equivariance error of the forces. Its interval is that of
resampled molecules, and narrows with the square root of their number. So a design whose interval is w times as wide
needs w^2 times the samples for the same width, and its cost is multiplied by that. Metatomic's design is its own code.
Those of ml-peg and fairchem, which report other numbers (a mean absolute difference, a largest one), are their
orientations and pairs in a few lines on batched passes, with the squared difference halved, whose mean is the
equivariance error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from performance import Given, Section, alone
from scipy.spatial.transform import Rotation
from timing import interleaved, median, ratio, table

from twirlscope.contracts import Evaluation
from twirlscope.errors import UserError
from twirlscope.estimators import loss_split
from twirlscope.estimators.bootstrap import standard_error
from twirlscope.geometry.rotation_sets import sample_rotations
from twirlscope.training.checkpoints import Trained
from twirlscope.twirling import twisting

OURS, HAAR, FAIRCHEM, TERM, CHUNK, ROUNDS = 4, 32, 5, "forces", 256, 6
WALK = (*[1.0] * 5, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0)  # angles [degrees] of ml-peg's first steps
UNIFORM = 100  # steps after them, uniform rotations


@dataclass(frozen=True)
class Setting:
    """The trained network of a default run, and held-out samples of different molecules."""

    evaluation: Evaluation
    index: np.ndarray
    cluster: np.ndarray


def setting_of(given: Given) -> Setting:
    """The last checkpoint of the default force field.

    Raises:
        UserError: there is no finished default run.
    """
    train = given.results / "runs" / "augmented" / "seed0" / "train.zarr.zip"
    data = given.results / "data" / "molecules.zarr.zip"
    if not (train.exists() and data.exists()):
        raise UserError(given.results, "the results of a default run; `make run` makes them", f"no {train}")
    run = Trained(train, data)
    index = run.split("test", "split")
    cluster = run.samples["cluster"].values[index]
    chosen = np.sort(np.random.default_rng(0).permutation(len(index))[: 12 if given.quick else 48])
    model = run.model(run.steps[-1])
    return Setting(Evaluation(model, run.task, chunk=CHUNK), index[chosen], cluster[chosen])


def ours(setting: Setting, seed: int, count: int = OURS) -> np.ndarray:
    """Unbiased equivariance error of every sample from independent rotations, as the stage `twirl` computes it."""
    quaternion = sample_rotations("independent", len(setting.index), count, seed)
    products = twisting.inner_products(setting.evaluation, setting.index, quaternion)
    number = [t.name for t in setting.evaluation.task.terms].index(TERM)
    gram, cross, square = (products[name][number] for name in ("gram", "cross", "square"))
    return loss_split.split(gram, cross, square).equiv


def difference_of_pairs(setting: Setting, quaternion: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    """Half the mean squared difference between the orientations of all pairs, per sample."""
    z = twisting.twisted_predictions(setting.evaluation, setting.index, quaternion)[TERM].double()
    weight = setting.evaluation.task.batch(setting.index).weights[TERM].double()
    found = torch.zeros(len(z), dtype=torch.float64)
    for first, second in pairs:
        found += 0.5 * ((z[:, first] - z[:, second]).square().mean(-1) * weight).sum(-1)
    return (found / len(pairs)).numpy()


def walk(seed: int) -> Rotation:
    """Orientations of ml-peg: no rotation, steps of growing angles about random axes, then uniform steps."""
    random = np.random.default_rng(seed)
    axes = random.normal(size=(len(WALK), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    small = Rotation.from_rotvec(np.radians(WALK)[:, None] * axes)
    steps = Rotation.concatenate([small, Rotation.random(UNIFORM, random)])
    found = [Rotation.identity()]
    for step in steps:
        found.append(step * found[-1])
    return Rotation.concatenate(found)


def ml_peg(setting: Setting, seed: int) -> np.ndarray:
    """The walk of ml-peg, the same for all samples, over all pairs of its 115 orientations."""
    quaternion = torch.from_numpy(walk(seed).as_quat(scalar_first=True))
    count = len(quaternion)
    pairs = np.stack(np.triu_indices(count, 1), 1)
    return difference_of_pairs(setting, quaternion.expand(len(setting.index), count, 4), pairs)


def fairchem(setting: Setting, seed: int) -> np.ndarray:
    """Random rotations, each compared with the structure as it lies in its file."""
    turned = sample_rotations("independent", len(setting.index), FAIRCHEM, seed)
    as_it_is = torch.tensor([1.0, 0, 0, 0], dtype=turned.dtype).expand(len(turned), 1, 4)
    pairs = np.array([(0, number + 1) for number in range(FAIRCHEM)])
    return difference_of_pairs(setting, torch.cat([as_it_is, turned], 1), pairs)


Design = Callable[[Setting, int], np.ndarray]


def designs() -> dict[str, Design]:
    """The designs by name; the first is ours."""
    found: dict[str, Design] = {
        f"twirlscope, {OURS} rotations": ours,
        f"{HAAR} uniform rotations": lambda setting, seed: ours(setting, seed, HAAR),
        f"fairchem, {FAIRCHEM} rotations against the first frame": fairchem,
        f"ml-peg, all pairs of {len(WALK) + UNIFORM + 1} orientations": ml_peg,
    }
    if find_spec("metatomic"):
        import metatomic_peer

        found["metatomic, SymmetrizedModel over O(3)"] = metatomic_peer.estimate
    return found


class Counted(torch.nn.Module):
    """A model that counts the samples that pass through it."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model, self.rows = model, 0

    def forward(self, inputs):
        self.rows += len(next(iter(inputs.values())))
        return self.model(inputs)


def measured(setting: Setting, chosen: dict[str, Design], rounds: int) -> list[list[object]]:
    """Rows of the table. Rotations are drawn anew in every round, the same seed for all designs."""
    values: dict[str, list] = {name: [] for name in chosen}
    passes = {name: _passes(setting, design) for name, design in chosen.items()}
    works = {
        name: lambda n=name, d=design: values[n].append(d(setting, len(values[n]))) for name, design in chosen.items()
    }
    seconds = interleaved(works, rounds)
    mean = {name: np.array([v.mean() for v in values[name]])[-rounds:] for name in chosen}
    error = {n: np.array([standard_error(v, setting.cluster) for v in values[n]])[-rounds:] for n in chosen}
    first, rows = next(iter(chosen)), []
    for name in chosen:
        same_width = (error[name] / error[first]) ** 2
        cost = passes[name] / passes[first] * same_width
        row = [name, f"{passes[name] / len(setting.index):.0f}", f"{median(mean[name] / mean[first]):.2f}"]
        row += [f"{median(error[name] / mean[name]):.2f}", f"{median(cost):.1f}"]
        rows.append([*row, f"{ratio(seconds[name] * same_width, seconds[first]):.1f}"])
    return rows


def _passes(setting: Setting, design: Design) -> int:
    """Samples that pass through the network in one estimate."""
    counted = Counted(setting.evaluation.model)
    evaluation = Evaluation(counted, setting.evaluation.task, chunk=CHUNK)
    with torch.no_grad():
        design(Setting(evaluation, setting.index, setting.cluster), 0)
    return counted.rows


COLUMNS = ("design", "passes per sample", "L_equiv / ours", "standard error / L_equiv")
COLUMNS += ("passes for the same interval / ours", "CPU seconds for the same interval / ours")


def section(given: Given) -> Section:
    """Section of the page."""
    setting = setting_of(given)
    clusters = len(np.unique(setting.cluster))
    rows = measured(setting, designs(), given.rounds(ROUNDS))
    size = sum(p.numel() for p in setting.evaluation.model.parameters())
    text = f"""The default force field after its training ({size:,} parameters), on
{len(setting.index)} held-out samples of {clusters} molecules. Every design estimates the equivariance error of the
forces. For the same interval it needs as many times more samples as its squared standard error is larger. Metatomic's
rows are its own code; the designs called after ml-peg and fairchem are re-expressed in a few lines on the same network,
in the same batches, with half the squared difference of a pair in place of their own number. The five rotations are an
assumption.

{table(COLUMNS, rows)}"""
    if not find_spec("metatomic"):
        text += "\nNot measured: metatomic's `SymmetrizedModel`, which is not installed (the extra `oracle`).\n"
    return Section("Cost of an interval of the equivariance error", text)


if __name__ == "__main__":
    sys.exit(alone(section, __file__))
