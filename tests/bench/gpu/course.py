"""Percent of the equivariance error over a training of the published EScAIP, beside the published curve."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import yaml
from bench_train import Case, loop_of

from twirlscope.report.published.curves import PublishedCurve, reference_curves
from twirlscope.training.loop import Loop

from .check import Found, NotPossibleError, Setup
from .trainings import data_of, percent

CONFIG = Path(__file__).parents[3] / "config" / "forcefields.yaml"
RUN, MARKS, TINY_MARKS, SPARE = "escaip_6m", (1000, 2000, 5000, 10_000), (2, 4), 15.0  # [s] to measure and to end


def course(setup: Setup) -> Found:
    """Train the run of `config/forcefields.yaml` in bf16 for as long as the time allows.

    Raises:
        NotPossibleError: there is no acetylacetone.
    """
    if setup.acac is None:
        raise NotPossibleError("no prepared acetylacetone: `make check-gpu-wheels ACAC=folder` prepares it")
    start, values = time.monotonic(), {}
    loop, held = _loop(setup)
    curve = reference_curves("force_field", "percent_equiv")[0]
    with loop.loader:
        for mark in TINY_MARKS if setup.tiny else MARKS:
            while loop.step < mark and time.monotonic() - start < setup.allowed - SPARE:
                loop.update()
            if loop.step < mark:
                break
            values |= _at(loop, held, curve)
    if loop.step > max([0, *(m for m in MARKS if f"percent at {m:,}" in values)]):
        values |= _at(loop, held, curve)  # as far as it came
    return Found({"updates": loop.step, "updates/s": loop.step / (time.monotonic() - start)} | values)


def _loop(setup: Setup) -> tuple[Loop, np.ndarray]:
    run = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["runs"][RUN]
    data, index, held = data_of(setup)
    keys = {name: value for name, value in run["task"].items() if name != "name"}
    model = {"name": "escaip", "width": 8, "layers": 1, "heads": 2} if setup.tiny else run["model"]
    case = Case(run["task"]["name"], model, 4 if setup.tiny else run["train"]["batch"], keys=keys)
    train = {name: value for name, value in run["train"].items() if name != "batch"}
    return loop_of(case, data, index, device=setup.device, precision="bf16", **train), held


def _at(loop: Loop, held: np.ndarray, curve: PublishedCurve) -> dict[str, float]:
    """Percent and learned fraction of the averaged weights, and the published percent at the same step."""
    own = {name: value.clone() for name, value in loop.model.state_dict().items()}
    loop.model.load_state_dict(loop.weights())
    share, learned = percent(loop.model, loop.task, held)
    loop.model.load_state_dict(own)
    published = float(np.interp(np.log(loop.step), np.log(curve.step), curve.value))
    step = f"{loop.step:,}"
    return {f"percent at {step}": share, f"learned at {step}": learned, f"published percent at {step}": published}
