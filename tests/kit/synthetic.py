"""Small synthetic stores with known numbers, for the tests of figures and report."""

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from twirlscope.curvature.gradients import Along, dataset_of
from twirlscope.estimators.curvature.condition_numbers import MEASURES, SIDES
from twirlscope.report.inventory import RunFiles
from twirlscope.report.trainings import Training
from twirlscope.stages.gradient import merged
from twirlscope.storage import registry
from twirlscope.twirling import panel_octahedral, prediction_metrics

TERMS = ("weighted", "forces", "energy")
STEPS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000)
PRICED = np.array(STEPS[:-1])  # steps of `priced`
ENDS = ("loss_total", "loss_mean", "loss_equiv", "percent_equiv", "learned_fraction")


def twirl(steps=STEPS, seed=0, speed=1.0, samples=40, trivial=None, percent=None, terms=3):
    """A twirl store: losses that fall as powers of the step; `percent` sets the percentage at every step."""
    random = np.random.default_rng(seed)
    step = np.array(steps, np.int64)
    course = 0.04 + 0.98 / (1 + (step * speed / 60) ** 1.1)
    share = 45 / (1 + (step * speed / 25) ** 1.15) + 0.35 if percent is None else np.array(percent, float)
    total = course[:, None] * np.array([1.0, 1.05, 0.8]) * (1 + 0.02 * random.standard_normal((len(step), 3)))
    equiv = total * share[:, None] / 100 * np.array([1.0, 1.1, 0.7])
    noise = random.lognormal(0, 0.6, samples)
    noise /= noise.mean()
    zero = np.array([1.02, 1.04, 0.98])
    learned = 1 - total / zero
    value = dict(zip(ENDS, (total, total - equiv, equiv, 100 * equiv / total, learned), strict=True))
    data = {k: (("step", "term"), v) for k, v in value.items()}
    for name, half in zip(ENDS, (0.06, 0.06, 0.15, 0.14, 0.03), strict=True):
        width = half if name == "learned_fraction" else half * np.abs(value[name])
        data |= {f"{name}_low": (("step", "term"), value[name] - width)}
        data |= {f"{name}_high": (("step", "term"), value[name] + width)}
    data["loss_zero"] = ("term", zero)
    data["loss_equiv_floor"] = (("step", "term"), np.full_like(total, 3e-13))
    data["sample_loss_equiv"] = (("step", "term", "sample"), equiv[..., None] * noise)
    data["cluster"] = ("sample", np.arange(samples, dtype=np.int32))
    data["sample_loss_mean"] = (("step", "term", "sample"), (total - equiv)[..., None] * np.sqrt(noise))
    flags = learned < 0.1 if trivial is None else np.repeat(np.array(trivial, bool)[:, None], 3, 1)
    data["trivial"] = (("step", "term"), flags)
    coordinates = {"step": step, "term": np.array(TERMS, object), "sample": np.arange(samples, dtype=np.int64)}
    attrs = {
        "rotations": 4,
        "samples": samples,
        "clusters": samples,
        "split": "test",
        "resamples": 1000,
        "trivial_below": 0.1,
        "dtype": "float32",
    }
    attrs |= {"scale_forces": 1.7, "unit_forces": "eV/Å", "scale_energy": 0.05, "unit_energy": "eV/atom"}
    return xr.Dataset(data, coordinates, attrs | {"loss_forces": "mse", "loss_energy": "mse"}).isel(term=slice(terms))


SETS = {"D2": 4, "T": 12, "O": 24, "I": 60, "haar1": 1, "haar2": 2, "haar4": 4}


