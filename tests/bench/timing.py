"""Timing that all benchmarks share: interleaved rounds, CPU seconds, ratios and exponents with intervals, peak memory.

Seconds on a shared machine are noise. So all sides of a comparison run one after the other in every round, seconds are
those of the processor, and a ratio is formed within a round. Its value is the median over rounds.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import binom

from twirlscope.training.cost import Allocated


class Interval(NamedTuple):
    """A median over rounds, and an interval that holds the true median in at least 95 % of cases.

    Its ends are two of the values themselves, whatever their distribution. Fewer than 6 rounds give the whole range,
    which holds the true median in less than 95 % of cases.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"

    def __format__(self, form: str) -> str:
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})" if form else str(self)


def median(values: Iterable[float]) -> Interval:
    """Median of the values of independent rounds, with its interval."""
    ordered = np.sort(np.asarray(list(values), float))
    count = len(ordered)
    left_out = int(np.sum(binom.cdf(np.arange(count // 2), count, 0.5) <= 0.025)) - 1  # at either end
    first = max(left_out, 0)
    return Interval(float(np.median(ordered)), float(ordered[first]), float(ordered[count - 1 - first]))


def ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Median over rounds of the ratio of two times of the same round."""
    return median(np.asarray(above, float) / np.asarray(below, float))


def exponent(sizes: Sequence[float], times: Sequence[Sequence[float]]) -> Interval:
    """Exponent of a power law of the size, fitted in every round by least squares of logarithms.

    Args:
        sizes: at least two.
        times: for each size, its times in all rounds.
    """
    x = np.log(np.asarray(sizes, float))
    x = x - x.mean()
    return median((x @ np.log(np.asarray(times, float))) / (x @ x))


def cpu_now() -> float:
    """Processor time [s] of this process so far, of all its threads."""
    return time.process_time()


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time [s] of a function call, of all threads of this process."""
    start = cpu_now()
    work()
    return cpu_now() - start


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int, warm: int = 1) -> dict[str, np.ndarray]:
    """Processor time [s] of every function in every round, after rounds that only warm up.

    A round calls all functions, each round in another order.
    """
    names, times = list(works), {name: [] for name in works}
    for number in range(-warm, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken = cpu_seconds(works[name])
            if number >= 0:
                times[name].append(taken)
    return {name: np.array(taken) for name, taken in times.items()}


def peak_bytes(work: Callable[[], object]) -> int:
    """Largest total size [byte] of the tensors that a function call makes and holds at one moment."""
    with Allocated() as memory:
        work()
    return memory.peak


def machine() -> str:
    """Processor, cores, Python and torch of this machine, and the date, in words."""
    names = [platform.processor() or platform.machine()]
    if (info := Path("/proc/cpuinfo")).exists():
        lines = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        names = lines or names
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{names[0]}, {os.cpu_count()} cores, {versions}, {date.today().isoformat()}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(' '.join(str(cell).replace('|', '/').split()) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
