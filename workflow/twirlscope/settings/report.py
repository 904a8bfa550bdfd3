"""What the report is asked for."""

from __future__ import annotations

from .base import Settings, key


class ReportSettings(Settings):
    """The page of results. What counts as nothing learned (`trivial`) is decided by the twirl stage."""

    title: str = key("How the networks learned rotation", "heading of the page", min_length=1)
    threshold: float = key(
        2.0, "the equivariance error counts as learned below this percent of the held-out loss", "percent", gt=0, lt=100
    )
    term: str = key("weighted", "term of the loss that the headline is about; `weighted` is the weighted sum of all")
