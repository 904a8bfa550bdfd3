"""The card of a GPU: all checks within a time, as a table and as JSON that is written whole after every check.

    python tests/bench/gpu/card.py --minutes 8 --out results/gpu_card.json --acac wheels/acac.zarr.zip

Checks run one after the other in a process of their own, which is replaced if it dies or takes too long. So a check
that fails loses no other. The status is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
SITE = HERE.parents[1] / "wheels" / "site"  # packages that the machine lacks
sys.path[:0] = [str(HERE), str(HERE.parent / "kit"), str(HERE.parents[1] / "workflow"), str(SITE)]

import torch
from timing import table

from gpu import agreement, course, speed, trainings
from gpu.check import Check, Found, NotPossibleError, Setup
from twirlscope.runtime.atomic import write_whole
from twirlscope.runtime.devices import device_of, hardware

CARD = "gpu_card.json"
CHECKS = [
    Check("training, CPU and GPU", agreement.train, 30),
    Check("twirl, CPU and GPU", agreement.twirl, 15),
    Check("gradients, CPU and GPU", agreement.gradient, 15),
    Check("Hessian products, CPU and GPU", agreement.hessian, 20),
    Check("resuming after a kill", trainings.resume, 40),
    Check("bf16 beside float32, after 300 updates", trainings.bf16, 45),
    *(Check(name, work, 20) for name, work in speed.CHECKS.items()),
    Check("two processes on one device", trainings.two_processes, 60),
    Check("torch.compile", trainings.compiled, 60),
    Check("escaip 6.1M on acetylacetone, up to 10,000 updates", course.course, 30),
]
LAST = CHECKS[-1].name  # takes all the time that is left
PATIENCE = 3.0  # times the seconds of a check after which it is ended


@dataclass
class Row:
    """A check on the card. status: not begun, done, failed, or skipped with the reason."""

    name: str
    status: str = "not begun"
    seconds: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)
    note: str = ""


class Worker:
    """A process that runs checks by number, begun when it is first needed."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, number: int, setup: Setup) -> Row:
        """The row of a check, whatever becomes of it."""
        row, start = Row(CHECKS[number].name), time.monotonic()
        if self._process is None:
            self._begin()
        try:
            self._pipe.send((number, setup))
            if self._pipe.poll(setup.allowed):
                row.status, row.values, row.note = self._pipe.recv()
            else:
                row.status, row.note = "failed", f"not finished after {setup.allowed:.0f} s"
                self.end()
        except (EOFError, OSError):
            self._process.join()
            row.status, row.note = "failed", f"its process died with status {self._process.exitcode}"
            self.end()
        row.seconds = round(time.monotonic() - start, 1)
        return row

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=False)
        self._process.start()
        theirs.close()

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
            self._process = None


def serve(pipe: Connection) -> None:
    """Run checks that are asked for, until nobody asks."""
    while True:
        try:
            number, setup = pipe.recv()
        except EOFError:
            return
        pipe.send(outcome(CHECKS[number], setup))


def outcome(check: Check, setup: Setup) -> tuple[str, dict[str, Any], str]:
    """Status, numbers and remark of a check."""
    try:
        found: Found = check.work(setup)
    except NotPossibleError as reason:
        return "skipped", {}, str(reason)
    except Exception as error:
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        return "failed", {}, f"{type(error).__name__}: {line}"[:200]
    finally:
        if setup.device.startswith("cuda"):
            torch.cuda.empty_cache()
    return ("failed" if found.exceeded else "done"), found.values, "; ".join(found.exceeded)


def filled(setup: Setup, minutes: float, out: Path) -> list[Row]:
    """The rows of all checks; the card is written after every one."""
    start, rows, worker = time.monotonic(), [Row(check.name) for check in CHECKS], Worker()
    about = {"device": hardware(setup.device), "torch": torch.__version__, "date": date.today().isoformat()}
    about |= {"minutes": minutes}
    try:
        for number, check in enumerate(CHECKS):
            left = 60 * minutes - (time.monotonic() - start)
            allowed = left if check.name == LAST else min(left, PATIENCE * check.seconds)
            if left < check.seconds:
                rows[number] = Row(check.name, "skipped", note=f"for time: {max(left, 0):.0f} s left")
            else:
                given = Setup(setup.device, setup.tiny, allowed, setup.acac)
                rows[number] = worker.run(number, given)
            one = rows[number]
            print(f"{one.status:8} {one.seconds:6.1f} s  {one.name}  {one.note}", flush=True)
            write(about | {"seconds": round(time.monotonic() - start, 1), "rows": [vars(row) for row in rows]}, out)
    finally:
        worker.end()
    return rows


def write(card: dict[str, Any], out: Path) -> None:
    """Write the card, whole or not at all; JSON has no NaN, which becomes null."""
    for row in card["rows"]:
        row["values"] = {k: None if isinstance(v, float) and v != v else v for k, v in row["values"].items()}
    text = json.dumps(card, indent=1, allow_nan=False)
    write_whole(out, lambda path: path.write_text(text + "\n", encoding="utf-8"))


def shown(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    rows = [[r["name"], r["status"], f"{r['seconds']:.0f}", _numbers(r["values"]), r["note"]] for r in card["rows"]]
    head = (
        f"{card['device']}, torch {card['torch']}, {card['date']}, {card['seconds']:.0f} s of {card['minutes']:g} min."
    )
    return f"{head}\n\n{table(('check', 'status', 's', 'numbers', 'remark'), rows)}"


def _numbers(values: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if value is None:
            return "-"
        return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)

    return "; ".join(f"{name} {text(value)}" for name, value in values.items())


def section(given):
    """Section of the page of performance, from the card among the results."""
    from performance import Section

    path = given.results / CARD
    title = "On a GPU"
    if not path.exists():
        return Section(title, f"Not measured yet on a GPU. `make check-gpu` does it and writes `results/{CARD}`.")
    return Section(title, shown(json.loads(path.read_text(encoding="utf-8"))) + "\nTimes are wall times.")


def main(arguments: list[str] | None = None) -> int:
    """Fill the card and print it; 1 if a check failed. Without a GPU say so in one line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("results") / CARD)
    parser.add_argument("--acac", type=Path, default=None, help="prepared store of acetylacetone")
    parser.add_argument("--device", default="cuda", help="cpu tries the checks themselves, with --tiny")
    parser.add_argument("--tiny", action="store_true", help="models of a few hundred weights")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("check-gpu: skipped, no CUDA device here")
        return 0
    acac = given.acac if given.acac and given.acac.exists() else None
    rows = filled(Setup(device_of(given.device), given.tiny, acac=acac), given.minutes, given.out)
    print(f"\n{shown(json.loads(given.out.read_text(encoding='utf-8')))}\n{given.out}")
    return int(any(row.status == "failed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
