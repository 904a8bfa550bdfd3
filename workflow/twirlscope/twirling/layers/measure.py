"""Symmetry inside a network at one checkpoint, as a dataset with the variables of the stage `layers`."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from ..._typing import Array, Callable, Float, Index, Int, Mapping, Sequence, Values
from ...contracts import Evaluation, Task
from ...errors import UserError
from ...estimators import bootstrap
from ...settings.layers import LayersSettings
from ...settings.twirl import TwirlSettings
from ..lie_derivative import CHECKED, in_float64, lie_error
from ..measure import evaluation_of, samples_of
from .attention import NAMES, anisotropies, attention_modules, input_name
from .created_error import created_by_derivative, created_by_patching, cuts_of, further_rotations
from .derivatives import feature_factors
from .design import Design, design_of
from .feature_spectrum import feature_spectra
from .features import matching_modules
from .generators import Generators, Steerability, fitted, steerability
from .stability import noise_response

ROTATIONS = 64  # further rotations of the patched features, one per batch in turn

Variables = dict[str, tuple[tuple[str, ...], Array]]  # by name: dimensions and values


def measure_layers(
    model: Callable,
    task: Task,
    index: Index | None = None,
    settings: LayersSettings | None = None,
    cluster: Int[Array, " sample"] | None = None,
) -> xr.Dataset:
    """Symmetry inside any model that is a torch module, without a workflow: features, created error, attention.

    The model is measured in float64, as a copy, on its own device.

    Args:
        model: maps `Batch.inputs` to a prediction by term, in evaluation mode.
        task: supplies the samples with these indices and rotates them; `FixedBatchTask` makes a task from a batch.
        index: samples, of which `settings.samples` are drawn; None takes all samples of a `FixedBatchTask`.
        settings: None takes the defaults; `modules` names the modules whose outputs are the features.
        cluster: number of the cluster of each sample, such as its molecule; None if all are independent.

    Raises:
        UserError: no such modules, features with more components than rows, a task on grids, or a model without
            forward-mode derivatives.

    Example: `measure_layers(model, task, index)["feature_multiplicity"]`
    """
    settings = settings or LayersSettings()
    if not isinstance(model, torch.nn.Module):
        raise UserError("measure_layers, model", "a torch module, whose modules have features", type(model).__name__)
    evaluation = evaluation_of(model, task, TwirlSettings(chunk=max(2, settings.chunk), device=settings.device))
    design = design_of(task, samples_of(task, index), settings, cluster)
    return layers_dataset(in_float64(evaluation), design, settings)


def layers_dataset(evaluation: Evaluation, design: Design, settings: LayersSettings) -> xr.Dataset:
    """All measurements of one checkpoint, without a step.

    Args:
        evaluation: in float64.

    Raises:
        UserError: as `measure_layers`.
    """
    modules = matching_modules(evaluation.model, settings.modules)
    lie_error(evaluation, design.index[:CHECKED], design.quaternion[:CHECKED, :1], "forward")
    fit, other = feature_factors(evaluation, design, modules)
    generators = {name: fitted(factor, settings.smallest_variance) for name, factor in fit.items()}
    found = {n: steerability(generators[n], other[n], settings.highest_degree, settings.tolerance) for n in generators}
    inputs = [input_name(path, layer) for path in attention_modules(evaluation.model) for layer in NAMES]
    names = [name for name in generators if name not in inputs]
    result = _steerability(names, found, other, settings) | _created(evaluation, design, modules, generators, settings)
    result |= _attention(evaluation, generators, found)
    if design.panel is not None:
        means = {name: generators[name].mean for name in names}
        result |= _spectra(evaluation, design, modules, means, settings)
    coordinates = {
        "feature": np.array(names, object),
        "cut": np.array(cuts_of(modules), object),
        "term": np.array([*(t.name for t in evaluation.task.terms), "weighted"], object),
        "degree": np.arange(settings.highest_degree + 1),
        "attention": np.array(attention_modules(evaluation.model), object),
    }
    used = {dim for dims, _ in result.values() for dim in dims}
    return xr.Dataset(result, {name: values for name, values in coordinates.items() if name in used})


def _steerability(
    names: Sequence[str],
    found: Mapping[str, Steerability],
    factors: Mapping[str, Array],
    settings: LayersSettings,
) -> Variables:
    """Steerability of every feature; eigenvalues are padded with NaN."""
    widths = [(factors[name].shape[1] - 1) // 4 for name in names]
    each, dims = [found[name] for name in names], ("feature",)

    def padded(name: str) -> Array:
        rows = [getattr(s, name) for s in each]
        return np.stack([np.pad(row, (0, max(widths) - len(row)), constant_values=np.nan) for row in rows])

    count, share = (np.stack([getattr(s, n) for s in each]) for n in ("count", "share"))
    return {
        "feature_variance": (dims, np.array([s.variance for s in each])),
        "feature_rate": (dims, np.array([s.rate for s in each])),
        "feature_defect": (dims, np.array([s.defect for s in each])),
        "feature_commutator": (dims, np.array([s.commutator for s in each])),
        "feature_components": (dims, np.array(widths, np.int64)),
        "feature_rank": (dims, np.array([len(s.casimir) for s in each], np.int64)),
        "feature_casimir": ((*dims, "eigenvalue"), padded("casimir")),
        "feature_direction_defect": ((*dims, "eigenvalue"), padded("direction_defect")),
        "feature_multiplicity": ((*dims, "degree"), count / (2 * np.arange(settings.highest_degree + 1) + 1)),
        "feature_share": ((*dims, "degree"), share),
        "feature_unsteerable": (dims, 1 - share.sum(1)),
    }


def _created(
    evaluation: Evaluation,
    design: Design,
    modules: Sequence[str],
    generators: Mapping[str, Generators],
    settings: LayersSettings,
) -> Variables:
    """Shares of the created error by both roads, and the relative stability, on the half that was not fitted."""
    half = ~design.fitted
    index, cluster, first = design.index[half], design.cluster[half], design.quaternion[torch.from_numpy(half), 0]
    vectors = further_rotations(ROTATIONS, settings.seed)
    where = (evaluation, index, first, modules, generators)
    exact, patched = created_by_derivative(*where), created_by_patching(*where, vectors)
    noise = noise_response(evaluation, index, first, settings.seed)
    whole = np.broadcast_to(exact.whole, exact.product.shape), np.broadcast_to(patched.whole, patched.product.shape)
    dims = ("cut", "term")
    return {
        **_ratio("created_share", dims, exact.product, whole[0], cluster, settings),
        **_ratio("patched_share", dims, patched.product, whole[1], cluster, settings),
        **_ratio("stability", ("term",), exact.whole, noise, cluster, settings),
        "created_size": (dims, _over(exact.square.mean(-1), whole[0].mean(-1))),
        "patched_size": (dims, _over(patched.square.mean(-1), whole[1].mean(-1))),
        "layers_lie_error": (("term",), exact.whole.mean(-1)),
        "layers_loss_equiv": (("term",), patched.whole.mean(-1) / 2),
    }


def _ratio(
    name: str, dims: tuple[str, ...], values: Array, over: Array, cluster: Array, settings: LayersSettings
) -> Variables:
    """A ratio of means over samples, with its interval over clusters."""
    low, high = bootstrap.interval(values, over, settings.resamples, settings.seed, cluster)
    ends = {"": _over(values.mean(-1), over.mean(-1)), "_low": low, "_high": high}
    return {f"{name}{end}": (dims, each) for end, each in ends.items()}


def _over(values: Values, over: Values) -> Values:
    """The quotient; NaN where nothing is divided by."""
    return values / np.where(over > 0, over, np.nan)


def _attention(
    evaluation: Evaluation, generators: Mapping[str, Generators], found: Mapping[str, Steerability]
) -> Variables:
    """Anisotropy of queries and keys by head; empty for a model without attention."""
    paths = attention_modules(evaluation.model)
    if not paths:
        return {}
    measured = [anisotropies(evaluation.model, path, generators) for path in paths]
    heads = max(len(each) for each, _ in measured)
    padded = [np.pad(each, (0, heads - len(each)), constant_values=np.nan) for each, _ in measured]
    defect = [max(found[input_name(path, layer)].defect for layer in NAMES) for path in paths]
    return {
        "attention_anisotropy": (("attention", "head"), np.stack(padded)),
        "attention_random": (("attention",), np.array([random for _, random in measured])),
        "attention_defect": (("attention",), np.array(defect)),
    }


def _spectra(
    evaluation: Evaluation,
    design: Design,
    modules: Sequence[str],
    means: Mapping[str, Float[Array, " d"]],
    settings: LayersSettings,
) -> Variables:
    """Shares of the variance by degree, with standard errors over clusters, and the share above the highest degree."""
    found = feature_spectra(evaluation, design.panel, modules, means, settings.highest_degree)
    share, error = [], []
    for q, whole in (found[name] for name in means):
        share.append(_over(q.mean(0), whole.mean()))
        rest = (q - share[-1] * whole[:, None]).T / whole.mean()
        error.append(bootstrap.standard_error(rest, design.panel.cluster))
    dims = ("feature", "degree")
    beyond = 1 - np.stack(share).sum(1)
    names = {"feature_spectrum": np.stack(share), "feature_spectrum_error": np.stack(error)}
    return {n: (dims, v) for n, v in names.items()} | {"feature_spectrum_remainder": (("feature",), beyond)}
