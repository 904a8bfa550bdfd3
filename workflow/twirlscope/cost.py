"""What a training and its model cost, measured the same way in every run: time, FLOPs, memory, energy.

Time and energy are those of the updates of the training itself, metered as it runs. The rest is measured when it is
over, on a few batches of its own, in well under the time of a few dozen updates.

What torch's counter knows of FLOPs are matrix products, convolutions and attention, a multiplication and an addition
two of them, forwards and backwards. It omits all that goes by element (activations, norms, softmax outside of fused
attention), sums, indexing and scatters, spectral transforms, and every kernel that torch does not know by name.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch.utils.flop_counter import FlopCounterMode

from .energy import energy_counter
from .hints import Callable, Float, Sequence, Tensor

REPEATS = 5  # timed passes of each batch, after one that is not timed
Named = dict[str, Tensor]


class Meter:
    """Time [s] and energy [J] of the updates of a training, over all its resumptions; what is not training is left out.

    An update whose outcome was lost, because the training was killed before its state was saved, does not count.

    Args:
        device: the torch device that trains. The last kernels of an update may run on into the next one, and are
            counted there.
    """

    def __init__(self, device: str):
        self.elapsed: list[float] = []  # until after each update
        self.energy = 0.0
        self._counter, self._aside = energy_counter(device), (0.0, 0.0)

    @contextlib.contextmanager
    def update(self) -> Iterator[None]:
        """Around one update."""
        start, self._aside = self._now(), (0.0, 0.0)
        yield
        seconds, joules = (b - a - c for a, b, c in zip(start, self._now(), self._aside, strict=True))
        self.elapsed.append((self.elapsed[-1] if self.elapsed else 0.0) + seconds)
        self.energy += joules

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Around what within an update is done for later stages."""
        start = self._now()
        yield
        self._aside = tuple(c + b - a for a, b, c in zip(start, self._now(), self._aside, strict=True))

    def state(self) -> dict:
        """What a resumed training needs; `restore` takes it."""
        return {"elapsed": self.elapsed, "energy": self.energy}

    def restore(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.elapsed, self.energy = list(state["elapsed"]), state["energy"]

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), self._counter() if self._counter else float("nan")


def measure(
    model: torch.nn.Module, inputs: Sequence[Named], losses: Sequence[Callable[[], Float[Tensor, ""]]], meter: Meter
) -> xr.Dataset:
    """The cost of a training that is over, and of its model, as stored in `train.zarr.zip`.

    The weights are not changed, gradients are gone, and running means of the model (batch norm) have moved. What the
    counter of FLOPs cannot take is NaN, and the attribute `cost_missing` says why.

    Args:
        model: on its device, in training mode.
        inputs: of a few batches of the training.
        losses: for each of them, a function that gives its loss.
    """
    samples, device = [len(next(iter(b.values()))) for b in inputs], next(model.parameters()).device
    missing: list[str] = []
    update = _flops(lambda: [_backward(loss) for loss in losses], missing)
    memory = _memory(lambda: [_backward(loss) for loss in losses], device)
    model.zero_grad(set_to_none=True)
    model.eval()
    with torch.no_grad():
        inference = _flops(lambda: [model(b) for b in inputs], missing)
        seconds = [_seconds(lambda b=b: model(b), device) / n for b, n in zip(inputs, samples, strict=True)]
    model.train()
    durations = np.diff([0.0, *meter.elapsed])
    devices = 1 if device.type != "cpu" else torch.get_num_threads()
    found = {
        "flops_update": update / len(losses),
        "flops_inference": inference / sum(samples),
        "seconds_update": np.median(durations),
        "seconds_inference": np.median(seconds),
        "memory_peak": memory,
        "device_hours": meter.elapsed[-1] * devices / 3600,
        "device_energy": meter.energy,
    }
    columns = {"elapsed": ("update", np.array(meter.elapsed))} | {k: ((), float(v)) for k, v in found.items()}
    attributes = {"threads": torch.get_num_threads(), "cost_missing": "; ".join(dict.fromkeys(missing))}
    return xr.Dataset(columns, attrs=attributes)


def _backward(loss: Callable[[], Float[Tensor, ""]]) -> None:
    loss().backward()


def _flops(work: Callable[[], object], missing: list[str]) -> float:
    """FLOPs of some work; NaN where the counter fails, with the reason added to `missing`."""
    try:
        with FlopCounterMode(display=False) as counter:
            work()
    except Exception as error:  # a model that trains is none to refuse because it cannot be counted
        missing.append(f"FLOPs: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return float("nan")
    return float(counter.get_total_flops())


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median time [s] of some work, warm."""
    taken = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:]))


def _memory(work: Callable[[], object], device: torch.device) -> float:
    """Largest memory [MB] during some work: on a GPU that of all tensors, else that of the process since it began."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) / 1e6
    work()
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
