"""Equivariance error of a metatomic model by metatomic's own average. Run by a Python that has metatomic-ase.

    python metatomic_average.py model.pt frames.xyz

Prints JSON: mean square of the forces' deviation from their average over rotations [eV^2/Å^2], over all frames and
components, as `SymmetrizedCalculator` has it; its parts by degree, from the forces at the nodes of its quadrature.
"""

import argparse
import json

import numpy as np
from ase.io import read
from metatomic_ase import MetatomicCalculator, SymmetrizedCalculator

RULE = 11  # degree up to which the quadrature is exact
HIGHEST = 6  # degree of the spectrum


class Recording(MetatomicCalculator):
    """A calculator that keeps the forces it was asked for."""

    def compute_energy(self, *arguments, **keywords):
        found = super().compute_energy(*arguments, **keywords)
        self.kept.extend(found["forces"])
        return found


def spectrum(forces: np.ndarray, rotations: np.ndarray, weights: np.ndarray) -> list[float]:
    """Mean squares of the parts of degree 0 to HIGHEST of forces that are turned back.

    They are (2l + 1) SUM_ij w_i w_j chi_l(angle of R_i^T R_j) <z_i, z_j>, with the character chi_l of degree l.
    """
    z = np.einsum("iax,ixy->iay", forces, rotations).reshape(len(rotations), -1)
    cosine = (np.einsum("ixy,jxy->ij", rotations, rotations) - 1) / 2
    angle = np.arccos(np.clip(cosine, -1, 1))
    product = z @ z.T / z.shape[1] * weights * weights[:, None]
    cosines = [(np.cos(m * angle) * product).sum() for m in range(HIGHEST + 1)]
    return [(2 * degree + 1) * (cosines[0] + 2 * sum(cosines[1 : degree + 1])) for degree in range(HIGHEST + 1)]


def main(model: str, path: str) -> None:
    base = Recording(model, device="cpu")
    averaged = SymmetrizedCalculator(
        base, l_max=RULE, batch_size=64, include_inversion=False, store_rotational_std=True
    )
    rotations, weights = np.array(averaged.quadrature_rotations), np.array(averaged.quadrature_weights)
    squares, parts = [], []
    for frame in read(path, ":"):
        frame.calc, base.kept = averaged, []
        frame.get_forces()
        squares.append(float((averaged.results["forces_rot_std"] ** 2).mean()))
        parts.append(spectrum(np.array(base.kept[: len(rotations)]), rotations, weights))
    print(json.dumps({"error": np.mean(squares), "spectrum": np.mean(parts, 0).tolist(), "rotations": len(rotations)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("frames")
    chosen = parser.parse_args()
    main(chosen.model, chosen.frames)
