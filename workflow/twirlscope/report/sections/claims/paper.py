"""The claims of arXiv 2512.02303 on how networks learn rotations.

Source: Shen, Nowara, Maser, Cho: Training Dynamics of Learning 3D-Rotational Equivariance, TMLR 12/2025. If the paper
gives no limit, the limit is ours, and the claim says so.
"""

from __future__ import annotations

from . import evidence, percentages, published
from .judge import Claim

PAPER = "arXiv 2512.02303, abstract"
OURS = "ours"
THEIRS = "the paper's"
LOWEST = "lowest equivariance error in percent of the held-out loss by step 10,000"

CLAIMS = (
    Claim(
        "reached within 10,000",
        "The equivariance error falls to 2 % of the held-out loss or less within 1,000 to 10,000 updates",
        PAPER,
        LOWEST,
        THEIRS,
        "trainings on turned samples, of 10,000 updates or more to contradict it",
        percentages.reached,
        most=2.0,
        published=published.reached(),
    ),
    Claim(
        "stays below",
        "Once the equivariance error is at 2 % of the held-out loss or less, it stays there",
        PAPER,
        "highest equivariance error in percent of the held-out loss after it is first at 2 % or less",
        OURS,
        "trainings on turned samples that reach 2 %, of 10,000 updates or more to confirm it",
        percentages.stays,
        most=2.0,
        published=published.stays,
    ),
    Claim(
        "small at the end",
        "At the end of training the equivariance error is at 2 % of the held-out loss or less",
        PAPER,
        "equivariance error in percent of the held-out loss at the last checkpoint",
        OURS,
        "trainings on turned samples",
        percentages.at_end,
        most=2.0,
        published=published.at_end,
    ),
    Claim(
        "whatever the model size",
        "The error falls to 2 % within 10,000 updates at every model size",
        PAPER,
        LOWEST,
        THEIRS,
        "trainings that differ in the size of the model (and the learning rate) alone, by a factor of 1.5 or more",
        percentages.by("size", percentages.reached),
        most=2.0,
        levels=True,
        published=published.reached("size"),
    ),
    Claim(
        "whatever the data size",
        "The error falls to 2 % within 10,000 updates at every number of training samples",
        PAPER,
        LOWEST,
        THEIRS,
        "trainings that differ in train.samples alone, by a factor of 1.5 or more",
        percentages.by("samples", percentages.reached),
        most=2.0,
        levels=True,
        published=published.reached("samples"),
    ),
    Claim(
        "whatever the optimiser",
        "The error falls to 2 % within 10,000 updates with every optimiser",
        "arXiv 2512.02303, experiments on optimisers",
        LOWEST,
        THEIRS,
        "trainings that differ in train.optimiser (learning rate, momentum) alone, with the same weight decay",
        percentages.by("optimiser", percentages.reached),
        most=2.0,
        levels=True,
        published=published.reached("optimiser"),
    ),
    Claim(
        "small penalty throughout",
        "The loss penalty of missing symmetry is small throughout training",
        PAPER,
        "largest equivariance error in percent of the twirled prediction error from the first learned checkpoint on",
        OURS,
        "trainings on turned samples",
        evidence.penalty,
        most=10.0,
        published=published.penalty,
    ),
    Claim(
        "better conditioned",
        "Learning the symmetry has the far better conditioned loss landscape",
        PAPER,
        "condition number κ_E90 of the Hessian, twirled prediction error over equivariance error",
        OURS,
        "the stage hessian of the whole network: all eigenvalues of a small one, or Lanczos to convergence",
        evidence.conditions("kappa_E90"),
        least=10.0,
    ),
    Claim(
        "better conditioned on average",
        "Learning the symmetry has the better conditioned loss landscape, by the mean curvature",
        PAPER,
        "largest over mean magnitude of eigenvalues of the Hessian, twirled prediction error over equivariance error",
        OURS,
        "the stage hessian of the whole network: all eigenvalues of a small one, or Lanczos to convergence",
        evidence.conditions("effective_rank", flat=True),
        least=1.0,
    ),
    Claim(
        "gradients follow",
        "The share of the gradient that goes to symmetry follows the relative equivariance error",
        PAPER,
        "correlation of the changes from checkpoint to checkpoint, gradient norm ratio and relative error (log, log)",
        OURS,
        "the stage gradient at 6 checkpoints or more",
        evidence.gradients,
        least=0.0,
        published=published.gradients,
    ),
    Claim(
        "quadratic in parameters",
        "The equivariance error grows as the square of the distance to the nearest more symmetric parameters",
        "arXiv 2512.02303, on gradients and parameters",
        "exponent of the equivariance error against that distance",
        OURS,
        "the stage gradient with gradient.nearest of 6 checkpoints or more",
        evidence.exponents,
        least=1.5,
        most=2.5,
    ),
    Claim(
        "ahead by the hour",
        "Per hour of training, networks without built-in symmetry may reach a lower loss than equivariant ones",
        PAPER,
        "lowest held-out loss without built-in symmetry over the lowest with it, after the same training time",
        OURS,
        "an equivariant network and another one, two seeds each, on the same device, whose schedules end together",
        evidence.per_time,
        most=1.0,
    ),
)
