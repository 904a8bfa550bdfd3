"""Arrays of the store `layers`: steerability of features, created error by layer, relative stability, attention.

Dimensions beside the shared ones: `feature` (a tensor that a module returns), `eigenvalue` (of the Casimir), `cut` (the
part of the network up to and with a module, `after` the last one), `attention` (a module), `head`.
"""

from __future__ import annotations

from .coordinates import COORDINATES
from .declaration import declared as _v

LIE = "Gruver et al., arXiv:2210.02984"
STABILITY = "Petrini et al., arXiv:2105.02468"
_F, _S, _C = "step feature", "step feature degree", "step cut term"

LAYERS = COORDINATES | {
    "feature": _v("feature", "str", "1", "module, and field or place of the tensor if the module returns several"),
    "cut": _v("cut", "str", "1", "module that creates a part of the error; `after` stands for all after the last one"),
    "attention": _v("attention", "str", "1", "path of a module with queries and keys"),
    "feature_variance": _v(_F, "float64", "1", "variance of the features about their mean, summed over components"),
    "feature_rate": _v(
        _F, "float64", "1", "SUM_a |L_a h|^2 over the variance: l (l + 1) for features of degree l", LIE
    ),
    "feature_defect": _v(
        _F, "float64", "1", "SUM_a |L_a h - A_a h|^2 over the variance, on samples that A was not fitted on"
    ),
    "feature_commutator": _v(
        _F, "float64", "1", "|[A_a, A_b] - A_c|^2 over |A_c|^2, summed over axes; NaN for features that do not rotate"
    ),
    "feature_components": _v("feature", "int64", "1", "number of components of the features"),
    "feature_rank": _v(_F, "int64", "1", "number of principal directions whose variance is not negligible"),
    "feature_casimir": _v(
        "step feature eigenvalue",
        "float64",
        "1",
        "eigenvalues of the Casimir -SUM_a A_a^2, real parts, ascending: l (l + 1) for steerable features of degree l",
    ),
    "feature_direction_defect": _v(
        "step feature eigenvalue", "float64", "1", "feature_defect of the direction of each eigenvalue"
    ),
    "feature_multiplicity": _v(
        _S, "float64", "1", "steerable directions of a degree over 2 l + 1: copies of the irreducible representation"
    ),
    "feature_share": _v(_S, "float64", "1", "share of the variance in the steerable directions of a degree"),
    "feature_unsteerable": _v(_F, "float64", "1", "share of the variance in directions that are not steerable"),
    "feature_spectrum": _v(
        _S, "float64", "1", "share of the variance of features over samples and rotations, by degree; unbiased"
    ),
    "feature_spectrum_error": _v(_S, "float64", "1", "standard error of feature_spectrum over clusters"),
    "feature_spectrum_remainder": _v(_F, "float64", "1", "share of the variance above the highest degree"),
    "created_share": _v(_C, "float64", "1", "share of layers_lie_error that a layer creates; they sum to 1", LIE),
    "created_size": _v(_C, "float64", "1", "square of the error that a layer creates, over layers_lie_error"),
    "patched_share": _v(
        _C, "float64", "1", "share of the squared change under a random rotation that a layer creates, by patching"
    ),
    "patched_size": _v(_C, "float64", "1", "square of the part that a layer creates, over the squared change"),
    "layers_lie_error": _v("step term", "float64", "1", "Lie-derivative error of the same samples", LIE),
    "layers_loss_equiv": _v("step term", "float64", "1", "equivariance error of the same samples, by patching"),
    "stability": _v(
        "step term",
        "float64",
        "1",
        "layers_lie_error over the squared response to random displacements as long as the rotations",
        STABILITY,
    ),
    "attention_anisotropy": _v(
        "step attention head", "float64", "1", "mean Casimir of the products of queries and keys; 0 if invariant"
    ),
    "attention_random": _v("step attention", "float64", "1", "the same for random products"),
    "attention_defect": _v("step attention", "float64", "1", "larger feature_defect of the inputs of queries and keys"),
}

for _name in ("created_share", "patched_share", "stability"):
    for _end in ("low", "high"):
        LAYERS[f"{_name}_{_end}"] = _v(
            " ".join(LAYERS[_name].dims), "float64", "1", f"{_end} end of the 95 % interval of {_name}, over clusters"
        )