def spectral(data, seed=0):
    """A twirl store with the variables of the panel: spectra that fall by a factor of three per degree."""
    random, shape = np.random.default_rng(seed), data["loss_equiv"].shape
    equiv, both = data["loss_equiv"].values, ("step", "term")
    falling = 3.0 ** -np.arange(5)
    spectrum = np.concatenate([data["loss_mean"].values[..., None], equiv[..., None] * falling / falling.sum()], -1)
    degree = 1.4 + 0.1 * random.standard_normal(shape)
    found = {
        "spectrum": ((*both, "degree"), spectrum),
        "spectrum_error": ((*both, "degree"), 0.1 * np.abs(spectrum)),
        "panel_loss_equiv": (both, equiv),
        "effective_degree": (both, degree),
        "effective_degree_low": (both, degree - 0.1),
        "effective_degree_high": (both, degree + 0.1),
        "passes": ("rotation_set", np.array(list(SETS.values()), np.int64)),
    }
    left = equiv[-1] * np.array([0.3, 0.1, 0.02, 0.001, 1, 0.5, 0.25])[:, None]
    sets = ("rotation_set", "term")
    for end, factor in (("", 1.0), ("_low", 0.9), ("_high", 1.2)):
        found[f"twirled_loss_predicted{end}"] = (sets, data["loss_mean"].values[-1] + factor * left)
    measured = data["loss_mean"].values[-1] + 1.05 * left
    measured[3] = np.nan
    found |= {"twirled_loss": (sets, measured), "twirled_loss_error": (sets, 0.1 * left)}
    share = random.dirichlet(np.full(6, 20.0)) * 6
    single, frames = data["loss_total"].values[-1], 0.9 * data["loss_total"].values[-1]
    found |= {
        "panel_cluster": ("panel", np.arange(6, dtype=np.int32)),
        "panel_single_loss": (("term", "panel"), single[:, None] * share),
        "panel_twirled_loss": ((*sets, "panel"), measured[..., None] * share),
        "panel_frame_loss": (("term", "panel"), frames[:, None] * share),
        "frame_loss": ("term", frames),
        "frame_loss_error": ("term", 0.1 * frames),
        "frame_loss_equiv": ("term", 1e-13 * frames),
        "frame_change": ("term", 4 * frames),
        "pass_change": ("term", frames),
        "frame_gap": ("panel", np.array([0.01, 0.04, 0.1, 0.2, 0.3, 0.4])),
    }
    data.attrs |= {"frame_close": 0.05, "frame_degenerate": 1e-3, "frame_nudge": 0.01}
    coordinates = {"degree": np.arange(6), "rotation_set": np.array(list(SETS), object)}
    return data.assign(found).assign_coords(coordinates)


def train(updates=3000, seed=0, samples=0):
    """A train store: a noisy falling loss under a cosine learning rate; 0 `samples` means the 15 of `frames`."""
    random = np.random.default_rng(seed)
    update = np.arange(1, updates + 1)
    loss = (0.05 + 1 / (1 + (update / 60) ** 1.1)) * random.lognormal(0, 0.25, updates)
    rate = 1e-3 * np.minimum(update / 100, 0.5 * (1 + np.cos(np.pi * update / updates)) + 1e-3)
    curve = {"loss": loss, "gradient_norm": loss, "learning_rate": rate}
    run = {
        "task": {"name": "force_field", "force_weight": 1.0, "energy_weight": 0.1},
        "model": {"name": "vector_attention", "width": 64, "layers": 4},
        "train": {"steps": updates, "batch": 32, "objective": {"name": "augment"}, "samples": samples, "ema": 0.99}
        | {"learning_rate": 1e-3, "weight_decay": 0.1},
        "seed": seed,
        "dataset": "md",
    }
    attrs = {"run": json.dumps(run), "parameters": 200871, "device": "CPU", "seconds": 83.4, "versions": "{}"}
    attrs["training_samples"] = samples or 15
    attrs |= {"threads": 2, "cost_missing": ""}
    cost = {"flops_update": 3e9, "flops_inference": 4e7, "seconds_update": 0.02, "seconds_inference": 0.002}
    cost |= {"memory_peak": 120.0, "device_hours": 0.02 * updates / 3600, "device_energy": np.nan}
    columns = {k: ("update", v.astype(np.float32)) for k, v in curve.items()}
    return xr.Dataset(columns | {"elapsed": ("update", 0.02 * update)} | cost, attrs=attrs)


