"""The spectra of one checkpoint: both parts of the loss, their halves of the data, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from . import condition
from .certificate import Certificate
from .condition import MEASURES, SIDES
from .contracts import Batch, Task
from .curvature import HessianOperator, Objective
from .eigenvalues import Spectrum, converged
from .errors import UserError
from .hints import Array, Callable, Float, Tensor
from .lanczos import Basis, dense, lanczos, rademacher
from .settings.hessian import HessianSettings

GB = 1e9
CURVATURES = ("hessian",)
BOTH = ("mean", "equiv")
HALVES = ("first", "second")


@dataclass(frozen=True)
class Problem:
    """What is looked at, the same at every checkpoint: samples, their rotations, and how closely."""

    task: Task
    batch: Batch
    index: Array
    quaternion: Float[Tensor, "sample rotation 4"]
    settings: HessianSettings
    device: str
    basis: Basis

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the loss; where the mean part is corrected for bias, also as it is without."""
        return ("mean", "mean_plugin", "equiv") if self.settings.rotation_set == "independent" else BOTH

    def objective(self, model: torch.nn.Module, part: slice = slice(None), plugin: bool = False) -> Objective:
        """The loss on some of the samples."""
        batch, unbiased = self.batch.map(lambda t: t[part]), "mean_plugin" in self.parts and not plugin
        return Objective(model, self.task, batch, self.quaternion[part], self.settings.chunk, unbiased)


@dataclass(frozen=True)
class Found:
    """The spectra of a checkpoint, by curvature and part; `halves` of the data are two spectra at half the depth."""

    spectra: dict[tuple[str, str], Spectrum]
    halves: dict[tuple[str, str], tuple[Spectrum, ...]]


def spectra(model: torch.nn.Module, problem: Problem, step: int) -> Found:
    """Every spectrum of the model.

    Raises:
        UserError: a product is not finite; the message names the step, and the sample and rotation if there is one.
    """
    settings, found, halves = problem.settings, {}, {}
    whole, middle = problem.objective(model), len(problem.batch) // 2
    some = [problem.objective(model, s) for s in (slice(0, middle), slice(middle, None))] if middle else []
    for curvature in CURVATURES:
        for part in problem.parts:
            try:
                found[curvature, part] = one = _spectrum(whole, part, curvature, problem, settings.lanczos_steps)
                steps = max(1, settings.lanczos_steps // 2)
                halves[curvature, part] = tuple(_spectrum(o, part, curvature, problem, steps) for o in some)
            except ValueError as error:
                raise not_finite(model, problem, step) from error
            print(f"step {step}, {curvature} of L_{part}: {_line(one)}", flush=True)
    return Found(found, halves)


def _spectrum(objective: Objective, part: str, curvature: str, problem: Problem, steps: int) -> Spectrum:
    settings, size = problem.settings, len(objective.parameters)
    operator = HessianOperator(objective, part, settings.keep_memory * GB)
    noise = torch.finfo(getattr(torch, settings.dtype)).eps
    if problem.basis.probes * steps >= size:
        return dense(operator, size, noise=noise)
    probes = rademacher(size, problem.basis.probes, settings.seed).to(problem.device, problem.basis.dtype)
    fresh = settings.trace_probes if steps == settings.lanczos_steps else 0
    return lanczos(operator, probes, steps, seed=settings.seed, noise=noise, trace_probes=fresh)
