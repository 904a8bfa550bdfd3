"""The questions that the page answers, in its order; every section belongs to one of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A part of the page.

    anchor: the end of its address, one word.
    menu: its name in the menu.
    folded: True if all its sections are folded at first.
    """

    anchor: str
    heading: str
    menu: str
    folded: bool = False


SYMMETRY = Question("symmetry", "How does the error split, and how does it fall?", "Over training")
WORTH = Question("worth", "Is symmetry worth building in?", "Building it in")
AFTERWARDS = Question("afterwards", "Can averaging at test time fix the rest?", "Test-time averaging")
QUALITY = Question("quality", "Is the network any good?", "Quality")
EVIDENCE = Question("evidence", "Which claims hold?", "Claims")
WHY = Question("why", "Why: spectrum, features, gradients, curvature", "Why", folded=True)
RUNS = Question("runs", "Data and runs", "Data and runs", folded=True)

QUESTIONS = (SYMMETRY, WORTH, AFTERWARDS, QUALITY, EVIDENCE, WHY, RUNS)