def hessian(steps=(0, 100, 3000), seed=0, ritz=60, probes=4, independent=False):
    """A Hessian store: eigenvalues of both signs over many decades, smaller ones for the equivariance error.

    The Gauss-Newton matrix has their magnitudes.
    """
    random = np.random.default_rng(seed)
    parts = ("mean", "mean_plugin", "equiv") if independent else ("mean", "equiv")
    shape = (len(steps), 2, len(parts))
    scale = np.ones(shape) * (1 + np.arange(len(steps)))[:, None, None]
    scale[..., -1] *= 0.08
    value = random.choice([1, 1, 1, -0.2], (*shape, ritz)) * 10.0 ** random.uniform(-7, 1, (*shape, ritz))
    value[:, 1] = np.abs(value[:, 1])
    value = np.sort(value) * scale[..., None]
    weight = random.dirichlet(np.ones(ritz), (*shape, probes)) / (1e-7 + np.abs(value))[..., None, :] ** 0.6
    weight = np.moveaxis(weight / weight.sum(-1, keepdims=True), -2, -1)
    half = weight[..., ::2, :] / weight[..., ::2, :].sum(-2, keepdims=True)
    spread = np.array([1e-4, 1e-2])[np.arange(5) // 2 % 2] * np.ones((*shape, 5))
    number = np.array([40.0, 300.0, 30.0, 15.0, 20.0, 12.0, 8.0, 3.0, 0.3]) * 1.3 ** random.standard_normal(
        (*shape, 2, 9)
    )
    unknown = np.full((*shape, 2, len(MEASURES) - 9), np.nan)  # without all eigenvalues
    number = np.concatenate([number, unknown], -1)
    unsure = random.random(number.shape) < 0.2
    unsure |= np.isnan(number)
    matrix, numbers = ("step", "curvature", "part"), ("step", "curvature", "part", "side", "measure")
    paired = ("step", "curvature", "side", "measure")
    ratio = number[:, :, -2] / number[:, :, -1]
    data = {
        "eigenvalue_top": ((*matrix, "rank"), value[..., ::-1][..., :5].copy()),
        "eigenvalue_top_error": ((*matrix, "rank"), spread * np.abs(value[..., ::-1][..., :5])),
        "eigenvalue_top_converged": ((*matrix, "rank"), spread < 1e-3),
        "eigenvalue_bottom": ((*matrix, "rank"), value[..., :5].copy()),
        "eigenvalue_bottom_error": ((*matrix, "rank"), spread * np.abs(value[..., :5])),
        "eigenvalue_bottom_converged": ((*matrix, "rank"), spread < 1e-3),
        "ritz_value": ((*matrix, "ritz"), value),
        "ritz_weight": ((*matrix, "ritz", "probe"), weight),
        "ritz_weight_deflated": ((*matrix, "ritz", "probe"), weight),
        "half_ritz_value": ((*matrix, "ritz_half"), value[..., ::2].copy()),
        "half_ritz_weight_deflated": ((*matrix, "ritz_half", "probe"), half),
        "trace": (matrix, 30 * scale),
        "trace_error": (matrix, 2 * scale),
        "condition": (numbers, number),
        "condition_error": (numbers, 0.05 * number),
        "condition_depth_bias": (numbers, np.where(unsure, 0.4, 0.05) * number),
        "condition_converged": (numbers, ~unsure),
        "condition_replicate": ((*numbers, "replicate"), number[..., None] * np.array([0.9, 1.2])),
        "condition_ratio": (paired, ratio),
        "condition_ratio_low": (paired, 0.6 * ratio),
        "condition_ratio_high": (paired, 1.7 * ratio),
        "rank_bound": ("part", np.array([500] * (len(parts) - 1) + [5500])),
        "loss_value": (("step", "part"), 0.2 * scale[:, 0]),
        "certificate_error": (matrix, np.full(shape, 2e-9)),
        "parameters": ((), np.int64(200871)),
        "definition": ("measure", np.array([text for _, text in MEASURES.values()], object)),
    }
    coordinates = {"curvature": ("hessian", "gauss_newton"), "part": parts, "side": SIDES, "measure": tuple(MEASURES)}
    coordinates["replicate"] = ("group 1", "group 2")
    coordinates = {k: np.array(v, object) for k, v in coordinates.items()} | {"step": np.array(steps, np.int64)}
    kind = "independent" if independent else "O"
    attrs = {"samples": 64, "rotations": 24, "rotation_set": kind, "probes": probes, "lanczos_steps": 80}
    return xr.Dataset(data, coordinates, attrs)


def exact_hessian(steps=(0, 100, 3000), seed=0, ratio=3.0, groups=4, landscape=5):
    """A Hessian store of all eigenvalues: condition numbers of the mean part are `ratio` times as large."""
    random = np.random.default_rng(seed)
    data = hessian(steps, seed)
    total = data.sel(part=["equiv"]).assign_coords(part=np.array(["total"], object))
    data = xr.concat([data, total], "part", data_vars="minimal").drop_dims("replicate")
    level = {"mean": ratio, "equiv": 1.0, "total": 2.0}
    factor = xr.DataArray([level[str(p)] for p in data["part"].values], {"part": data["part"]})
    shape = {d: data.sizes[d] for d in ("step", "curvature", "part", "side", "measure")}
    data["condition"] = xr.DataArray(np.full(tuple(shape.values()), 50.0), dims=tuple(shape)) * factor
    data["condition_converged"] = data["condition"] > 0
    noise = random.normal(1, 0.05, (*shape.values(), groups))
    data["condition_replicate"] = data["condition"] * xr.DataArray(noise, dims=(*shape, "replicate"))
    data["condition_replicate"] = data["condition_replicate"].transpose(*shape, "replicate")
    for name, factor in (("", 1.0), ("_low", 0.5), ("_high", 2.0)):
        data[f"condition_ratio{name}"] = data["condition"].sel(part="equiv", drop=True) * 0 + ratio * factor
    data = data.assign_coords(replicate=np.array([f"all but group {k + 1}" for k in range(groups)], object))
    attrs = {"samples": 8, "rotations": 4, "rotation_set": "D2", "exact": True, "block": "outer"}
    data.attrs = attrs
    return data.merge(_landscape(data, landscape, random)).assign_attrs(attrs) if landscape else data


def _landscape(data, points, random):
    """Landscapes of a bowl at the last step, with noise on independent draws."""
    shift = np.linspace(-1, 1, points)
    bowl = 1 + shift[:, None] ** 2 + 0.1 * shift**2 + np.zeros((2, data.sizes["part"], points, points))
    bowl[1] += random.normal(size=bowl[1].shape)
    late = np.full(data.sizes["step"], np.nan)
    late[-1] = 1.0
    at = lambda values: late.reshape(-1, *[1] * np.ndim(values)) * values  # noqa: E731
    rough = np.broadcast_to(np.array([1.0, 0.25])[:, None], bowl.shape[:2])
    plane = ("step", "draws", "part")
    found = {
        "landscape_loss": ((*plane, "point_largest", "point_smallest"), at(bowl)),
        "landscape_shift": (("step", "point"), at(shift)),
        "landscape_eigenvalue": (("step", "direction"), at(np.array([2.0, 0.2]))),
    }
    names = ("r_squared", "autocorrelation", "residual_autocorrelation", "residual_spread")
    found |= {f"landscape_{name}": (plane, at(rough)) for name in names}
    coordinates = {"draws": ("common", "independent"), "direction": ("largest", "smallest positive")}
    return xr.Dataset(found, {k: np.array(v, object) for k, v in coordinates.items()})


def gradient(steps=STEPS, seed=0, batches=6, samples=4):
    """A gradient store: products of random gradients of two layers; the equivariance part falls faster."""
    random = np.random.default_rng(seed)
    places, found = {"first": np.arange(30), "last.readout": np.arange(30, 80)}, []
    for step in steps:
        scale = np.array([2 / (1 + step / 1000), 4 / (1 + step / 10)])
        rows = scale[:, None] * (1 + 0.5 * random.normal(size=(batches, 2, 80)))
        change = -0.01 * rows.mean((0, 1))
        products = np.array([rows[..., at] @ change[at] for at in places.values()])  # [layer, batch, part]
        squares = np.array([change[at] @ change[at] for at in places.values()])
        update = None if step == 0 else Along(products.swapaxes(1, 2), squares)
        loss = scale[:, None] * random.uniform(0.4, 0.6, (2, batches))
        found.append(dataset_of(torch.tensor(rows), loss, update, places, samples, 1e-7))
    about = {"samples": batches * samples, "batches": batches, "rotations": 2, "split": "train"}
    return merged(found, list(steps)).assign_attrs(about | {"weights": "as trained"})


def priced(run, equivariant, seed=0, level=2.0, slope=0.3, second=0.01, serve=1e-3, spread=0.05, **changes):
    """A training with loss level * step ** -slope; 40 % of it is equivariance error without built-in symmetry."""
    random = np.random.default_rng([seed, len(run)])
    hard = np.exp(0.3 * np.random.default_rng(7).standard_normal(30))
    course = np.where(PRICED > 0, level * np.maximum(PRICED, 1.0) ** -slope, 3.0) * np.exp(
        spread * random.standard_normal()
    )
    total = course[:, None, None] * np.ones(2)[:, None] * hard / hard.mean()
    share = 1e-9 if equivariant else 0.4
    data = {
        "sample_loss_total": total,
        "sample_loss_mean": (1 - share) * total,
        "sample_loss_equiv": share * total,
    }
    data = {k: (("step", "term", "sample"), v) for k, v in data.items()}
    data["loss_zero"] = ("term", np.full(2, 1.5))
    data["percent_equiv"] = (("step", "term"), np.full((len(PRICED), 2), 100 * share))
    sample = changes.get("sample", np.arange(30))
    coordinates = {"step": PRICED, "term": np.array(["forces", "weighted"], object), "sample": sample}
    twirl = xr.Dataset(data, coordinates, {"trivial_below": 0.1} | changes.get("attrs", {}))
    spec = {"task": {"name": "force_field"}, "model": {}, "train": {}, "seed": seed, "dataset": "md"}
    costs = {
        "elapsed": ("update", second * np.arange(1.0, PRICED[-1] + 1)),
        "flops_update": ((), 1e6 * second),
        "flops_inference": ((), 1e6 * serve),
        "seconds_inference": ((), serve),
    }
    attrs = {"run": json.dumps(spec | changes.get("spec", {})), "training_samples": 100, "device": "CPU"}
    made = xr.Dataset(
        changes.get("costs", costs), attrs=attrs | {"equivariant": equivariant} | changes.get("train", {})
    )
    return Training(run, seed, made, twirl, dataset=changes.get("dataset", "md"))


def families(seeds=(0, 1, 2), built=None, learned=None):
    """Trainings of two runs: built-in symmetry learns faster per update, which costs ten times as much."""
    built = {"level": 10.0, "slope": 0.6, "second": 0.1, "serve": 1e-2} | (built or {})
    plain = [priced("plain", False, s, **(learned or {})) for s in seeds]
    return plain + [priced("exact", True, s, **built) for s in seeds]


def field(run="a", seed=0, fields=True):
    """A training of a task on grids: errors by irrep, task metrics and slices; without `fields` it has none of them."""
    data = twirl(seed=seed)
    if fields:
        random, shape = np.random.default_rng(seed), data["loss_equiv"].shape
        data["irrep_spectrum"] = ((*data["loss_equiv"].dims, "irrep"), random.uniform(0.1, 1, (*shape, 5)))
        data["irrep_spectrum_error"] = 0.1 * data["irrep_spectrum"]
        data["panel_loss_equiv"] = data["irrep_spectrum"][..., 1:].sum("irrep")
        data["merit_value"] = (("step", "merit"), random.uniform(0, 1, (shape[0], 2)))
        data["slice_value"] = (("look", "view", "row", "column"), random.normal(size=(1, 4, 5, 5)).astype(np.float32))
        names = {
            "irrep": list(panel_octahedral.IRREPS),
            "merit": ["atoms found", "atoms made up"],
            "view": prediction_metrics.VIEWS,
        }
        data = data.assign_coords({k: np.array(v, object) for k, v in names.items()})
    return Training(run, seed, train(50, seed), data)


def control(data=None):
    """A training whose equivariance error is rounding error at every checkpoint."""
    data = (twirl() if data is None else data).copy(deep=True)
    for name in ("loss_equiv", "loss_equiv_low", "loss_equiv_high", "percent_equiv", "sample_loss_equiv"):
        data[name] = data[name] * 1e-13
    data["loss_equiv_floor"] = data["loss_equiv"]
    return Training("control", 0, None, data)


LONG = (0, 10, 100, 1000, 10000)  # steps of `claimed`


def claimed(
    percent=1.0,
    half=0.1,
    steps=LONG,
    run="a",
    seed=0,
    task="force_field",
    parameters=1000,
    samples=100,
    built_in=False,
    group="SO3",
    **changes,
):
    """A training that ends at `percent`, give or take `half`; `changes` are to the `train` section of its run."""
    course = [40.0, 20.0, 10.0, 5.0, percent][-len(steps) :]
    data = twirl(steps, percent=course, terms=1, trivial=[False] * len(steps))
    course = np.array(course, float)[:, None]
    width = np.where(np.arange(len(steps)) == len(steps) - 1, half, 0.01 * course[:, 0])[:, None]
    ends = {"percent_equiv": course, "percent_equiv_low": course - width, "percent_equiv_high": course + width}
    data = data.assign({k: (("step", "term"), v) for k, v in ends.items()})
    even = np.resize([-1.0, 1.0], data.sizes["sample"])  # samples with the standard error that `half` stands for
    share = course[..., None] + width[..., None] / 2 * data.sizes["sample"] ** 0.5 * even
    total = data["loss_total"].values[..., None]
    parts = {"equiv": total * share / 100, "mean": total * (1 - share / 100)}
    data = data.assign({f"sample_loss_{k}": (("step", "term", "sample"), v) for k, v in parts.items()})
    data.attrs["group"] = group
    settings = {"objective": {"name": "augment"}, "optimiser": "adamw", "learning_rate": 1e-3, "samples": 0} | changes
    spec = {"dataset": "md", "task": {"name": task}, "model": {"name": "net"}, "train": settings, "seed": seed}
    attrs = {"run": json.dumps(spec), "parameters": parameters, "training_samples": samples, "equivariant": built_in}
    return Training(run, seed, xr.Dataset(attrs=attrs), data, dataset="md")


def frames(rejects=3):
    """A prepared dataset of 20 frames of two molecules, and some rejects."""
    counts = np.arange(5, 25).astype(np.int32)
    split = (
        "sample",
        np.repeat([0, 1], [15, 5]).astype(np.int8),
        {"flag_values": [0, 1], "flag_meanings": "train test"},
    )
    data = {"atoms": ("sample", counts), "split": split, "force_scale": ((), 1.7), "energy_scale": ((), 0.05)}
    data["molecule"] = data["cluster"] = ("sample", np.arange(20, dtype=np.int32) % 2)
    data["molecule_name"] = ("molecule_index", np.array(["CCO", "CC(=O)O"], object))
    data["reject_source"] = ("reject", np.array([f"file{i}.xyz" for i in range(rejects)], object))
    data["reject_index"] = ("reject", np.arange(rejects, dtype=np.int64))
    reasons = ["energy is not finite" if i % 2 else "two atoms at the same place" for i in range(rejects)]
    data["reject_reason"] = ("reject", np.array(reasons, object))
    attrs = {"source": "molecular dynamics of two molecules", "labels": "GFN2-xTB (semiempirical)"}
    return xr.Dataset(data, attrs=attrs)


def save_run(
    folder: Path, run="small", seed=0, with_hessian=True, with_gradient=False, training_samples=0, **course
) -> RunFiles:
    """Write the stores of one training to `folder`; `course` are arguments of `twirl`."""
    place = Path(folder) / f"seed{seed}_{abs(hash(run))}"
    files = {name: place / f"{name}.zarr.zip" for name in ("train", "twirl", "hessian", "gradient")}
    registry.save(train(seed=seed, samples=training_samples), files["train"])
    registry.save(twirl(seed=seed, **course), files["twirl"])
    if with_hessian:
        registry.save(hessian(seed=seed), files["hessian"])
    if with_gradient:
        registry.save(gradient(seed=seed), files["gradient"])
    made = {name: path if path.exists() else None for name, path in files.items()}
    return RunFiles(run, seed, made["train"], made["twirl"], made["hessian"], "md", made["gradient"])


def save_frames(folder: Path) -> dict[str, Path]:
    """Write the dataset `md` to `folder`."""
    path = Path(folder) / "md.zarr.zip"
    registry.save(frames(), path)
    return {"md": path}
