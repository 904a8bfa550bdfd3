"""Size matching: the width at which a model has about as many parameters, or FLOPs per update, as another model.

In the config, `match: {model: {name: ..., ...}, by: parameters}` in the section of a model stands for its `width`. What
the other model has depends on the data (its elements, say), so the width is found when the training begins.
"""

from __future__ import annotations

import bisect
import functools
from typing import Any, Literal

import numpy as np
import torch

from .. import losses, plugins
from .._typing import Callable
from ..contracts import Task
from ..errors import UserError
from ..settings.base import Settings, key, parse
from . import cost

WIDEST = 4096  # no model is tried beyond this width
SAMPLES = 4  # of the batch whose FLOPs are compared

Section = dict[str, Any]


class MatchSettings(Settings):
    """The model to match, and the size in which to match it."""

    model: dict[str, Any] = key(..., "`name` and settings of the model to match, of the same task")
    by: Literal["parameters", "cost"] = key("parameters", "number of parameters, or FLOPs of an update")


def settings_of(section: Any, where: str) -> tuple[Section | None, list[UserError]]:
    """The section of a model with its defaults filled in, those of `match` too, and all errors in it."""
    if not isinstance(section, dict) or "match" not in section:
        settings, errors = plugins.settings_of("model", section, where)
        return settings and {"name": section["name"], **settings.model_dump()}, errors
    own = {k: v for k, v in section.items() if k != "match"}
    settings, errors = plugins.settings_of("model", own, where)
    match, found = parse(MatchSettings, section["match"], f"{where}.match")
    errors += found
    if match is not None:
        errors += plugins.settings_of("model", match.model, f"{where}.match.model")[1]
    if errors:
        return None, errors
    errors = _contradictions(section, where)
    filled = plugins.settings_of("model", match.model, where)[0].model_dump()
    other = {"name": match.model["name"], **filled}
    dumped = {k: v for k, v in settings.model_dump().items() if k != "width"}
    return {"name": section["name"], **dumped, "match": {"model": other, "by": match.by}}, errors


def _contradictions(section: Section, where: str) -> list[UserError]:
    """Errors of a match: a model without a width, a width beside the match, a model of another task."""
    model, other = (plugins.find("model", s["name"]) for s in (section, section["match"]["model"]))
    errors = []
    if "width" not in model.Settings.model_fields:
        errors.append(UserError(f"{where}.match", "a model with a setting `width`, which is chosen", section["name"]))
    if "width" in section:
        errors.append(UserError(f"{where}.width", "no width beside `match`, which chooses it", section["width"]))
    if model.task != other.task:
        errors.append(UserError(f"{where}.match.model.name", f"a model for {model.task}", f"one for {other.task}"))
    return errors


def plugin_names(section: Section) -> list[str]:
    """Names of the models that a section names: itself, and the one it matches."""
    return [section["name"], *([section["match"]["model"]["name"]] if "match" in section else [])]


def resolved(section: Section, task: Task) -> Section:
    """The section with the width in place of `match`; as it is where there is nothing to match.

    Raises:
        UserError: no width up to 4096 has so many parameters, or so many FLOPs.
    """
    if "match" not in section:
        return section
    match, own = section["match"], {k: v for k, v in section.items() if k != "match"}
    size = functools.partial(SIZES[match["by"]], task=task)
    wanted = size(match["model"])
    return own | {"width": nearest(lambda width: size(own | {"width": width}), widths(own), wanted)}


def widths(section: Section) -> list[int]:
    """The widths that a model can have, up to the widest that is tried."""
    every = range(1, WIDEST + 1)
    return [w for w in every if not plugins.settings_of("model", section | {"width": w}, "model")[1]]


def nearest(size: Callable[[int], int], widths: list[int], wanted: int) -> int:
    """The width whose size is closest in ratio to the wanted one, for sizes that grow with the width.

    Raises:
        UserError: all widths are smaller.
    """
    size, end = functools.cache(size), 1
    while end < len(widths) and size(widths[end - 1]) < wanted:
        end = min(2 * end, len(widths))
    if size(widths[end - 1]) < wanted:
        raise UserError("model.match", f"a size that a width up to {widths[-1]} reaches", wanted)
    place = bisect.bisect_left(widths, wanted, hi=end - 1, key=size)
    return min(widths[max(place - 1, 0) : place + 1], key=lambda w: max(size(w) / wanted, wanted / size(w)))


def parameters(section: Section, task: Task) -> int:
    """Number of parameters of a model."""
    return sum(p.numel() for p in _made(section, task).parameters())


def flops(section: Section, task: Task) -> int:
    """FLOPs of the forward and backward pass of a few samples, as `cost` counts them."""
    model, batch = _made(section, task), task.batch(np.arange(SAMPLES))
    return cost.flops(lambda: losses.weighted_loss(task, model(batch.inputs), batch).backward())


SIZES = {"parameters": parameters, "cost": flops}


def _made(section: Section, task: Task) -> torch.nn.Module:
    """The model, built without advancing the global random number generator."""
    with torch.random.fork_rng(devices=[]):
        return plugins.make_model(section, task.constants)
