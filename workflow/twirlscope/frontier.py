"""What test-time averaging buys: the loss of the last checkpoint against the forward passes of a prediction.

Every way of averaging has a row: independent rotations, sets of rotations, and the frames of the points themselves.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import xarray as xr

from .frame_averaging import PASSES
from .hints import Sequence
from .rotation_sets import INDEPENDENT
from .trainings import Training, say, with_term

SETS = ("D2", "T", "O", "I")
LOSSES = ("twirled_loss_predicted", "twirled_loss_predicted_low", "twirled_loss_predicted_high")
LOSSES += ("twirled_loss", "twirled_loss_error")
HEADS = ("predicted loss [1]", "predicted loss, from [1]", "predicted loss, to [1]")
HEADS += ("measured loss [1]", "standard error [1]")
PREDICTED, LOW, HIGH, MEASURED, ERROR = HEADS
WAY, AVERAGE, TIME = "passes [1]", "average over", "time of a prediction [ms]"
ONE, FRAMES = "nothing", "4 frames of the points"
CHANGE, CHANGE_ERROR = "change to one pass [%]", "its standard error [%]"
LIMIT, WHOLE = "twirled prediction error [1]", "equivariance error [1]"
WORDS = {"haar1": ONE, **{n: f"{k} independent rotations" for n, k in INDEPENDENT.items() if k > 1}}


def comparable(trainings: Sequence[Training], term: str) -> list[list[Training]]:
    """The trainings with a panel, by what makes their losses comparable: the data, the task and its settings."""
    groups: dict[tuple, list[Training]] = {}
    for training in with_term(trainings, term):
        if "twirled_loss_predicted" in training.twirl:
            task = json.loads(training.train.attrs["run"])["task"] if training.train is not None else {}
            groups.setdefault((training.dataset, json.dumps(task, sort_keys=True)), []).append(training)
    return list(groups.values())


def frontier(training: Training, term: str) -> pd.DataFrame:
    """One row a way of averaging: passes, time, predicted and measured loss on the panel, at the last checkpoint."""
    last = training.twirl.sel(term=term).isel(step=-1)
    spectrum = "spectrum" if "spectrum" in last else "irrep_spectrum"
    seconds = training.train.get("seconds_inference") if training.train is not None else None
    rows = []
    for name in (*INDEPENDENT, *SETS):
        if name in last["rotation_set"].values:
            row = last.sel(rotation_set=name)
            values = [float(row[n]) if n in row else np.nan for n in LOSSES]
            rows.append((WORDS.get(name, name), int(row["passes"]), *values, *_change(last, row, "panel_twirled_loss")))
    if "frame_loss" in last:
        values = [np.nan] * 3 + [float(last[n]) for n in ("frame_loss", "frame_loss_error")]
        rows.append((FRAMES, PASSES, *values, *_change(last, last, "panel_frame_loss")))
    table = pd.DataFrame(rows, columns=[AVERAGE, WAY, *HEADS, CHANGE, CHANGE_ERROR])
    table.insert(2, TIME, table[WAY] * (np.nan if seconds is None else 1e3 * float(seconds)))
    table[LIMIT], table[WHOLE] = float(last[spectrum][0]), float(last["panel_loss_equiv"])
    return table.assign(term=term)


def _change(last: xr.Dataset, row: xr.Dataset, name: str) -> tuple[float, float]:
    """The measured change of the loss to that of one pass, in percent, and its standard error, paired by sample."""
    if name not in row:
        return np.nan, np.nan
    single, averaged = last["panel_single_loss"].values, row[name].values
    ratio = averaged.mean() / single.mean()
    spread = (averaged - ratio * single).std(ddof=1) / len(single) ** 0.5
    return 100 * (ratio - 1), 100 * spread / single.mean()


def sentences(trainings: Sequence[Training]) -> list[str]:
    """What four passes buy, a training each."""
    return [_sentence(t) for group in comparable(trainings, "weighted") for t in group]


def _sentence(training: Training) -> str:
    table = frontier(training, "weighted").set_index(AVERAGE)
    one, limit = table[PREDICTED][ONE], table[LIMIT].iloc[0]
    said = [_bought(name, table.loc[name], one) for name in (WORDS["haar4"], "D2", FRAMES) if name in table.index]
    text = (
        f"In {training.label} the loss of one pass is {say(one)}; averaged over all rotations it would change by "
        f"{say(100 * (limit / one - 1))} %. Four passes change it by {', '.join(said)}."
    )
    return text + _frame_words(training)


def _bought(name: str, row: pd.Series, one: float) -> str:
    """What a way of averaging does to the loss: as measured, or as predicted where that is exact."""
    over = {"D2": "the group D2", FRAMES: "the frames of the points"}.get(name, name)
    if not np.isfinite(row[CHANGE]):
        return f"{say(100 * (row[PREDICTED] / one - 1))} % over {over}"
    return f"{say(row[CHANGE])} ± {say(row[CHANGE_ERROR])} % over {over}"


def _frame_words(training: Training) -> str:
    """How equivariant frames leave a model, and how smooth."""
    if "frame_loss" not in training.twirl:
        return " A grid has no frames." if "irrep_spectrum" in training.twirl else ""
    last, attrs = training.twirl.sel(term="weighted").isel(step=-1), training.twirl.attrs
    gap, close, nudge = training.twirl["frame_gap"].values, 100 * attrs["frame_close"], 100 * attrs["frame_nudge"]
    ratio = (float(last["frame_change"]) / float(last["pass_change"])) ** 0.5
    return (
        f" Frames leave an equivariance error of {say(float(last['frame_loss_equiv']))}. They jump where two moments "
        f"of the points are equal: {int((100 * gap < close).sum())} of {len(gap)} samples have two closer than "
        f"{say(close)} %, and when points move by {say(nudge)} % of the size of their sample, predictions change "
        f"{say(ratio)} times as much as those of one pass."
    )
