"""Arrays of the store `hessian`: eigenvalues, spectral densities and condition numbers of both parts of the loss.

Dimensions beside the shared ones: `curvature` (`hessian` or `gauss_newton`), `ritz` and `probe` of a Lanczos run,
`side` and `measure` of a condition number. The part `mean_plugin` is `mean` without the correction of its bias.
"""

from __future__ import annotations

from .coordinates import COORDINATES
from .declaration import declared as _v

LANCZOS = "Golub and Meurant, Matrices, Moments and Quadrature (2010), chapters 4 and 6"
LANDSCAPE = "Li et al., Visualizing the Loss Landscape of Neural Nets, arXiv:1712.09913"
PLANE = "step draws part"
MATRIX, NUMBER = "step curvature part", "step curvature part side measure"

HESSIAN = COORDINATES | {
    "curvature": _v("curvature", "str", "1", "matrix: Hessian or Gauss-Newton matrix of the part of the loss"),
    "side": _v("side", "str", "1", "eigenvalues used: all by magnitude, or the positive ones alone"),
    "measure": _v("measure", "str", "1", "condition number or rank"),
    "replicate": _v("replicate", "str", "1", "samples of a number: one group of them, or all but one group"),
    "eigenvalue_top": _v(f"{MATRIX} rank", "float64", "1", "largest eigenvalues, descending", LANCZOS),
    "eigenvalue_bottom": _v(f"{MATRIX} rank", "float64", "1", "smallest eigenvalues, ascending", LANCZOS),
    "ritz_value": _v(
        f"{MATRIX} ritz",
        "float64",
        "1",
        "nodes of the spectral density; all eigenvalues if the store is exact",
        LANCZOS,
    ),
    "ritz_error": _v(
        f"{MATRIX} ritz", "float64", "1", "residual bound: an eigenvalue lies within this distance of the node", LANCZOS
    ),
    "ritz_weight": _v(
        f"{MATRIX} ritz probe", "float64", "1", "share of a probe at the node; sums to 1 over nodes", LANCZOS
    ),
    "ritz_weight_deflated": _v(
        f"{MATRIX} ritz probe",
        "float64",
        "1",
        "share of the parameters at the node; a converged node counts as one parameter",
    ),
    "half_ritz_value": _v(f"{MATRIX} ritz_half", "float64", "1", "nodes of the same run at half its depth", LANCZOS),
    "half_ritz_weight_deflated": _v(
        f"{MATRIX} ritz_half probe", "float64", "1", "share of the parameters at the nodes half_ritz_value"
    ),
    "trace": _v(MATRIX, "float64", "1", "trace: exact on the Lanczos basis, estimated outside it"),
    "trace_error": _v(MATRIX, "float64", "1", "standard error of the trace over probes"),
    "condition": _v(NUMBER, "float64", "1", "condition number or rank, see `definition`"),
    "condition_error": _v(
        NUMBER, "float64", "1", "jackknife standard error of condition over probes; NaN for too few probes"
    ),
    "condition_depth_bias": _v(NUMBER, "float64", "1", "condition less that of the run at half its depth"),
    "condition_converged": _v(
        NUMBER,
        "bool",
        "1",
        "true if probes (95 percent interval) and depth (half, three quarters) change condition by at most 15 percent",
    ),
    "condition_replicate": _v(
        f"{NUMBER} replicate",
        "float64",
        "1",
        "condition on each group of the samples, at half the depth; of exact spectra on all samples but a group",
    ),
    "condition_ratio": _v(
        "step curvature side measure", "float64", "1", "condition of the mean part over that of the equivariance part"
    ),
    "condition_ratio_low": _v(
        "step curvature side measure",
        "float64",
        "1",
        "low end of the 95 percent interval of condition_ratio over samples, and over probes and depth unless exact; "
        "NaN without 3 groups",
    ),
    "condition_ratio_high": _v(
        "step curvature side measure", "float64", "1", "high end of the 95 percent interval of condition_ratio"
    ),
    "definition": _v("measure", "str", "1", "definition of the condition number or rank"),
    "products": _v(
        MATRIX, "int64", "1", "number of matrix-vector products, including those for the groups of the samples"
    ),
    "rank_bound": _v(
        "part",
        "int64",
        "1",
        "largest possible rank of the Gauss-Newton matrix: number of components of the predictions",
    ),
    "loss_value": _v("step part", "float64", "1", "value of the part of the loss, on the same samples"),
    "certificate_error": _v(
        MATRIX, "float64", "1", "relative error of a matrix-vector product against central differences in float64"
    ),
    "precision_error": _v(
        "step part", "float64", "1", "relative error of a Hessian-vector product in the working dtype against float64"
    ),
    "draws": _v("draws", "str", "1", "samples and rotations of a landscape: common to all points, or new at each"),
    "direction": _v("direction", "str", "1", "eigenvalue of the total Hessian along an axis of a landscape"),
    "landscape_loss": _v(
        "step draws part point_largest point_smallest",
        "float64",
        "1",
        "part of the loss on a plane through the checkpoint; NaN at all but the last checkpoint",
        LANDSCAPE,
    ),
    "landscape_shift": _v(
        "step point", "float64", "1", "coordinate of the points along both axes, a length in the space of parameters"
    ),
    "landscape_eigenvalue": _v(
        "step direction", "float64", "1", "eigenvalue of the Hessian of the total loss along an axis of the landscape"
    ),
    "landscape_r_squared": _v(PLANE, "float64", "1", "R squared of a quadratic fit to landscape_loss"),
    "landscape_autocorrelation": _v(
        PLANE, "float64", "1", "correlation of landscape_loss at neighbouring points of the plane"
    ),
    "landscape_residual_autocorrelation": _v(
        PLANE, "float64", "1", "the same correlation of the residuals of the quadratic fit"
    ),
    "landscape_residual_spread": _v(
        PLANE, "float64", "1", "root mean square of the residuals of the quadratic fit over the mean loss"
    ),
    "parameters": _v("", "int64", "1", "number of parameters"),
}


for _name in ("eigenvalue_top", "eigenvalue_bottom"):
    HESSIAN[f"{_name}_error"] = _v(f"{MATRIX} rank", "float64", "1", "residual bound of each eigenvalue", LANCZOS)
    HESSIAN[f"{_name}_converged"] = _v(
        f"{MATRIX} rank", "bool", "1", "true if the residual bound is below 0.001 of the value"
    )
