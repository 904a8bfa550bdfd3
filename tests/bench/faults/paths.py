"""Results in folders with odd names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .fault import Fault, Outcome
from .trainings import DONE, ended, is_right, last_line, start_in

ODD = [" ", "é", "ü", "'", '"', "%", "%s", "$HOME", "\\n", "#", "&", ";", "(", "[0-9]", "*", "~", "`", "!", "ß", "分子"]
BRACES = ["{", "}", "{run}", "{{"]


def odd_name(random: np.random.Generator, pieces: list[str]) -> str:
    """A name of three odd pieces between letters."""
    return "a" + "b".join(random.choice(pieces, 3)) + "c"


def training(seed: int, folder: Path) -> Outcome:
    """A training whose results lie in a folder with an odd name."""
    odd = folder / odd_name(np.random.default_rng(seed), ODD + BRACES)
    odd.mkdir()
    status = ended(start_in(odd))
    return Outcome(status == DONE and is_right(odd), "identical results" if status == DONE else last_line(odd))


FAULTS = [Fault("odd name of the folder of a training", "identical results", 20, 3, training)]
