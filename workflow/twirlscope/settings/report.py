"""Settings of the stage `report`."""

from __future__ import annotations

from .base import Settings, key


class ReportSettings(Settings):
    """The page of results. The key `twirl.trivial_below` decides which checkpoints count as not yet learned."""

    title: str = key("", "heading of the page; empty for the question that the trainings answer")
    threshold: float = key(
        2.0,
        "equivariance is learned where its error is below this percentage of the held-out loss",
        "percent",
        gt=0,
        lt=100,
    )
    term: str = key(
        "primary",
        "term of the loss in the headline: `primary`, the first one of each task, under all rotations where these were "
        "measured; `weighted`, the weighted sum of all; or a name",
    )
    batch: int = key(
        64, "samples of a batch, in the mean of batch ratios that is shown beside the ratio of means", ge=1
    )
