"""Measurement of an external potential at all its checkpoints, with the estimators that trained models have.

Every structure is computed first and its answer kept. Only then are the samples known in which no calculation failed,
and the energies of the elements, so that the products of all predictions can be taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from ..._typing import Array, Bool, Float, Int, Sequence
from ...contracts import Evaluation
from ...errors import UserError
from ...external.calls import Calls
from ...settings.twirl import TwirlSettings
from ..checkpoint import Design
from ..heldout import heldout_dataset, heldout_of, measure_heldout, summarise
from ..other_splits import measure_test_sets, test_rotations, test_sets
from ..panel import (
    kept_predictions,
    panel_dataset,
    panel_of,
    panel_products,
    panel_steps,
    summarise_panel,
)
from ..twisting import Products, inner_products
from .conclusions import conclude
from .floors import Floors, floor_samples, measure_floors
from .frontier import frontier
from .model import Potential
from .other_tools import antisymmetric_shares, reported
from .task import PotentialTask

EXTRA = 2  # calls for each sample whose floors are measured


@dataclass(frozen=True)
class Options:
    """Choices of a measurement beside those of the settings `twirl`.

    subtract_noise: whether the variance of the noise is subtracted from the Gram matrices.
    floor_samples: samples whose floors are measured.
    where: place of the calculator in the config, for errors.
    jacobian: samples whose force Jacobian is measured by displacements.
    """

    subtract_noise: bool = False
    floor_samples: int = 16
    where: str = "external"
    jacobian: int = 0


def design_of(
    task: PotentialTask, index: Int[Array, " sample"], cluster: Int[Array, " sample"], settings: TwirlSettings
) -> Design:
    """Rotations of the held-out samples, and a panel of some of them."""
    panel = panel_of(index, settings, task.group, cluster) if min(settings.panel, len(index)) > 1 else None
    held = heldout_of(task, index, settings, cluster)
    return Design(held, panel)


def planned_calls(
    task: PotentialTask, design: Design, steps: int, data: xr.Dataset | None, settings: TwirlSettings, options: Options
) -> int:
    """Calls of the calculator: samples x rotations, floors, Jacobians at every step, panel, test sets at the last."""
    panel = 0 if design.panel is None else design.panel.flat.shape[0] * design.panel.flat.shape[1]
    held = design.held.quaternion.shape[0] * design.held.quaternion.shape[1]
    floors = EXTRA * len(floor_samples(design.held, options.floor_samples))
    few = design.held.index[: options.jacobian]
    moved = 6 * int(task.composition(few).sum()) if len(few) else 0
    others = sum(len(index) for index in _other_sets(data, settings).values()) * settings.rotations
    return steps * (held + floors + moved) + len(panel_steps(range(steps), settings)) * panel + others


def measure_series(
    task: PotentialTask,
    data: xr.Dataset | None,
    design: Design,
    series: dict[int, Calls],
    settings: TwirlSettings,
    options: Options,
) -> xr.Dataset:
    """Dataset of the measurements of all steps, with the variables of the stage `twirl`.

    Args:
        data: prepared data with splits, for the test sets; None for none.
        design: of all held-out samples.
        series: calls of the calculator by step, ascending.

    Raises:
        UserError: no sample is left in which no calculation failed, or steps with the same predictions.
    """
    models = {step: Potential(calls, task) for step, calls in series.items()}
    floors, last = [], max(models)
    for step, model in models.items():
        model.calls.check(options.where)
        floors.append(_collect(model, _of_step(design, step, list(models), settings), settings, options))
        if step == last:
            _collect_test_sets(model, data, settings)
        model.calls.close()
    failed = {sample: reason for m in models.values() for sample, reason in m.failed.items()}
    _check_different(models, options)
    design = _without(design, failed, options)
    offsets = np.stack([model.align(design.index) for model in models.values()])
    evaluations = [_evaluation(model, settings) for model in models.values()]
    result = _products(evaluations, list(models), design, floors, settings, options)
    if data is not None:
        sets = measure_test_sets(evaluations[-1], data, settings, failed, centred=True)
        result = result.merge(sets, combine_attrs="no_conflicts")
    result["element_offset"] = (("step", "element"), offsets)
    names = {"failed_sample": np.array(sorted(failed), np.int64)}
    names["failed_reason"] = np.array([failed[i] for i in sorted(failed)], object)
    result = result.assign({k: (("failed",), v) for k, v in names.items()})
    return conclude(result, task, floors, settings, options.subtract_noise)


def _of_step(design: Design, step: int, steps: Sequence[int], settings: TwirlSettings) -> Design:
    """The design of a step, without a panel where none is measured."""
    return design if step in panel_steps(steps, settings) else replace(design, panel=None)


def _evaluation(model: Potential, settings: TwirlSettings) -> Evaluation:
    return Evaluation(model, model.task, "cpu", torch.float64, settings.chunk)


def _collect(model: Potential, design: Design, settings: TwirlSettings, options: Options) -> Floors:
    """Ask the calculator for all structures of a step, so that the answers are kept; the floors."""
    evaluation, held = _evaluation(model, settings), design.held
    inner_products(evaluation, held.index, held.quaternion, parity=held.parity)
    if design.panel is not None:
        inner_products(evaluation, design.panel.index, design.panel.flat)
    antisymmetric_shares(model, held.index[: options.jacobian])
    return measure_floors(model, held, options.floor_samples, settings.seed)


def _collect_test_sets(model: Potential, data: xr.Dataset | None, settings: TwirlSettings) -> None:
    """Ask the calculator for all structures of the test sets."""
    for index in _other_sets(data, settings).values():
        inner_products(_evaluation(model, settings), index, test_rotations(model.task, index, settings))


def _other_sets(data: xr.Dataset | None, settings: TwirlSettings) -> dict[str, Int[Array, " sample"]]:
    """Test sets beside the split that is measured."""
    found = {} if data is None else test_sets(data, settings)
    return {name: index for name, index in found.items() if name != settings.split}


def _check_different(models: dict[int, Potential], options: Options) -> None:
    """Refuse steps with the same predictions bit for bit: some exporters write the best model so far.

    Raises:
        UserError: it names the steps.
    """
    same: dict[bytes, list[int]] = {}
    for step, model in models.items():
        content = b"".join(model.first[i] for i in sorted(model.first))
        same.setdefault(hashlib.sha256(content).digest(), []).append(step)
    groups = [f"steps {', '.join(map(str, steps))} are one model" for steps in same.values() if len(steps) > 1]
    if groups:
        raise UserError(f"{options.where}.checkpoints", "another model at every step", "; ".join(groups))


def _without(design: Design, failed: dict[int, str], options: Options) -> Design:
    """The design without the samples in which a calculation failed.

    Raises:
        UserError: none is left.
    """
    held, panel = design.held, design.panel
    right = _right(held.index, failed)
    if not right.any():
        reason = next(iter(failed.values()), "no samples")
        raise UserError(options.where, "a structure that the calculator computes", f"none: {reason}")
    held = replace(held, index=held.index[right], cluster=held.cluster[right], quaternion=held.quaternion[right])
    if panel is not None:
        right = _right(panel.index, failed)
        some = {"index": panel.index[right], "cluster": panel.cluster[right], "quaternion": panel.quaternion[right]}
        panel = replace(panel, **some) if right.sum() > 1 else None
    return Design(held, panel)


def _right(index: Int[Array, " sample"], failed: dict[int, str]) -> Bool[Array, " sample"]:
    return ~np.isin(index, list(failed))


def _products(
    evaluations: Sequence[Evaluation],
    steps: Sequence[int],
    design: Design,
    floors: Sequence[Floors],
    settings: TwirlSettings,
    options: Options,
) -> xr.Dataset:
    """Inner products of all steps, with the losses, the spectrum and the losses of test-time twirling."""
    task, noise = evaluations[0].task, [f.noise if options.subtract_noise else 0 * f.noise for f in floors]
    held = [_less(measure_heldout(e, design.held, centred=True), v) for e, v in zip(evaluations, noise, strict=True)]
    result = summarise(heldout_dataset(task, steps, design.held, held), settings)
    others = [reported(e, design.held, design.held.index[: options.jacobian]) for e in evaluations]
    result = result.merge(xr.concat(others, result["step"]), combine_attrs="no_conflicts")
    if design.panel is None:
        return result
    spectra = panel_steps(steps, settings)
    chosen = [(e, v) for step, e, v in zip(steps, evaluations, noise, strict=True) if step in spectra]
    products = [(_less(panel_products(e, design.panel, centred=True), v), None) for e, v in chosen]
    panels = panel_dataset(design.panel, products).assign_coords(step=spectra, term=result["term"])
    kept = [k for e, _ in chosen for k in kept_predictions(e, design.panel, settings)]
    if kept:
        panels["panel_prediction"] = (("step", "kept", "panel_rotation", "component"), np.stack(kept))
    panels = summarise_panel(panels, design.panel, settings)
    panels = panels.merge(frontier(panels, design.panel, settings), combine_attrs="no_conflicts")
    panels["panel_gram"] = panels["panel_gram"].astype(np.float32)
    return result.merge(panels, join="outer", combine_attrs="no_conflicts")


def _less(products: Products, noise: Float[Array, " term"]) -> Products:
    """The products without the variance of the noise, which adds to the diagonal of the Gram matrices alone."""
    known = products["known"] / np.maximum(products["known"].mean(1, keepdims=True), 1e-300)
    size = np.eye(products["gram"].shape[-1])
    return products | {"gram": products["gram"] - (noise[:, None] * known)[..., None, None] * size}
