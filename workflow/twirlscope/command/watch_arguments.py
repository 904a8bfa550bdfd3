"""Arguments of the command `watch`; importing this module is instant."""

from __future__ import annotations

import argparse

EXITS = "Exit status: 0; 1 where there is nothing to watch. Ctrl-C ends it; the run goes on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("results", nargs="?", default="results", help="results folder of a run in progress or finished")
    add("--logs", default="", help="folder of the logs (default: `logs` beside the results folder)")
    add("--once", action="store_true", help="print one look and end, as happens where the output is no terminal")
    add("--every", type=float, default=2.0, help="time between two looks [s]")
    add("--run", default="", help="name of the only run to show, such as `augmented`")
    add("--all", action="store_true", help="curves of finished trainings too, not only of those that run")
