"""Settings of the stage `hessian`."""

from __future__ import annotations

from typing import Literal

from .base import LARGEST_SEED, Settings, key


class HessianSettings(Settings):
    """Measurement of the Hessians of both parts of the loss.

    Cost per checkpoint: about `4 * samples * rotations * probes * lanczos_steps` gradients of one rotated sample, or
    `4 * samples * rotations * parameters` if all eigenvalues are computed.
    """

    enabled: bool = key(True, "true runs the stage, false skips it", shapes=())
    checkpoints: int = key(
        3, "number of checkpoints to measure, evenly spread over those of the run, first and last included", ge=1
    )
    steps: list[int] = key([], "steps of the checkpoints to measure; empty chooses them by `checkpoints`")
    block: str = key(
        "",
        "module of the model, by its path, whose parameters are varied while all others are fixed: its block of the "
        "Hessian; empty takes all parameters",
    )
    exact: int = key(
        4500,
        "largest number of parameters of which all eigenvalues are computed, from dense matrices; of more, Lanczos "
        "finds the outermost eigenvalues and estimates the rest",
        ge=0,
    )
    split: str = key("train", "split from which the samples are drawn")
    samples: int = key(6, "samples in the loss; every rotation of every sample is one forward pass", ge=1)
    rotation_set: Literal["D2", "T", "O", "I", "independent"] = key(
        "T",
        "rotations of a sample: a group of 4, 12, 24 or 60, or independent ones, which make the mean part indefinite",
    )
    rotations: int = key(16, "independent rotations per sample, if the set is `independent`", ge=2)
    gauss_newton: bool = key(True, "true measures the Gauss-Newton matrix beside the Hessian")
    groups: int = key(
        3,
        "groups of the samples on which condition numbers are measured too, at half the depth, or, if all eigenvalues "
        "are computed, without which: the interval of a ratio of condition numbers needs 3 or more, for the spread "
        "over samples; 0 for none",
        ge=0,
    )
    probes: int = key(
        3,
        "random probe vectors, the block size of Lanczos; error bars and converged numbers need 3 or more",
        ge=1,
    )
    lanczos_steps: int = key(
        8, "block steps of Lanczos: probes * steps products with each matrix, and as many Ritz values", ge=2
    )
    trace_probes: int = key(2, "additional probes, one product each, for the trace and its error", ge=0)
    basis_dtype: Literal["auto", "float32", "float64"] = key(
        "auto", "precision of the basis, if it fits the memory; auto has that of the products, `dtype`"
    )
    basis_memory: float = key(
        1.0,
        "memory for the basis; if it does not fit, float32 and then fewer probes are used, and the log says so",
        "GB",
        gt=0,
    )
    eigenvalues: int = key(5, "largest eigenvalues kept, and as many of the smallest (most negative)", ge=1)
    landscape: int = key(
        0,
        "points per axis of a plane through the last measured checkpoint, along the eigenvectors of the largest and "
        "the smallest positive eigenvalue, on which losses are computed twice: on the same samples and rotations at "
        "every point, and on new ones; needs all eigenvalues; 0 for none",
        ge=0,
    )
    landscape_rise: float = key(
        1.0,
        "rise of the quadratic approximation of the total loss at the ends of the axis of the largest eigenvalue, as a "
        "share of the loss; both axes are of equal length",
        gt=0,
    )
    seed: int = key(
        0,
        "seed of the samples, rotations and probes, the same for every checkpoint and both parts",
        ge=0,
        le=LARGEST_SEED,
    )
    dtype: Literal["float32", "float64"] = key(
        "float32", "precision of the products; the check of derivatives is in float64"
    )
    chunk: int = key(8, "samples differentiated at once", shapes=(), ge=1)
    keep_memory: float = key(
        2.0, "memory for gradient graphs kept between products, which makes them twice as fast", "GB", shapes=(), ge=0
    )
    certificate_samples: int = key(
        1, "samples on which derivatives are checked by finite differences at every checkpoint", ge=1
    )
    device: Literal["auto", "cpu", "cuda"] = key("auto", "device to evaluate on", shapes=())
    jobs: int = key(
        1, "jobs that share the checkpoints; the result does not depend on it", shapes=(), ge=1, exclude=True
    )
