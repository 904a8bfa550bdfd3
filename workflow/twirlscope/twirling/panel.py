"""Panel: a few held-out samples under many rotations, for the spectrum of the equivariance error.

The losses come from few rotations of all held-out samples. The panel adds what needs many rotations: the equivariance
error by degree, its Lie derivative, and the loss that remains after test-time twirling with any set of rotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from .._typing import Array, Float, Int, Iterable, Iterator, Sequence, Tensor, Values
from ..contracts import Evaluation
from ..errors import UserError
from ..estimators import bootstrap, degree_spectrum, loss_split
from ..estimators.bootstrap import Clusters
from ..geometry import action, rotation_sets, so3
from ..geometry.rotation_sets import INDEPENDENT, RotationSet
from ..settings.steps import chosen_steps
from ..settings.twirl import TwirlSettings
from . import panel_octahedral
from .heldout import ENDS
from .lie_derivative import LieError, lie_error
from .twisting import Products, inner_products, twisted_predictions, with_weighted

EXTRA_DEGREES = 4  # degrees fitted above the highest reported degree
MEASURED_SETS = (*INDEPENDENT, "D2", "T", "O", "I")  # sets whose test-time twirling is measured, not only predicted


@dataclass(frozen=True)
class Panel:
    """Samples and their rotations, the same at every checkpoint.

    index: samples, ascending.
    cluster: of each sample; samples of different clusters are independent.
    quaternion: replicates of one set of rotations, each with an independent random offset, per sample; a finite group
        has one replicate, without offset.
    rotations: the set.
    group: name of the group of rotations that act on the samples.
    """

    index: Int[Array, " panel"]
    cluster: Int[Array, " panel"]
    quaternion: Float[Tensor, "panel replicate node 4"]
    rotations: RotationSet
    group: str

    @property
    def flat(self) -> Float[Tensor, "panel rotation 4"]:
        """All rotations of each sample, replicate after replicate."""
        return self.quaternion.flatten(1, 2)

    def by_replicate(self, gram: Float[Array, "*b rotation rotation"]) -> Float[Array, "*b r n r n"]:
        """Gram matrix with each rotation axis unfolded into replicate and node."""
        R, n = self.quaternion.shape[1:3]
        return gram.reshape(*gram.shape[:-2], R, n, R, n)


def panel_of(
    index: Int[Array, " sample"], settings: TwirlSettings, group: str = "SO3", cluster: Clusters = None
) -> Panel:
    """Panel of a measurement, with a random subset of its samples, which are ascending."""
    random = np.random.default_rng([settings.seed, 1])
    chosen = np.sort(random.choice(index, min(settings.panel, len(index)), replace=False))
    place = np.searchsorted(index, chosen)
    cluster = place if cluster is None else cluster[place]
    if group in rotation_sets.FINITE_GROUPS:
        whole = rotation_sets.rotation_set(rotation_sets.FINITE_GROUPS[group])
        return Panel(chosen, cluster, whole.quaternion.expand(len(chosen), 1, -1, -1), whole, group)
    return panel_under(chosen, cluster, settings.panel_set, settings.panel_replicates, settings)


def panel_under(
    index: Int[Array, " panel"], cluster: Int[Array, " panel"], name: str, replicates: int, settings: TwirlSettings
) -> Panel:
    """Panel of these samples under replicates of the named set, or under independent rotations."""
    generator = torch.Generator().manual_seed(settings.seed + 1)
    if count := INDEPENDENT.get(name):
        quaternion = so3.haar(len(index), replicates, count, generator=generator)
        weight = torch.full((count,), 1 / count, dtype=torch.float64)
        return Panel(index, cluster, quaternion, RotationSet(name, quaternion[0, 0], weight, 0), "SO3")
    chosen = rotation_sets.rotation_set(name)
    quaternion = rotation_sets.randomised(chosen, len(index), replicates, generator)
    return Panel(index, cluster, quaternion, chosen, "SO3")


def panel_steps(steps: Sequence[int], settings: TwirlSettings) -> list[int]:
    """The checkpoints of these, ascending, at which the panel is measured."""
    return chosen_steps(steps, [], settings.panel_checkpoints, "twirl")


def panel_products(evaluation: Evaluation, panel: Panel, centred: bool = False) -> Products:
    """Inner products of the panel, `weighted` included."""
    return with_weighted(evaluation.task, inner_products(evaluation, panel.index, panel.flat, centred=centred))


def measure_panel(evaluation: Evaluation, panel: Panel) -> tuple[Products, LieError | None]:
    """Inner products of the panel, and its Lie-derivative error.

    The error is measured at the first rotation of each replicate. A finite group has no Lie derivative.
    """
    products = panel_products(evaluation, panel)
    if panel.group in rotation_sets.FINITE_GROUPS:
        return products, None
    first = panel.quaternion[:, :, 0]
    try:
        derivative = lie_error(evaluation, panel.index, first)
    except UserError as error:  # central differences need no forward mode
        print(f"Lie derivative by central differences: {error}", flush=True)
        derivative = lie_error(evaluation, panel.index, first, method="difference")
    return products, derivative


def panel_dataset(panel: Panel, measured: list[tuple[Products, LieError | None]]) -> xr.Dataset:
    """Dataset of the panel at these checkpoints; of Gram matrices the upper triangles."""
    products, derivatives = [m[0] for m in measured], [m[1] for m in measured if m[1] is not None]
    found = xr.Dataset(
        {
            "panel_gram": (("step", "term", "panel", "pair"), np.stack([upper_triangles(p["gram"]) for p in products])),
            "panel_cross": (("step", "term", "panel", "panel_rotation"), np.stack([p["cross"] for p in products])),
            "panel_square": (("term", "panel"), products[0]["square"]),
            "panel_quaternion": (("panel", "panel_rotation", "wxyz"), panel.flat.numpy()),
            "panel_sample": (("panel",), panel.index.astype(np.int64)),
            "panel_cluster": (("panel",), panel.cluster.astype(np.int32)),
        },
        attrs={
            "panel_set": panel.rotations.name,
            "panel_replicates": panel.quaternion.shape[1],
        },
    )
    if "centred_square" in products[0]:
        centred = np.stack([p["centred_square"] for p in products])
        found = found.assign(panel_centred_square=(("step", "term", "panel"), centred))
    if derivatives:
        lie = np.stack([np.stack(list(d.values.values())) for d in derivatives])
        found = found.assign(panel_lie_error=(("step", "term", "panel"), lie))
        found.attrs["lie_method"] = "; ".join(sorted({d.method for d in derivatives}))
    return found


def upper_triangles(gram: Float[Array, "*b n n"]) -> Float[Array, "*b pair"]:
    """Upper triangles of symmetric matrices, row by row."""
    return gram[(..., *np.triu_indices(gram.shape[-1]))]


def symmetric_matrices(pairs: Float[Array, "*b pair"], size: int) -> Float[Array, "*b n n"]:
    """Symmetric matrices from their upper triangles, row by row."""
    row, column = np.triu_indices(size)
    gram = np.empty((*pairs.shape[:-1], size, size))
    gram[..., row, column] = pairs
    gram[..., column, row] = pairs
    return gram


def summarise_panel(data: xr.Dataset, panel: Panel, settings: TwirlSettings) -> xr.Dataset:
    """The dataset with spectrum, Lie-derivative error and effective degree added, with errors over clusters."""
    if panel.group in rotation_sets.FINITE_GROUPS:
        every = np.stack([error_gram(data, step) for step in range(data.sizes["step"])])
        return panel_octahedral.summarise(data, every, panel.rotations.quaternion)
    weight, rotations, q, equiv = panel.rotations.weight.numpy(), panel.flat.numpy(), [], []
    highest = settings.highest_degree
    for step in range(data.sizes["step"]):
        gram, shift = _fitted_gram(data, step)
        every = np.broadcast_to(rotations, (len(gram), *rotations.shape))
        q.append(degree_spectrum.spectrum_fit(gram, every, highest, highest + EXTRA_DEGREES))
        q[-1][..., 0] += shift
        design = panel.by_replicate(gram)
        equiv.append(loss_split.split_design(design, np.zeros(design.shape[:-2]), 0.0, weight).equiv)
    both = ("step", "term")
    spectrum, equiv = np.swapaxes(np.stack(q), -1, -2), np.stack(equiv)
    if "panel_lie_error" not in data:
        data = data.assign(panel_lie_error=((*both, "panel"), degree_spectrum.casimir(np.stack(q))))
        data.attrs["lie_method"] = "spectrum"
    lie = data["panel_lie_error"].values
    whole = equiv.mean(-1)
    ends = bootstrap.interval(lie, equiv, settings.resamples, settings.seed, panel.cluster)
    found = {
        "spectrum": ((*both, "degree"), spectrum.mean(-1)),
        "spectrum_error": ((*both, "degree"), bootstrap.standard_error(spectrum, panel.cluster)),
        "spectrum_remainder": (both, degree_spectrum.remainder(spectrum.mean(-1), whole)),
        "panel_loss_equiv": (both, whole),
        "lie_error": (both, lie.mean(-1)),
        "lie_error_error": (both, bootstrap.standard_error(lie, panel.cluster)),
    }
    ratios = (lie.mean(-1) / np.where(whole > 0, whole, np.nan), *ends)
    found |= {f"effective_degree{e}": (both, _degree(v)) for e, v in zip(ENDS, ratios, strict=True)}
    return data.assign(found).assign_coords(degree=np.arange(settings.highest_degree + 1))


def _fitted_gram(data: xr.Dataset, step: int) -> tuple[Float[Array, "term panel n n"], Values]:
    """Gram matrix whose spectrum is fitted, and the difference of its q_0 from the twirled prediction error.

    Of centred predictions it is their own, since the target only adds constants to rows and columns, in which the
    digits of a small error would be lost. Else it is that of the errors.
    """
    if "panel_centred_square" not in data:
        return error_gram(data, step), 0.0
    gram = symmetric_matrices(data["panel_gram"].values[step], data.sizes["panel_rotation"])
    return gram, data["panel_centred_square"].values[step] - 2 * data["panel_cross"].values[step].mean(-1)


def error_gram(data: xr.Dataset, step: int) -> Float[Array, "term panel rotation rotation"]:
    """Inner products of the errors z_i - y at one checkpoint."""
    gram = symmetric_matrices(data["panel_gram"].values[step], data.sizes["panel_rotation"])
    square = (
        data["panel_centred_square"].values[step] if "panel_centred_square" in data else data["panel_square"].values
    )
    return degree_spectrum.error_gram(gram, data["panel_cross"].values[step], square)


def _degree(ratio: Array) -> Array:
    """Degree l with l (l + 1) = ratio; 0 for the negative ends of wide intervals."""
    return np.sqrt(np.maximum(ratio, 0) + 0.25) - 0.5


def twirling_losses(
    data: xr.Dataset, panel: Panel, settings: TwirlSettings, measured: Iterable[tuple[str, Array]]
) -> xr.Dataset:
    """Loss of test-time twirling at the last checkpoint: predicted for every set of rotations, measured for a few.

    Predicted is the twirled prediction error of the panel plus SUM_l q_l alpha_l. Measured is the loss of the mean over
    the set, at random orientations, on the same samples. Empty for a finite group: the prediction is exact there, and
    `summarise_panel` adds it.

    Args:
        measured: names of sets and losses of the mean over each, by term and sample.
    """
    if panel.group in rotation_sets.FINITE_GROUPS:
        return xr.Dataset()
    last = data.isel(step=-1)
    q, equiv, mean = last["spectrum"].values, last["panel_loss_equiv"].values, last["spectrum"].values[:, 0]
    names, passes, columns = list(rotation_sets.DEGREES), [], []
    for name in names:
        chosen = rotation_sets.rotation_set(name)
        left = degree_spectrum.twirling_residual(
            q, chosen.alpha(4 * settings.highest_degree), equiv, float((chosen.weight**2).sum())
        )
        columns.append([mean + part for part in left])
        passes.append(len(chosen))
    for name, count in INDEPENDENT.items():
        names.append(name)
        columns.append([degree_spectrum.twirled_loss(mean, equiv, count)] * 3)  # exact for any spectrum
        passes.append(count)
    each = np.full((len(names), len(q), len(panel.index)), np.nan)
    for name, losses in measured:
        each[names.index(name)] = losses
    predicted = dict(zip(("", "_low", "_high"), np.moveaxis(np.array(columns), 1, 0), strict=True))
    found = {f"twirled_loss_predicted{k}": (("rotation_set", "term"), v) for k, v in predicted.items()}
    found["panel_twirled_loss"] = (("rotation_set", "term", "panel"), each)
    found["twirled_loss"] = (("rotation_set", "term"), each.mean(-1))
    found["twirled_loss_error"] = (("rotation_set", "term"), bootstrap.standard_error(each, panel.cluster))
    single = np.einsum("tprr->tpr", error_gram(data, -1)).mean(-1)
    found["panel_single_loss"] = (("term", "panel"), single)
    found["passes"] = (("rotation_set",), np.array(passes, np.int64))
    return xr.Dataset(found, {"rotation_set": np.array(names, object), "term": data["term"].values})


def _replicate_count(name: str, settings: TwirlSettings) -> int:
    """Number of replicates: that of the panel, more for few independent rotations, 1 for `I`; so costs are similar."""
    count = settings.panel_replicates
    return 4 * count // INDEPENDENT[name] if name in INDEPENDENT else 1 if name == "I" else count


def measured_losses(evaluation: Evaluation, panel: Panel, settings: TwirlSettings) -> Iterator[tuple[str, Array]]:
    """Name of each measured set, and the losses under new orientations of it."""
    for name in MEASURED_SETS:
        design = panel_under(panel.index, panel.cluster, name, _replicate_count(name, settings), settings)
        products = with_weighted(evaluation.task, inner_products(evaluation, design.index, design.flat))
        errors = degree_spectrum.error_gram(products["gram"], products["cross"], products["square"])
        yield name, set_losses(design.by_replicate(errors), design.rotations.weight.numpy())


def set_losses(errors: Float[Array, "term panel r n r n"], weight: Float[Array, " n"]) -> Array:
    """Loss of the mean over the set, per term and sample, averaged over replicates."""
    own = np.einsum("...rirj->...rij", errors)
    return (own @ weight @ weight).mean(-1)


def kept_predictions(
    evaluation: Evaluation, panel: Panel, settings: TwirlSettings
) -> list[Float[Array, "kept rotation component"]]:
    """Twisted predictions of the first samples of the panel, terms concatenated; empty if none are to be stored.

    They let other statistics be computed later without the model. Predictions on grids are too large to store.
    """
    count, terms = min(settings.kept, len(panel.index)), evaluation.task.terms
    if not count or any(action.field_and_irreps(t.irreps)[0] for t in terms):
        return []
    z = twisted_predictions(evaluation, panel.index[:count], panel.flat[:count])
    return [np.concatenate([z[t.name].flatten(2).cpu().numpy() for t in terms], -1).astype(np.float32)]
