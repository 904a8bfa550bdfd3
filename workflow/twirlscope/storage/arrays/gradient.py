"""Arrays of the store `gradient`: inner products of the gradients of both parts of the loss, and derived statistics.

Dimensions beside the shared ones: `layer` (the module that owns parameters, or `whole`, all parameters), `batch`
(independent samples), `split_part` (`mean` or `equiv`).
"""

from __future__ import annotations

from .coordinates import COORDINATES
from .declaration import MATH
from .declaration import declared as _v

NOISE = "McCandlish et al., arXiv:1812.06162"

GRADIENT = COORDINATES | {
    "layer": _v("layer", "str", "1", "path of the module that owns the parameters; `whole` stands for all parameters"),
    "split_part": _v("split_part", "str", "1", "part of the loss: mean or equiv"),
    "product": _v(
        "product", "str", "1", "parts whose gradients are multiplied: the first on batch, the second on batch_other"
    ),
    "gradient_gram": _v(
        "step layer product batch batch_other",
        "float64",
        "1",
        "inner products of the gradients of two parts on two batches",
    ),
    "update_product": _v(
        "step layer split_part batch",
        "float64",
        "1",
        "inner products of the update and the gradient of a part halfway through it, on a batch",
    ),
    "update_square": _v("step layer", "float64", "1", "squared length of the update that led to the checkpoint"),
    "batch_loss": _v("step split_part batch", "float64", "1", "parts of the loss of a batch, unbiased", MATH),
    "identity_error": _v(
        "step", "float64", "1", "relative difference between the gradient of total and the sum of those of its parts"
    ),
    "layer_parameters": _v("layer", "int64", "1", "number of trained parameters of the layer"),
    "gradient_square": _v("step layer part", "float64", "1", "squared norm of the gradient, unbiased"),
    "gradient_inner": _v("step layer", "float64", "1", "inner product of the gradients of mean and equiv, unbiased"),
    "gradient_cosine": _v(
        "step layer", "float64", "1", "cosine of the gradients of mean and equiv; NaN if a squared norm is not positive"
    ),
    "gradient_square_ratio": _v("step layer", "float64", "1", "squared norms of gradients, equiv over mean"),
    "gradient_norm_ratio": _v(
        "step layer", "float64", "1", "root of gradient_square_ratio; NaN if noise makes it negative"
    ),
    "gradient_variance": _v(
        "step layer part", "float64", "1", "trace of the covariance of the gradient of a sample", NOISE
    ),
    "noise_scale": _v("step layer part", "float64", "1", "gradient_variance over gradient_square, in samples", NOISE),
    "gradient_loss": _v(
        "step part", "float64", "1", "loss of the samples that the gradients are taken on, unbiased", MATH
    ),
    "relative_equiv": _v("step", "float64", "1", "equivariance error over total loss, on the same samples", MATH),
    "update_change": _v(
        "step layer part", "float64", "1", "change of the loss along the update, but for third derivatives"
    ),
    "nearest_distance": _v(
        "step", "float64", "1", "distance to the nearest more symmetric parameters; NaN at steps without a search"
    ),
    "nearest_loss_equiv": _v(
        "step", "float64", "1", "equivariance error at the start of the search for the nearest parameters", MATH
    ),
    "nearest_left": _v("step", "float64", "1", "share of nearest_loss_equiv that is left at the end of the search"),
    "update_share": _v("step layer", "float64", "1", "update_change of equiv over that of total"),
}


for _name in [n for n in GRADIENT if n.startswith(("gradient_", "relative_", "noise_", "update_"))]:
    if _name not in ("gradient_gram", "update_product", "update_square"):
        GRADIENT[f"{_name}_error"] = _v(
            " ".join(GRADIENT[_name].dims), "float64", "1", f"jackknife standard error of {_name} over batches"
        )
