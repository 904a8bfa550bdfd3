"""Checks of a card that end in every way, for a process that imports this module."""

import os
import time

from gpu import card
from gpu.check import Check, Found, NotPossibleError


def good(setup):
    return Found({"number": 1.0, "unknown": float("nan")})


def beyond(setup):
    return Found({"number": 3.0}, ["number 3, at most 2"])


def raises(setup):
    raise ValueError("\nfirst line\nsecond line")


def impossible(setup):
    raise NotPossibleError("no data")


def dies(setup):
    os._exit(9)


def hangs(setup):
    time.sleep(600)


CHECKS = [Check(work.__name__, work, 1.0) for work in (dies, hangs, good, good)]


def serve(pipe):
    """The process of the card, with these checks."""
    card.CHECKS = CHECKS
    card.serve(pipe)
