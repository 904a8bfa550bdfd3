"""The numbers that other tools report, from the same predictions: energies and forces at several orientations.

Forces are turned back: F(g) = R^-1 f(R x), so that those of an equivariant model do not depend on g. Tools compare two
orientations, the reference and a rotated frame, or one frame and the next of a walk. Here every pair of independent
uniform rotations is compared, which has the same distribution as two orientations of which one is uniform. The means
therefore agree on average with theirs over uniform rotations. A maximum grows with the number of pairs.
Energies are per atom. Results have the unit of the input, here eV/atom and eV/Å.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._typing import Array, Bool, Float, Int, Values

ARENA_THRESHOLD = 1e-3  # of MLIP Arena, for the mean absolute force difference [eV/Å] and for 1 - cosine
ARENA_ZERO = 1e-10  # a force below this norm counts as zero in MLIP Arena [eV/Å]
DISPLACEMENT = 1e-3  # of ml-peg, to either side [Å]


class Changes(NamedTuple):
    """Changes between two orientations, per sample and pair.

    energy: |E - E'| per atom [eV/atom].
    forces: mean over components of |F - F'| [eV/Å].
    cosine: least cosine of the two forces of an atom; 1 if both are zero, -1 if one is.
    """

    energy: Float[Array, "sample pair"]
    forces: Float[Array, "sample pair"]
    cosine: Float[Array, "sample pair"]


class MeanAndLargest(NamedTuple):
    """Mean and largest change over all samples and pairs."""

    mean: float
    largest: float


class PassRates(NamedTuple):
    """Shares of pairs of orientations that pass a test of MLIP Arena, and the share of samples that always pass."""

    both: float
    forces: float
    cosine: float
    samples: float


def independent_pairs(replicates: int, nodes: int = 1) -> Int[Array, "pair 2"]:
    """All pairs of rotations that are independent: of different replicates of a set of `nodes` rotations each."""
    first, second = np.triu_indices(replicates * nodes, 1)
    keep = first // nodes != second // nodes
    return np.stack([first[keep], second[keep]], -1)


def changes(
    energy: Float[Array, "sample rotation"],
    forces: Float[Array, "sample rotation atom 3"],
    present: Bool[Array, "sample atom"],
    pairs: Int[Array, "pair 2"],
) -> Changes:
    """Changes of energy and forces between the two orientations of every pair, for every sample.

    Args:
        energy: per atom [eV/atom].
        forces: turned back [eV/Å]; those of padded atoms are ignored.
        present: True for an atom, False for padding.
        pairs: indices of two rotations, see `independent_pairs`.

    Source: ml-peg, benchmark rotational_symmetry (|ΔE| per atom, mean absolute ΔF); MLIP Arena, arXiv:2509.20630, task
    force_equivariance (cosine).
    """
    first, second = pairs.T
    found = [_force_changes(f[:, real], first, second) for f, real in zip(forces, present, strict=True)]
    size, cosine = (np.stack(part) for part in zip(*found, strict=True))
    return Changes(np.abs(energy[:, first] - energy[:, second]), size, cosine)


def _force_changes(
    forces: Float[Array, "rotation atom 3"], first: Int[Array, " pair"], second: Int[Array, " pair"]
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
    """Mean absolute difference of the components, and least cosine of an atom, of one sample."""
    norm = np.linalg.norm(forces, axis=-1)
    a, b, size = forces[first], forces[second], norm[first] * norm[second]
    zero = (norm[first] < ARENA_ZERO).astype(int) + (norm[second] < ARENA_ZERO)
    cosine = (a * b).sum(-1) / np.where(size > 0, size, 1)
    cosine = np.where(zero == 2, 1.0, np.where(zero == 1, -1.0, cosine))
    return np.abs(a - b).mean((-1, -2)), cosine.min(-1)


def mean_and_largest(change: Float[Array, "sample pair"]) -> MeanAndLargest:
    """Mean ΔE or ΔF and Max ΔE or ΔF of ml-peg, over all samples and pairs.

    ml-peg compares successive orientations of one walk: 14 steps of 1 to 40 degrees, then 100 uniform rotations. Its
    small steps lower its means by up to 12 percent for a model without any symmetry.

    Source: ml-peg, ml_peg/analysis/physicality/rotational_symmetry/analyse_rotational_symmetry.py.
    """
    return MeanAndLargest(float(change.mean()), float(change.max()))


def pass_rates(found: Changes, threshold: float = ARENA_THRESHOLD) -> PassRates:
    """Pass rates of MLIP Arena: a pair passes if ΔF < threshold and every cosine exceeds 1 - threshold.

    MLIP Arena rotates by 30, 60, ..., 360 degrees about random axes. The last angle is no rotation, so that a twelfth
    of its tests pass for any deterministic model. Here rotations are uniform.

    Source: MLIP Arena, arXiv:2509.20630, benchmarks/force_equivariance/run.py.
    """
    forces, cosine = found.forces < threshold, found.cosine > 1 - threshold
    both = forces & cosine
    return PassRates(*(float(passed.mean()) for passed in (both, forces, cosine, both.all(-1))))


def rotational_std(
    predictions: Float[Array, " rotation *b"], weight: Float[Array, " rotation"] | None = None
) -> Values:
    """Standard deviation of every component over orientations, as `energy_rot_std`, `forces_rot_std` of metatomic.

    The mean square over components is L_equiv times (K - 1) / K, K the number of independent rotations, as the variance
    is not divided by K - 1. metatomic's own set of rotations, which includes reflections, is exact up to a degree.

    Args:
        predictions: turned back, one orientation after another.
        weight: of each orientation; None for equal weights.

    Source: metatomic-ase, SymmetrizedCalculator, `store_rotational_std`.
    """
    weight = np.ones(len(predictions)) if weight is None else weight
    weight = weight / weight.sum()
    deviation = predictions - np.tensordot(weight, predictions, 1)
    return np.sqrt(np.tensordot(weight, deviation**2, 1))


def net_force(
    forces: Float[Array, "sample rotation atom 3"], present: Bool[Array, "sample atom"]
) -> Float[Array, "sample rotation"]:
    """Norm of the sum of the forces of all atoms [eV/Å]; 0 for forces of a translation-invariant energy."""
    return np.linalg.norm((forces * present[:, None, :, None]).sum(-2), axis=-1)


def net_torque(
    forces: Float[Array, "sample rotation atom 3"],
    positions: Float[Array, "sample atom 3"],
    present: Bool[Array, "sample atom"],
) -> Float[Array, "sample rotation"]:
    """Norm of the sum of r x F about the mean position [eV]; 0 for forces of a rotation-invariant energy.

    It has no meaning for periodic frames, whose energy is not invariant under a rotation of the positions alone.

    Args:
        forces: turned back [eV/Å].
        positions: of the frame before any rotation [Å].
        present: True for an atom, False for padding.

    Source: Neumann et al., arXiv:2410.22570 (Orb), which subtracts net force and net torque from its predictions.
    """
    mask = present[..., None]
    arm = positions - (positions * mask).sum(-2, keepdims=True) / mask.sum(-2, keepdims=True)
    torque = np.cross((arm * mask)[:, None], forces).sum(-2)
    return np.linalg.norm(torque, axis=-1)


def displaced(positions: Float[Array, "atom 3"], step: float = DISPLACEMENT) -> Float[Array, "moved atom 3"]:
    """Positions with one coordinate moved forwards, then backwards, for every coordinate of every atom.

    Args:
        positions: [Å].
        step: of the move [Å].
    """
    moves = step * np.eye(positions.size).reshape(-1, 1, *positions.shape) * np.array([1, -1]).reshape(1, 2, 1, 1)
    return (positions + moves).reshape(-1, *positions.shape)


def force_jacobian(
    forces: Float[Array, "moved atom 3"], step: float = DISPLACEMENT
) -> Float[Array, "component coordinate"]:
    """Derivative of the forces by the positions [eV/Å²], from the forces at the positions of `displaced`."""
    forward, backward = np.moveaxis(forces.reshape(len(forces) // 2, 2, -1), 1, 0)
    return (forward - backward).T / (2 * step)


def antisymmetric_share(jacobian: Float[Array, "*b component coordinate"]) -> Values:
    """Norm of the antisymmetric part of a force Jacobian over its norm: 0 for the forces of an energy, at most 1.

    The symmetric part has the share sqrt(1 - lambda^2), as both parts are orthogonal. NaN for a Jacobian of zeros.

    Source: Bigi et al., arXiv:2412.11569; ml-peg, benchmark jacobian_symmetry (lambda).
    """
    half = (jacobian - jacobian.swapaxes(-1, -2)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.linalg.norm(half, axis=(-1, -2)) / np.linalg.norm(jacobian, axis=(-1, -2))
