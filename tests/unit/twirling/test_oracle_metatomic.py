"""Mean and variance over O(3), and the spectrum, against metatomic's `SymmetrizedModel` on the same model.

The model is a polynomial in the positions with tensors fixed in the lab, so that both sides integrate it exactly.
Metatomic integrates over Lebedev points times in-plane angles, twirlscope over cosets of the octahedral group.
"""

# ruff: noqa: UP006, UP035, UP045  (metatomic requires these hints)

from typing import Dict, List, Optional

import design_spectrum
import numpy as np
import pytest
import torch

from twirlscope.contracts import Batch
from twirlscope.estimators import loss_split
from twirlscope.geometry import so3
from twirlscope.geometry.rotation_sets import randomised, smallest
from twirlscope.twirling import twisting
from twirlscope.twirling.averaging import twirled

pytest.importorskip("metatomic.torch.o3", reason="the oracle metatomic-torch is not installed (extra `oracle`)")
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelEvaluationOptions,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)
from metatomic.torch.o3 import SymmetrizedModel

SAMPLES, ATOMS = 2, 4
DEGREE = 3  # of both twisted predictions: the energy is cubic, the forces are quadratic and vectors
FORCES, ENERGY = "non_conservative_force", "energy"
IRREPS, DIMENSION = {FORCES: "1o", ENERGY: "0e"}, {FORCES: 3, ENERGY: 1}
VARIANCE, CHARACTER = "o3::variance::", "o3::character_projection::"
SET = smallest(2 * DEGREE)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


POSITIONS = normal(SAMPLES, ATOMS, 3)


class Cubic(torch.nn.Module):
    """Energy and forces of one molecule; one part is equivariant, the other has tensors fixed in the lab."""

    def __init__(self):
        super().__init__()
        self.vector = torch.nn.Parameter(normal(3, seed=1))
        self.matrix = torch.nn.Parameter(normal(3, 3, seed=2))
        self.cube = torch.nn.Parameter(normal(3, 3, 3, seed=3))

    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        middle = positions.mean(0)
        centred = positions - middle
        cube = torch.einsum("ijk,ai,aj,k->", self.cube, centred, centred, middle)
        energy = centred.square().sum() + positions.sum(0) @ self.vector + cube
        energy = energy + torch.einsum("ij,ai,aj->", self.matrix, centred, positions)
        lab = self.vector + centred @ self.matrix.T + torch.einsum("ijk,aj,k->ai", self.cube, centred, middle)
        return energy, lab - 2 * centred


class Exported(torch.nn.Module):
    """`Cubic` with the interface of metatomic."""

    def __init__(self):
        super().__init__()
        self.cubic = Cubic()

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        return []

    def forward(
        self, systems: List[System], outputs: Dict[str, ModelOutput], selected_atoms: Optional[Labels]
    ) -> Dict[str, TensorMap]:
        found = [self.cubic(system.positions) for system in systems]
        count, one = len(systems), Labels("_", torch.tensor([[0]]))
        atoms = torch.tensor([[s, a] for s in range(count) for a in range(len(systems[s]))])
        energy = TensorBlock(
            torch.stack([e for e, _ in found])[:, None],
            Labels("system", torch.arange(count)[:, None]),
            [],
            Labels(ENERGY, torch.tensor([[0]])),
        )
        forces = TensorBlock(
            torch.cat([f for _, f in found])[..., None],
            Labels(["system", "atom"], atoms),
            [Labels("xyz", torch.arange(3)[:, None])],
            Labels(FORCES, torch.tensor([[0]])),
        )
        return {ENERGY: TensorMap(one, [energy]), FORCES: TensorMap(one, [forces])}


