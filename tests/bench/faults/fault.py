"""A fault: what happens to a run, and a trial of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """The end of a trial.

    survived: whether the results are right, or the fault was named in one clear message and nothing wrong is left.
    how: the end in a few words; equal words are counted together.
    """

    survived: bool
    how: str


class Fault(NamedTuple):
    """A fault, tried at random.

    name: the fault, in words.
    holds: what must hold after it, in words.
    rounds: number of trials by the command.
    few: number of trials in the tests.
    trial: does it once; gets a seed and an empty folder. It raises `NotHere` where this machine cannot have the fault.
    """

    name: str
    holds: str
    rounds: int
    few: int
    trial: Callable[[int, Path], Outcome]


class NotHere(Exception):  # noqa: N818
    """This machine cannot have the fault; says why."""
