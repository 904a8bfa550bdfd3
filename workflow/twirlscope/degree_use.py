"""Which degrees an equivariant network uses, in words and in a table: shares of its activations, losses without."""

from __future__ import annotations

import pandas as pd

from .hints import Sequence
from .page import Table
from .trainings import Training, by_run, column, say

SHARE, RATIO = column("degree_share"), "loss without the degree over the loss [1]"


def with_degrees(trainings: Sequence[Training]) -> list[Training]:
    """The first seed of every run whose degrees were measured."""
    return [seeds[0] for seeds in by_run([t for t in trainings if "degree_share" in t.twirl]).values()]


def degree_frame(training: Training) -> pd.DataFrame:
    """One row a checkpoint, layer and degree that the layer has; losses are of the weighted sum of the terms."""
    data = training.twirl[["degree_share", "degree_removed_loss", "degree_removed_loss_error", "degree_full_loss"]]
    data = data.sel(term="weighted").drop_vars("term")
    frame = data.to_dataframe().reset_index().dropna(subset="degree_share")
    full = frame["degree_full_loss"]
    return pd.DataFrame(
        {
            "run": training.run,
            "seed": training.seed,
            column("step"): frame["step"],
            "layer": frame["activation"],
            "degree [1]": frame["activation_degree"],
            SHARE: frame["degree_share"],
            column("degree_full_loss"): full,
            column("degree_removed_loss"): frame["degree_removed_loss"],
            RATIO: frame["degree_removed_loss"] / full,
            "its standard error [1]": frame["degree_removed_loss_error"] / full,
        }
    ).reset_index(drop=True)


def degree_sentence(training: Training) -> str:
    """What the last checkpoint has in its highest degree, and what the loss owes to each, in words."""
    frame = degree_frame(training)
    last = frame[frame[column("step")] == frame[column("step")].max()]
    highest = int(last["degree [1]"].max())
    text = f"{training.label}, step {int(last[column('step')].iloc[0])}: of the variance of its activations "
    text += "; ".join(
        f"{layer} holds "
        + ", ".join(f"{say(100 * r[SHARE])} % in degree {int(r['degree [1]'])}" for _, r in part.iterrows())
        for layer, part in last.groupby("layer", sort=False)
    )
    if highest == 0:
        return f"{text}. It has no degree but 0."
    above = last[last["degree [1]"] > 0]
    least, most = (above.loc[above[RATIO].agg(end)] for end in ("idxmin", "idxmax"))
    if above[RATIO].isna().any():
        return f"{text}."
    text += f". Without {_place(most)} the loss is {_times(most)}, the most that any degree above 0 is worth"
    if len(above) > 1:
        text += f"; without {_place(least)} it is {_times(least)}, the least"
        if abs(least[RATIO] - 1) < 2 * least["its standard error [1]"]:
            text += ", which cannot be told from none at all"
    return f"{text}."


def _place(row: pd.Series) -> str:
    return f"degree {int(row['degree [1]'])} of {row['layer']}"


def _times(row: pd.Series) -> str:
    return f"{say(row[RATIO])} ± {row['its standard error [1]']:.2g} times as large"


def degree_table(trainings: Sequence[Training]) -> Table | None:
    """The last checkpoint of every run whose degrees were measured; None where there is none."""
    frames = [degree_frame(t) for t in with_degrees(trainings)]
    if not frames:
        return None
    frame = pd.concat([f[f[column("step")] == f[column("step")].max()] for f in frames], ignore_index=True)
    caption = (
        "The last checkpoint of networks of features of known degree: the share of the variance of a layer's output in "
        "each degree (over atoms, samples and orientations, summed over features), and the held-out loss of a few "
        "samples with that degree of that output set to 0, over their loss with it, with its standard error by sample."
    )
    brief = frame[["run", "layer", "degree [1]", SHARE, RATIO, "its standard error [1]"]]
    return Table("degrees", caption, frame, brief)
