"""The percentage at the last checkpoint by other weightings of the same losses.

Ours is a ratio of means with the unbiased variance of K rotations. Others are
- a mean of ratios over batches of samples, as the published percentages seem to be: batches with a small loss count as
  much as others, so that it is larger where small losses go with large shares, by the covariance of share and loss;
- the plug-in variance, without the factor K / (K - 1): too small by that factor;
- for flow matching, the error of the clean chain x1 in place of that of the velocity: samples weigh (1 - t)².
"""

from __future__ import annotations

from typing import Any

from ...._typing import Array, Float, Sequence
from ....estimators.loss_split import percent
from ....estimators.weightings import mean_of_batch_ratios, plugin
from ...numbers import Column, Numbers, numbers, rows_to_data
from ...tables import Table
from ...trainings import Training, distinct_terms, off_floor, with_term
from .courses import time_bins

PARTITIONS, SEED = 200, 0  # random divisions into batches, whose results are averaged
COLUMNS = (
    Column("samples", "samples"),
    Column("rotations", "rotations"),
    Column("ratio", "ratio of means (ours)", "%"),
    Column("batches", "mean of batch ratios", "%"),
    Column("plugin", "ratio of means, plug-in variance", "%"),
    Column("plugin_batches", "mean of batch ratios, plug-in variance", "%"),
    Column("clean", "ratio of means, weighted as x1", "%"),
    Column("clean_batches", "mean of batch ratios, weighted as x1", "%"),
)


def weighting_numbers(trainings: Sequence[Training], batch: int) -> Numbers | None:
    """All weightings at the last checkpoint, one row per training and term; None without any that has an error."""
    rows = [
        _row(t, term, batch) for term in distinct_terms(trainings) for t in off_floor(with_term(trainings, term), term)
    ]
    return numbers(rows_to_data(rows), COLUMNS) if rows else None


def _row(training: Training, term: str, batch: int) -> dict[str, Any]:
    last, rotations = training.last(term), int(training.twirl.attrs.get("rotations", 0))
    equiv, mean = (last[f"sample_loss_{part}"].values for part in ("equiv", "mean"))
    total = equiv + mean
    row = {"run": training.run, "seed": training.seed, "term": term, "samples": len(total), "rotations": rotations}
    row |= _pair(("ratio", "batches"), total, equiv, batch)
    if rotations > 1:
        row |= _pair(("plugin", "plugin_batches"), total, plugin(equiv, rotations), batch)
    if time_bins(training):
        weight = (1 - last["sample_covariate"].values) ** 2
        row |= _pair(("clean", "clean_batches"), weight * total, weight * equiv, batch)
    return row


def _pair(
    names: tuple[str, str], total: Float[Array, " sample"], equiv: Float[Array, " sample"], batch: int
) -> dict[str, float]:
    """Ratio of means and mean of batch ratios [%]."""
    batches = mean_of_batch_ratios(total, equiv, batch, PARTITIONS, SEED)
    return dict(zip(names, (float(percent(total.mean(), equiv.mean())), 100 * batches), strict=True))


def weighting_table(trainings: Sequence[Training], batch: int) -> Table | None:
    """All weightings at the last checkpoint; None without an equivariance error."""
    found = weighting_numbers(trainings, batch)
    caption = (
        "Equivariance error at the last checkpoint in percent of the same held-out losses, weighted in other ways. The "
        "ratio of means is the one of this report. The mean of batch ratios takes the ratio in every batch of "
        f"{batch} samples (report.batch) and then the mean, over random divisions into batches; the published "
        "percentages seem to be such means. The plug-in variance lacks the factor K / (K - 1) of K rotations. Weighted "
        "as x1: the error of the clean chain in place of that of the velocity, which weighs samples by (1 - t)²."
    )
    return None if found is None else Table("weightings", caption, found)