@pytest.fixture(scope="module")
def theirs():
    """Outputs of metatomic by name: means, variances and character projections."""
    outputs = {ENERGY: ModelOutput(unit="eV", sample_kind="system")}
    outputs[FORCES] = ModelOutput(unit="eV/A", sample_kind="atom")
    capabilities = ModelCapabilities(
        outputs=outputs,
        atomic_types=[1],
        interaction_range=np.inf,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    model = AtomisticModel(Exported().eval(), ModelMetadata(), capabilities)
    wrapped = SymmetrizedModel.wrap(model, max_angular_momentum_character=DEGREE, batch_size=128)
    names = [f"{kind}{name}" for kind in ("", VARIANCE, CHARACTER) for name in outputs]
    options = ModelEvaluationOptions("angstrom", {q: wrapped.capabilities().outputs[q] for q in names})
    cell, periodic = torch.zeros(3, 3).double(), torch.zeros(3, dtype=torch.bool)
    systems = [System(torch.ones(ATOMS, dtype=torch.int32), p, cell, periodic) for p in POSITIONS]
    with torch.no_grad():
        return wrapped(systems, options, check_consistency=False)


def predict(inputs):
    """Predictions of `Cubic` on a batch of twirlscope."""
    energy, forces = torch.vmap(Cubic())(inputs["positions"])
    return {ENERGY: energy[:, None], FORCES: forces}


def gram_matrices(irreps):
    """Quaternions `[sample, replicate, rotation]`, and Gram matrices by term, per component of every vector.

    Gram matrices are `[sample, atom, parity, replicate, rotation, parity, replicate, rotation]`.
    """
    quaternion = randomised(SET, SAMPLES, 2, torch.Generator().manual_seed(0))
    weights = {FORCES: torch.ones(SAMPLES, ATOMS), ENERGY: torch.ones(SAMPLES)}
    batch = Batch(
        {"positions": POSITIONS}, {k: v.detach() for k, v in predict({"positions": POSITIONS}).items()}, weights
    )
    task, shape = twisting.FixedBatchTask(batch, {"positions": "1o"}, irreps), (SAMPLES, 2, len(SET))
    copies, found = batch.repeat(2 * len(SET)), []
    with torch.no_grad():
        for parity in (1, -1):
            found.append(twisting.twisted(predict, task, copies, so3.matrix(quaternion.flatten(0, 2), parity)))
    z = {k: torch.stack([part[k].reshape(*shape, -1, DIMENSION[k]) for part in found], 1) for k in irreps}
    return quaternion.numpy(), {
        k: np.einsum("sprnac,sqtmac->saprnqtm", v, v, optimize=True) / DIMENSION[k] for k, v in z.items()
    }


@pytest.mark.parametrize("name", IRREPS)
def test_mean__over_rotations_and_inversion_is_metatomics(theirs, name):
    with torch.no_grad():
        ours = twirled(predict, SET, {"positions": "1o"}, IRREPS, inversion=True)({"positions": POSITIONS})[name]
    expected = theirs[name].block().values.reshape(ours.shape)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10 * expected.abs().max().item())
    assert (ours - predict({"positions": POSITIONS})[name]).abs().max() > 0.1 * ours.abs().max()


@pytest.mark.parametrize("name", IRREPS)
def test_variance__over_rotations_and_inversion_is_metatomics(theirs, name):
    """Equivariance error from `split_design`; a set of SO(3) with both parities is a set of O(3)."""
    gram = gram_matrices(IRREPS)[1][name].transpose(0, 1, 3, 2, 4, 6, 5, 7)
    design = gram.reshape(*gram.shape[:2], 2, 2 * len(SET), 2, 2 * len(SET))
    weight = np.concatenate([SET.weight, SET.weight]) / 2
    ours = loss_split.split_design(design, np.zeros(design.shape[:-2]), 0.0, weight).equiv
    expected = theirs[VARIANCE + name].block().values.reshape(ours.shape).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    assert (expected > 0.01).all()


@pytest.mark.parametrize("name", IRREPS)
def test_spectrum__is_metatomics_character_projection(theirs, name):
    """Metatomic projects the response f(g x) without rotating it back, as if its components were scalars.

    The two parities of O(3) add up to the mean over both cosets of SO(3).
    """
    quaternion, gram = gram_matrices(dict.fromkeys(IRREPS, "0e"))
    ours = 0
    for parity in range(2):
        one = gram[name][:, :, parity, :, :, parity]
        ours = ours + design_spectrum.spectrum_design(one, quaternion[:, None], DEGREE, SET.weight.numpy()) / 2
    expected = np.zeros_like(ours)
    for key, block in theirs[CHARACTER + name].items():
        values = block.values.reshape(*ours.shape[:2], -1).mean(-1)
        expected[..., int(key["chi_lambda"])] += values.numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10 * expected.max())
    assert (expected.mean((0, 1))[: DEGREE if name == FORCES else None] > 1e-3).all()
