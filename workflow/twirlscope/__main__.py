"""Commands of the package: `twirl` measures a calculator of ASE, `watch` shows running trainings."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

COMMANDS = {
    "twirl": "equivariance error of a calculator of ASE on structures, as a gate with exit status 0, 3, 4 or 1",
    "watch": "curves of the trainings of a run in progress, or of a finished one, in the terminal",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status. A module is imported with its command: help is instant."""
    parser = argparse.ArgumentParser(prog="twirlscope", description=__doc__)
    choices = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in COMMANDS.items():
        command = import_module(f"twirlscope.command.{name}_arguments")
        command.add_arguments(choices.add_parser(name, help=text, description=text, epilog=command.EXITS))
    chosen = parser.parse_args(arguments)
    return import_module(f"twirlscope.command.{chosen.command}").run(chosen)


if __name__ == "__main__":
    sys.exit(main())
