"""Samples, rotations and settings of a measurement of curvature, and the block of parameters that it is of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .._typing import Array, Float, Int, Tensor
from ..contracts import Batch, Task
from ..errors import UserError
from ..estimators.curvature.eigenvalues import Spectrum
from ..geometry.rotation_sets import sample_rotations
from ..losses import balanced
from ..runtime.devices import device_of
from ..settings.hessian import HessianSettings
from .lanczos import Basis, fitting_basis
from .objective import PARTS, Objective
from .operators import CURVATURES

GB = 1e9

Key = tuple[str, str]  # curvature, part


@dataclass(frozen=True)
class Problem:
    """Samples, their rotations and the settings of the spectra; the same at every checkpoint.

    cluster: of each sample; samples of different clusters are independent.
    split: all samples of the split, from which landscapes draw anew.
    size: number of parameters whose curvature is measured.
    basis: of the Lanczos run; None if all eigenvalues are computed.
    landscape_step: step of the checkpoint with a landscape; None for no landscape.
    """

    task: Task
    batch: Batch
    index: Int[Array, " sample"]
    cluster: Int[Array, " sample"]
    split: Int[Array, " known"]
    quaternion: Float[Tensor, "sample rotation 4"]
    settings: HessianSettings
    device: str
    size: int
    basis: Basis | None
    landscape_step: int | None = None

    @property
    def exact(self) -> bool:
        """True if all eigenvalues are computed, from dense matrices."""
        return self.basis is None

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the loss.

        If `mean` is corrected for its bias, also `mean_plugin`, which is not. If all eigenvalues are computed, also
        `total`, whose matrices are the sums of those of the others.
        """
        independent = self.settings.rotation_set == "independent"
        parts = ("mean", "mean_plugin", "equiv") if independent else PARTS
        return (*parts, "total") if self.exact else parts

    @property
    def curvatures(self) -> tuple[str, ...]:
        """Names of the matrices: the Hessian, and the Gauss-Newton matrix if it is measured."""
        return CURVATURES if self.settings.gauss_newton else CURVATURES[:1]

    @property
    def uncorrected_mean(self) -> str:
        """Name of the mean part without the correction, which adds negative eigenvalues to its curvature."""
        return "mean_plugin" if "mean_plugin" in self.parts else "mean"

    @property
    def groups(self) -> list[Int[Array, " some"]]:
        """Groups of the samples, by their position, each of whole clusters; none if there are fewer than two."""
        _, first, number = np.unique(self.cluster, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))[number]  # clusters in the order of their first samples
        count = min(self.settings.groups, len(first))
        return [np.flatnonzero(rank % count == k) for k in range(count)] if count > 1 else []

    def objective(self, model: torch.nn.Module, some: Int[Array, " some"] | slice = slice(None)) -> Objective:
        """Loss on some of the samples."""
        return self._objective(model, balanced(self.batch.map(lambda t: t[some])), some)

    def pieces(self, model: torch.nn.Module) -> list[tuple[float, Objective]]:
        """Losses of the groups and their shares: the loss on all samples is the sum of share times loss."""
        batch, count = balanced(self.batch), len(self.batch)
        whole, found = self._objective(model, batch, slice(None)), []
        for some in self.groups or [np.arange(count)]:
            objective = whole.on(batch.map(lambda t, some=some: t[some]), self.quaternion[some])
            found.append((len(some) / count, objective))
        return found

    def _objective(self, model: torch.nn.Module, batch: Batch, some: Int[Array, " some"] | slice) -> Objective:
        unbiased = self.settings.rotation_set == "independent"
        return Objective(model, self.task, batch, self.quaternion[some], self.settings.chunk, unbiased)

    def matrices(self) -> Iterator[Key]:
        """All matrices, without the Gauss-Newton matrix of a corrected mean, which is indefinite."""
        for curvature in self.curvatures:
            for part in self.parts:
                if curvature == "hessian" or part != "mean" or self.uncorrected_mean == "mean":
                    yield curvature, part


