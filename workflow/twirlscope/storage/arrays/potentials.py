"""Arrays of the store `twirl` that only external potentials have: floors, predicted signal, failed samples."""

from __future__ import annotations

from .declaration import MATH
from .declaration import declared as _v

PANEL, SETS = "step term panel", "rotation_set term"
FLOOR = "as equivariance error"

POTENTIALS = {
    "centred_square": _v(
        "step term sample",
        "float64",
        "1",
        "square of the target less the mean prediction, the origin of gram and cross",
    ),
    "panel_centred_square": _v(PANEL, "float64", "1", "centred_square of a sample of the panel"),
    "sample_signal": _v("step term sample", "float64", "1", "mean square of the predictions of a sample"),
    "signal": _v("step term", "float64", "1", "mean square of the predictions"),
    "percent_of_signal": _v(
        "step term", "float64", "percent", "100 loss_equiv / signal; NaN where the error is at its floor", MATH
    ),
    "at_floor": _v("step term", "bool", "1", "true if loss_equiv is at most 10 times loss_equiv_floor"),
    "o3_at_floor": _v("step term", "bool", "1", "true if o3_loss_equiv is at most 10 times loss_equiv_floor"),
    "floor_noise": _v(
        "step term", "float64", "1", f"half the mean square difference of two calls for one input, {FLOOR}"
    ),
    "floor_noise_error": _v("step term", "float64", "1", "standard error of floor_noise over samples"),
    "floor_rounding": _v(
        "step term", "float64", "1", f"half the mean square change under translation and permutation, {FLOOR}"
    ),
    "floor_spacing": _v(
        "step term", "float64", "1", f"variance of rounding total energies to single precision, {FLOOR}"
    ),
    "element_offset": _v(
        "step element", "float64", "eV", "energy of an element that is subtracted from predicted total energies"
    ),
    "failed_sample": _v("failed", "int64", "1", "sample that is left out, as the calculator failed in an orientation"),
    "failed_reason": _v("failed", "str", "1", "reason of the calculator"),
    "twirled_residual": _v(
        SETS, "float64", "1", "equivariance error left by twirling with the set, measured on the panel"
    ),
    "twirled_residual_predicted": _v(
        SETS, "float64", "1", "equivariance error left by twirling with the set, predicted from the spectrum", MATH
    ),
}

PEG = "ml-peg, benchmark rotational_symmetry; here all pairs of independent rotations"
ARENA = "MLIP Arena, arXiv:2509.20630, force equivariance; here all pairs of independent rotations"
LAMBDA = "Bigi et al., arXiv:2412.11569"

POTENTIALS |= {
    "peg_energy_mean": _v("step", "float64", "eV/atom", "mean |ΔE| per atom between two orientations", PEG),
    "peg_energy_max": _v("step", "float64", "eV/atom", "largest |ΔE| per atom between two orientations", PEG),
    "peg_force_mean": _v("step", "float64", "eV/Å", "mean over pairs of the mean absolute force change", PEG),
    "peg_force_max": _v("step", "float64", "eV/Å", "largest mean absolute force change of a pair", PEG),
    "arena_pass_rate": _v("step", "float64", "1", "share of pairs that pass both tests below", ARENA),
    "arena_force_rate": _v("step", "float64", "1", "share of pairs with a mean absolute force change < 1 meV/Å", ARENA),
    "arena_cosine_rate": _v("step", "float64", "1", "share of pairs in which every cosine of forces > 0.999", ARENA),
    "arena_sample_rate": _v("step", "float64", "1", "share of samples of which all pairs pass both tests", ARENA),
    "net_force": _v("step", "float64", "eV/Å", "norm of the sum of all forces, mean over samples and rotations"),
    "net_torque": _v(
        "step", "float64", "eV", "norm of the sum of all torques about the mean position; without periodic samples"
    ),
    "jacobian_mean": _v("step", "float64", "1", "antisymmetric share of the force Jacobian, mean over samples", LAMBDA),
    "jacobian_max": _v("step", "float64", "1", "antisymmetric share of the force Jacobian, largest", LAMBDA),
}
