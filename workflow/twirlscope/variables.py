"""Every array that is ever stored: name, dimensions, dtype, unit, meaning, source. `store.save` refuses any other.

Dimensions are singular words. `step` training step, `sample`, `atom` (all atoms of all samples one after another, in
the order of the samples), `xyz`, `rotation`, `term` (a term of the loss, or `weighted`, their weighted sum), `part`
(`mean` or `equiv`, the two parts of the loss, `total`, their sum, `mean_plugin` where `mean` is corrected for its
bias), `curvature` (`hessian` or `gauss_newton`), `layer` (the module that owns parameters, or `whole`, all of them),
`batch` (independent samples), `ritz` and `probe` of a Lanczos run, `measure` of a spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

MATH = "Shen, Nowara, Maser, Cho, TMLR 12/2025, arXiv:2512.02303"
LIE = "Gruver et al., arXiv:2210.02984"
NOISE = "McCandlish et al., arXiv:1812.06162"
LANCZOS = "Golub and Meurant, Matrices, Moments and Quadrature (2010), chapters 4 and 6"


@dataclass(frozen=True)
class Variable:
    """A declared array: dimensions in order, numpy dtype, unit (UDUNITS), one line of meaning, where it comes from."""

    dims: tuple[str, ...]
    dtype: str
    unit: str
    meaning: str
    source: str = ""


def _v(dims: str, dtype: str, unit: str, meaning: str, source: str = "") -> Variable:
    return Variable(tuple(dims.split()), dtype, unit, meaning, source)


COORDINATES = {
    "step": _v("step", "int64", "1", "training step: number of optimiser updates before this checkpoint"),
    "term": _v("term", "str", "1", "term of the loss; `weighted` is the weighted sum of all terms"),
    "sample": _v("sample", "int64", "1", "index of the sample in the dataset"),
    "xyz": _v("xyz", "str", "1", "Cartesian axis"),
    "element": _v("element", "int64", "1", "atomic number"),
    "rotation_set": _v("rotation_set", "str", "1", "name of a set of rotations"),
    "degree": _v("degree", "int64", "1", "degree l of the Wigner matrices"),
    "convex": _v("convex", "str", "1", "a loss split by jackknife; `training`: every term with its training loss"),
    "merit": _v("merit", "str", "1", "name of a figure of merit"),
    "view": _v("view", "str", "1", "what is shown of a field"),
    "irrep": _v("irrep", "str", "1", "irreducible representation of the octahedral group"),
    "test_set": _v("test_set", "str", "1", "name of a split of the data that the last checkpoint was tested on"),
    "layer": _v("layer", "str", "1", "path of the module that owns the parameters; `whole` is all of them"),
    "split_part": _v("split_part", "str", "1", "part of the loss: mean or equiv"),
    "product": _v("product", "str", "1", "the two parts whose gradients are multiplied, of batch and of batch_other"),
    "part": _v(
        "part", "str", "1", "part of the loss: mean (twirled prediction error), equiv (equivariance error) or total"
    ),
    "curvature": _v("curvature", "str", "1", "matrix: Hessian or Gauss-Newton matrix of the part of the loss"),
    "side": _v("side", "str", "1", "eigenvalues that count: all by magnitude, or the positive ones alone"),
    "measure": _v("measure", "str", "1", "condition number or rank"),
    "replicate": _v("replicate", "str", "1", "half of the samples: at even or odd places"),
}

FRAMES = {
    "numbers": _v("atom", "int16", "1", "atomic number"),
    "positions": _v("atom xyz", "float32", "angstrom", "position of the atom"),
    "forces": _v("atom xyz", "float32", "eV angstrom-1", "force on the atom; NaN where only the energy is known"),
    "energy": _v("sample", "float64", "eV", "total energy of the frame"),
    "atoms": _v("sample", "int32", "1", "number of atoms of the sample (of a backbone: CA atoms)"),
    "molecule": _v("sample", "int32", "1", "index of the molecule: frames of one molecule share it"),
    "temperature": _v("sample", "float32", "K", "temperature of the thermostat that made the geometry; NaN if unknown"),
    "split": _v("sample", "int8", "1", "split the sample belongs to, a flag"),
    "sample_molecule": _v("sample", "str", "1", "name of the molecule of the frame; only in the stores of the parts"),
    "molecule_name": _v("molecule_index", "str", "1", "name (SMILES or formula) of each molecule"),
    "reference_energy": _v("element", "float64", "eV", "energy per atom of an element, least squares, train split"),
    "force_scale": _v("", "float64", "eV angstrom-1", "root mean square force component of the train split"),
    "energy_scale": _v("", "float64", "eV", "standard deviation of energy per atom less references, train split"),
}

BACKBONES = {
    "ca_positions": _v("atom xyz", "float32", "nm", "position of the CA atom of a residue, from the mean of its chain"),
    "chain_break": _v("atom", "int8", "1", "1 where residues are missing after this one"),
    "chain": _v("sample", "str", "1", "name of the chain"),
    "sequence": _v("sample", "str", "1", "one letter a residue, X for an unknown one; empty where there is none"),
    "cluster": _v("sample", "int32", "1", "index of the cluster of similar sequences that the chain belongs to"),
}

REJECTS = {
    "reject_source": _v("reject", "str", "1", "file or molecule of a record that cannot be used"),
    "reject_index": _v("reject", "int64", "1", "index of the record in its source"),
    "reject_reason": _v("reject", "str", "1", "why the record cannot be used"),
}

TRAIN = {
    "loss": _v("update", "float32", "1", "training loss of the batch, weighted sum of the terms"),
    "gradient_norm": _v("update", "float32", "1", "norm of the gradient before clipping"),
    "learning_rate": _v("update", "float32", "1", "learning rate of the update"),
    "checkpoint_file": _v("step", "str", "1", "file name of the checkpoint, in the folder named by the attribute"),
    "checkpoint_sha256": _v("step", "str", "1", "SHA-256 of the checkpoint file"),
    "update_file": _v("step", "str", "1", "file of the optimiser's last update before the checkpoint; empty at step 0"),
    "update_sha256": _v("step", "str", "1", "SHA-256 of the file of the update"),
}

TWIRL = {
    "gram": _v("step term sample rotation rotation_other", "float64", "1", "products of twisted predictions", MATH),
    "cross": _v("step term sample rotation", "float64", "1", "inner product of twisted prediction and target", MATH),
    "square": _v("term sample", "float64", "1", "inner product of the target with itself"),
    "quaternion": _v("sample rotation wxyz", "float64", "1", "rotation, the same at every step, scalar first"),
    "parity": _v("rotation", "int8", "1", "1 for a rotation, -1 for a rotoreflection (the rotation, then inversion)"),
    "sample_loss_total": _v("step term sample", "float64", "1", "total loss of a sample, mean over rotations", MATH),
    "sample_loss_mean": _v("step term sample", "float64", "1", "twirled prediction error of a sample, unbiased", MATH),
    "sample_loss_equiv": _v("step term sample", "float64", "1", "equivariance error of a sample, unbiased", MATH),
    "loss_total": _v("step term", "float64", "1", "total loss, mean over samples and rotations", MATH),
    "loss_mean": _v("step term", "float64", "1", "twirled prediction error: loss of the twirled prediction", MATH),
    "loss_equiv": _v("step term", "float64", "1", "equivariance error: total less mean", MATH),
    "percent_equiv": _v("step term", "float64", "percent", "100 loss_equiv / loss_total, a ratio of means", MATH),
    "learned_fraction": _v("step term", "float64", "1", "1 - loss_total / loss_zero"),
    "loss_zero": _v("term", "float64", "1", "loss of a prediction of zero"),
    "loss_equiv_floor": _v("step term", "float64", "1", "what rounding and turning contribute, whatever the model"),
    "trivial": _v("step term", "bool", "1", "learned fraction below the threshold: a small percent means nothing here"),
}
PANEL, SETS = "step term panel", "rotation_set term"
TWIRL |= {
    "panel_gram": _v(f"{PANEL} pair", "float32", "1", "products of twisted predictions, upper triangle by rows", MATH),
    "panel_cross": _v(f"{PANEL} panel_rotation", "float64", "1", "product of twisted prediction and target", MATH),
    "panel_square": _v("term panel", "float64", "1", "inner product of the target with itself"),
    "panel_quaternion": _v(
        "panel panel_rotation wxyz", "float64", "1", "rotation of the panel, replicate by replicate"
    ),
    "panel_sample": _v("panel", "int64", "1", "index in the dataset of a sample of the panel"),
    "spectrum": _v(
        "step term degree", "float64", "1", "part of the squared prediction in a degree; from 1 on error", MATH
    ),
    "spectrum_error": _v("step term degree", "float64", "1", "standard error of the spectrum over samples"),
    "spectrum_remainder": _v("step term", "float64", "1", "equivariance error of the panel beyond the highest degree"),
    "merit_value": _v("step merit", "float64", "1", "figure of merit of the predictions, mean over samples"),
    "slice_value": _v(
        "look view row column", "float32", "1", "slice through fields of a sample at the last checkpoint, a view each"
    ),
    "irrep_spectrum": _v(
        "step term irrep", "float64", "1", "part of the error in an irrep of the octahedral group; all but A1 is equiv"
    ),
    "irrep_spectrum_error": _v("step term irrep", "float64", "1", "its standard error over samples"),
    "panel_loss_equiv": _v("step term", "float64", "1", "equivariance error of the panel, randomised design", MATH),
    "lie_error": _v("step term", "float64", "1", "Lie-derivative error: sum of l (l + 1) times the spectrum", LIE),
    "lie_error_error": _v("step term", "float64", "1", "standard error of the Lie-derivative error over samples"),
    "effective_degree": _v("step term", "float64", "1", "l with l (l + 1) = lie_error / panel_loss_equiv", LIE),
    "panel_lie_error": _v(PANEL, "float64", "1", "Lie-derivative error of a sample, mean over its replicates", LIE),
    "panel_prediction": _v(
        "step kept panel_rotation component", "float32", "1", "twisted predictions of the first samples of the panel"
    ),
    "twirled_loss_predicted": _v(f"{SETS}", "float64", "1", "loss of twirling with the set, from the spectrum", MATH),
    "twirled_loss_predicted_low": _v(f"{SETS}", "float64", "1", "its low end: what lies beyond the highest degree"),
    "twirled_loss_predicted_high": _v(f"{SETS}", "float64", "1", "its high end: what lies beyond the highest degree"),
    "twirled_loss": _v(f"{SETS}", "float64", "1", "loss of twirling with the set, measured on the panel; NaN if not"),
    "twirled_loss_error": _v(f"{SETS}", "float64", "1", "its standard error over samples"),
    "passes": _v("rotation_set", "int64", "1", "rotations of the set: forward passes of test-time twirling"),
    "element_loss_total": _v("step element", "float64", "1", "share of an element in the total loss of its term", MATH),
    "element_loss_equiv": _v("step element", "float64", "1", "share of an element in the equivariance error", MATH),
}
SET = "term set_sample"
TWIRL |= {
    "set_samples": _v("test_set", "int64", "1", "number of samples of the test set that were measured"),
    "set_number": _v("set_sample", "int16", "1", "test set of the sample, its place among them; last checkpoint"),
    "set_index": _v("set_sample", "int64", "1", "index in the dataset of a sample of the test sets"),
    "set_loss_total": _v(SET, "float64", "1", "total loss of a sample; NaN where it has no target", MATH),
    "set_loss_mean": _v(SET, "float64", "1", "twirled prediction error of a sample of the test sets, unbiased", MATH),
    "set_loss_equiv": _v(SET, "float64", "1", "equivariance error of a sample of the test sets, unbiased", MATH),
    "set_absolute": _v(SET, "float64", "1", "mean absolute component of the error of a sample, over rotations"),
}
JACKKNIFE = "Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 10"
for _name in ("loss_total", "loss_mean", "loss_equiv"):
    _meaning = TWIRL[_name].meaning
    TWIRL[f"o3_{_name}"] = _v("step term", "float64", "1", f"{_meaning}; over O(3) instead of SO(3)", MATH)
    _meaning = f"{_meaning.split(':')[0]} of another loss than the squared error"
    TWIRL[f"convex_{_name}"] = _v("step convex term", "float64", "1", _meaning, JACKKNIFE)
    TWIRL[f"sample_convex_{_name}"] = _v("step convex term sample", "float64", "1", f"{_meaning}, a sample", JACKKNIFE)
OTHER = "another loss than the squared error"
TWIRL |= {
    "o3_percent_equiv": _v("step term", "float64", "percent", "100 o3_loss_equiv / o3_loss_total, a ratio of means"),
    "o3_reflection_error": _v(
        "step term", "float64", "1", "part of o3_loss_equiv between the twirled predictions of both halves of O(3)"
    ),
    "convex_percent_equiv": _v("step convex term", "float64", "percent", f"100 equiv / total of {OTHER}"),
    "convex_learned_fraction": _v("step convex term", "float64", "1", f"1 - total / loss of zero of {OTHER}"),
    "convex_loss_zero": _v("convex term", "float64", "1", f"loss of a prediction of zero in {OTHER}"),
    "sample_convex_loss_zero": _v("convex term sample", "float64", "1", f"loss of zero of a sample in {OTHER}"),
}
WITH_INTERVAL = ("loss_total", "loss_mean", "loss_equiv", "percent_equiv", "learned_fraction", "effective_degree")
for _name in [
    *WITH_INTERVAL,
    *(n for n in TWIRL if n.startswith(("o3_", "convex_")) and n != "convex_loss_zero"),
]:
    for _end in ("low", "high"):
        _meaning = f"{_end} end of the 95 % interval of {_name}, by sample"
        TWIRL[f"{_name}_{_end}"] = _v(" ".join(TWIRL[_name].dims), "float64", TWIRL[_name].unit, _meaning)

MATRIX, NUMBER = "step curvature part", "step curvature part side measure"
HESSIAN = {
    "eigenvalue_top": _v(f"{MATRIX} rank", "float64", "1", "largest eigenvalues, descending", LANCZOS),
    "eigenvalue_bottom": _v(f"{MATRIX} rank", "float64", "1", "smallest eigenvalues, ascending", LANCZOS),
    "ritz_value": _v(f"{MATRIX} ritz", "float64", "1", "nodes of the spectral density", LANCZOS),
    "ritz_error": _v(f"{MATRIX} ritz", "float64", "1", "residual bound: some eigenvalue lies within it", LANCZOS),
    "ritz_weight": _v(f"{MATRIX} ritz probe", "float64", "1", "share of a probe at the node, sum 1", LANCZOS),
    "ritz_weight_deflated": _v(
        f"{MATRIX} ritz probe", "float64", "1", "share of the parameters at the node: converged ones count one each"
    ),
    "half_ritz_value": _v(f"{MATRIX} ritz_half", "float64", "1", "nodes of the same run at half its depth", LANCZOS),
    "half_ritz_weight_deflated": _v(f"{MATRIX} ritz_half probe", "float64", "1", "share of the parameters at these"),
    "trace": _v(MATRIX, "float64", "1", "trace: exact on the Lanczos basis, estimated outside it"),
    "trace_error": _v(MATRIX, "float64", "1", "standard error of the trace over probes"),
    "condition": _v(NUMBER, "float64", "1", "condition number or rank, as `definition` says"),
    "condition_error": _v(NUMBER, "float64", "1", "its standard error over probes, jackknife; NaN for too few"),
    "condition_depth_bias": _v(NUMBER, "float64", "1", "its value less that of the run at half its depth"),
    "condition_converged": _v(NUMBER, "bool", "1", "whether half the depth gave the same, to 15 percent"),
    "condition_replicate": _v(f"{NUMBER} replicate", "float64", "1", "of each half of the samples, at half the depth"),
    "condition_ratio": _v("step curvature side measure", "float64", "1", "of the mean over the equivariance part"),
    "condition_ratio_low": _v("step curvature side measure", "float64", "1", "low end of its 95 percent interval"),
    "condition_ratio_high": _v("step curvature side measure", "float64", "1", "high end of its 95 percent interval"),
    "definition": _v("measure", "str", "1", "definition of the condition number or rank"),
    "products": _v(MATRIX, "int64", "1", "matrix-vector products, those for the halves of the samples included"),
    "rank_bound": _v("part", "int64", "1", "largest rank of the Gauss-Newton matrix: components of the predictions"),
    "loss_value": _v("step part", "float64", "1", "the part of the loss whose curvature it is, on the same samples"),
    "certificate_error": _v(MATRIX, "float64", "1", "matrix-vector product against central differences, float64"),
    "precision_error": _v("step part", "float64", "1", "Hessian-vector product in the working dtype against float64"),
    "parameters": _v("", "int64", "1", "number of parameters"),
}
for _name in ("eigenvalue_top", "eigenvalue_bottom"):
    HESSIAN[f"{_name}_error"] = _v(f"{MATRIX} rank", "float64", "1", "residual bound of each of them", LANCZOS)
    HESSIAN[f"{_name}_converged"] = _v(f"{MATRIX} rank", "bool", "1", "whether the bound is below 0.001 of the value")

GRADIENT = {
    "gradient_gram": _v(
        "step layer product batch batch_other", "float64", "1", "products of gradients of two parts on two batches"
    ),
    "update_product": _v("step layer split_part batch", "float64", "1", "products of the update and a gradient"),
    "update_square": _v("step layer", "float64", "1", "squared length of the update that led to the checkpoint"),
    "batch_loss": _v("step split_part batch", "float64", "1", "both parts of the loss of a batch, unbiased", MATH),
    "identity_error": _v("step", "float64", "1", "gradient of total less those of its parts, relative, second road"),
    "layer_parameters": _v("layer", "int64", "1", "number of trained parameters of the layer"),
    "gradient_square": _v("step layer part", "float64", "1", "squared norm of the gradient, unbiased"),
    "gradient_inner": _v("step layer", "float64", "1", "product of the gradients of mean and equiv, unbiased"),
    "gradient_cosine": _v("step layer", "float64", "1", "cosine of the gradients of mean and equiv; NaN if no norm"),
    "gradient_square_ratio": _v("step layer", "float64", "1", "squared norms of gradients, equiv over mean"),
    "gradient_norm_ratio": _v("step layer", "float64", "1", "its root; NaN where a square is negative by noise"),
    "gradient_variance": _v("step layer part", "float64", "1", "trace of a sample's gradient covariance", NOISE),
    "noise_scale": _v("step layer part", "float64", "1", "gradient_variance over gradient_square, in samples", NOISE),
    "gradient_loss": _v("step part", "float64", "1", "loss on the samples of the gradients, unbiased", MATH),
    "relative_equiv": _v("step", "float64", "1", "equivariance error over total loss, on the same samples", MATH),
    "update_change": _v("step layer part", "float64", "1", "first-order change of the loss along the update"),
    "update_share": _v("step layer", "float64", "1", "update_change of equiv over that of total"),
}
for _name in [n for n in GRADIENT if n.startswith(("gradient_", "relative_", "noise_", "update_"))]:
    if _name not in ("gradient_gram", "update_product", "update_square"):
        GRADIENT[f"{_name}_error"] = _v(
            " ".join(GRADIENT[_name].dims), "float64", "1", f"jackknife standard error of {_name} over batches"
        )

VARIABLES = COORDINATES | FRAMES | BACKBONES | REJECTS | TRAIN | TWIRL | HESSIAN | GRADIENT