def choose_samples(
    index: Int[Array, " known"], settings: HessianSettings, cluster: Int[Array, " known"] | None = None
) -> Int[Array, " some"]:
    """Random samples of a split for the loss, ascending; of different clusters if there are as many.

    Args:
        cluster: of each sample of the split; all different if left out.
    """
    random = np.random.default_rng(settings.seed)
    order = random.permutation(len(index))
    cluster = np.arange(len(index)) if cluster is None else np.asarray(cluster)
    first = np.sort(np.unique(cluster[order], return_index=True)[1])  # one sample of every cluster, in random order
    later = np.setdiff1d(np.arange(len(order)), first)
    return np.sort(index[order[np.concatenate([first, later])[: settings.samples]]])


def freeze_outside(model: torch.nn.Module, path: str) -> None:
    """Takes the gradient from all parameters outside a module; an empty path keeps all.

    Raises:
        UserError: no such module, or one without trained parameters.
    """
    inside = {id(p) for p in trained_module(model, path).parameters() if p.requires_grad}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in inside)


def trained_module(model: torch.nn.Module, path: str) -> torch.nn.Module:
    """The module at a path.

    Raises:
        UserError: no such module, or one without trained parameters.
    """
    known = {n: m for n, m in model.named_modules() if any(p.requires_grad for p in m.parameters())}
    if path not in known:
        expected = f"the path of a module of {type(model).__name__} with trained parameters"
        raise UserError("hessian.block", expected, repr(path), [n for n in known if n])
    return known[path]


def problem_of(
    task: Task,
    index: Int[Array, " sample"],
    size: int,
    settings: HessianSettings,
    cluster: Int[Array, " sample"] | None = None,
    split: Int[Array, " known"] | None = None,
) -> Problem:
    """Samples with their rotations, and the largest basis that fits into the memory; the log states the method.

    Args:
        index: samples in the loss.
        size: number of parameters whose curvature is measured.
        cluster: of each sample; all different if left out.
        split: all samples of the split; those of `index` if left out.

    Raises:
        UserError: the basis does not fit, or a landscape is wanted of more parameters than `hessian.exact`.
    """
    if settings.landscape and size > settings.exact:
        expected = f"0, or a block (hessian.block) of at most {settings.exact} parameters (hessian.exact)"
        raise UserError("hessian.landscape", expected, f"{settings.landscape}, and {size} parameters")
    quaternion = sample_rotations(settings.rotation_set, len(index), settings.rotations, settings.seed, task.group)
    device = "cuda" if device_of(settings.device) == "cuda" else "cpu"  # other devices have no float64
    cluster = np.arange(len(index)) if cluster is None else np.asarray(cluster)
    basis = None if size <= settings.exact else _basis(size, settings)
    if basis is None:
        print(f"all eigenvalues of dense matrices of {size} parameters", flush=True)
    split = index if split is None else split
    return Problem(task, task.batch(index), index, cluster, split, quaternion, settings, device, size, basis)


def _basis(size: int, settings: HessianSettings) -> Basis:
    """Largest basis that fits into the memory; the log states its size."""
    wanted = getattr(torch, settings.dtype if settings.basis_dtype == "auto" else settings.basis_dtype)
    basis = fitting_basis(size, settings.probes, settings.lanczos_steps, wanted, settings.basis_memory * GB)
    text = f"basis: {basis.probes} probes x {settings.lanczos_steps} steps x {size} parameters in {basis.dtype}"
    requested = (basis.probes, basis.dtype) == (settings.probes, wanted)
    less = "" if requested else ", less than requested, to fit into the memory"
    print(f"{text}, {basis.bytes / GB:.3g} GB of {settings.basis_memory:g} GB{less}", flush=True)
    return basis


@dataclass(frozen=True)
class CheckpointSpectra:
    """Spectra of one checkpoint.

    replicates: spectra of groups of the samples, with half of the Lanczos steps; exact ones are of all samples but
        those of a group. Empty if there are none.
    products: number of products with each matrix.
    values: losses by part.
    hessian: of the total loss, if all eigenvalues are computed.
    """

    spectra: dict[Key, Spectrum]
    replicates: dict[Key, list[Spectrum]]
    products: dict[Key, int]
    values: dict[str, float]
    hessian: Float[Tensor, "n n"] | None = None
