"""Cost of a training and of its model, measured the same way in every run: time, FLOPs, memory, energy.

Time and energy are metered during the updates of the training itself. The rest is measured once, before the first
update, on a few batches, in well under the time of a few dozen updates: what fails there costs no training.

What torch's counter knows of FLOPs are matrix products, convolutions and attention, a multiplication and an addition
two of them, forwards, backwards and in the optimiser (Muon orthogonalises by products). It omits all that goes by
element (activations, norms, softmax outside of fused attention), sums, indexing and scatters, spectral transforms, and
every kernel that torch does not know by name.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import weakref

import numpy as np
import torch
import xarray as xr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary

from .._typing import Callable, Float, Iterator, Sequence, Tensor
from ..runtime.energy import energy_counter

REPEATS = 3  # timed passes of each batch
BY_UPDATE = ("flops_update", "forward_rows", "backward_rows")  # numbers that grow with the samples of an update
FUSED = {  # torch's counter knows fused attention on GPUs alone
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, keys, values, *_, **__: sdpa_flop_count(query, keys, values)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda gradient, query, keys, values, *_, **__: sdpa_backward_flop_count(gradient, query, keys, values)
    ),
}

Named = dict[str, Tensor]


class Meter:
    """Time [s] and energy [J] of the updates of a training, over all its resumptions, without measuring and saving.

    An update whose outcome was lost, because the training was killed before its state was saved, does not count.

    Args:
        device: the torch device that trains. The last kernels of an update may run on into the next one, and are
            counted there.
    """

    def __init__(self, device: str):
        self.elapsed: list[float] = []  # until after each update
        self.energy = 0.0
        self.device = device
        self._counter, self._aside = energy_counter(device), (0.0, 0.0)

    @contextlib.contextmanager
    def update(self) -> Iterator[None]:
        """Context of one update, whose time and energy count."""
        start, self._aside = self._now(), (0.0, 0.0)
        yield
        seconds, joules = (b - a - c for a, b, c in zip(start, self._now(), self._aside, strict=True))
        self.elapsed.append((self.elapsed[-1] if self.elapsed else 0.0) + seconds)
        self.energy += joules

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Context, within an update, of work done for later stages, which does not count."""
        start = self._now()
        yield
        self._aside = tuple(c + b - a for a, b, c in zip(start, self._now(), self._aside, strict=True))

    def state(self) -> dict:
        """State of the meter, which `restore` takes back in a resumed training."""
        return {"elapsed": self.elapsed, "energy": self.energy}

    def restore(self, state: dict) -> None:
        """Continue from a state of the meter."""
        self.elapsed, self.energy = list(state["elapsed"]), state["energy"]

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), self._counter() if self._counter else float("nan")


class Allocated(TorchDispatchMode):
    """Context that records `peak`, the largest total size [byte] of live tensors made by operations.

    Memory that a kernel takes and frees within itself is not seen.
    """

    def __init__(self):
        super().__init__()
        self.live, self.peak, self._known = 0, 0, WeakIdKeyDictionary()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        """Run an operation and note the storages of its results; a view takes no memory."""
        found = operation(*args, **(kwargs or {}))
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(found):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage not in self._known and id(storage) not in given:
                self._known[storage] = True
                self.live += storage.nbytes()
                weakref.finalize(storage, self._freed, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return found

    def _freed(self, size: int) -> None:
        self.live -= size


def measure(
    model: torch.nn.Module,
    inputs: Sequence[Named],
    losses: Sequence[Callable[[], Float[Tensor, ""]]],
    state: object,
) -> dict[str, float | str]:
    """FLOPs, memory and inference time of a model, by name of the array in `train.zarr.zip`.

    Afterwards the model is as it was, and gradients are gone. Where the FLOP counter fails, FLOPs are NaN and
    `cost_missing` says why.

    Args:
        model: on its device, in training mode.
        inputs: of a few batches of the training.
        losses: for each of them, a function that returns its loss.
        state: tensors, nested in any way, that live from update to update beside the model: the optimiser's state.
    """
    with as_it_was(model):
        return _measured(model, inputs, losses, state)


def metered(meter: Meter) -> xr.Dataset:
    """Time and energy of the updates of a training, on one device, as stored in `train.zarr.zip`."""
    devices = 1 if meter.device != "cpu" else torch.get_num_threads()
    found = {
        "seconds_update": np.median(np.diff([0.0, *meter.elapsed])) if meter.elapsed else math.nan,
        "device_hours": (meter.elapsed or [0.0])[-1] * devices / 3600,
        "device_energy": meter.energy,
    }
    columns = {"elapsed": ("update", np.array(meter.elapsed, np.float64))}
    return xr.Dataset(columns | {k: ((), float(v)) for k, v in found.items()})


def _measured(
    model: torch.nn.Module,
    inputs: Sequence[Named],
    losses: Sequence[Callable[[], Float[Tensor, ""]]],
    state: object,
) -> dict[str, float | str]:
    samples, device = sum(len(next(iter(b.values()))) for b in inputs), next(model.parameters()).device
    model.zero_grad(set_to_none=True)
    with _rows_counted(model) as rows:
        update, peak, reason = _counted(lambda: [loss().backward() for loss in losses], device)
    model.zero_grad(set_to_none=True)
    with torch.no_grad(), _evaluated(model):
        inference, _, failed = _counted(lambda: [model(b) for b in inputs], device)
        seconds = [_seconds(lambda b=b: model(b), device) / len(next(iter(b.values()))) for b in inputs]
    kept = sum(t.nbytes for t in tree_leaves((model.state_dict(), state)) if isinstance(t, Tensor))
    return {
        "flops_update": update / len(losses),
        "forward_rows": rows[False] / len(losses) + rows[True] / len(losses),
        "backward_rows": rows[True] / len(losses),
        "flops_inference": inference / samples,
        "seconds_inference": float(np.mean(seconds)),
        "memory_peak": (peak if device.type == "cuda" else peak + kept) / 1e6,
        "cost_missing": reason or failed,
    }


@contextlib.contextmanager
def as_it_was(model: torch.nn.Module) -> Iterator[None]:
    """The model afterwards has the buffers (running means of batch norm) that it had, and no random number is used."""
    device, buffers = next(model.parameters()).device, {n: b.clone() for n, b in model.named_buffers()}
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


@contextlib.contextmanager
def _rows_counted(model: torch.nn.Module) -> Iterator[dict[bool, int]]:
    """Context that counts the rows that pass through a model, by whether gradients will flow back through them."""
    rows = {True: 0, False: 0}

    def count(_module: torch.nn.Module, inputs: tuple[Named]) -> None:
        rows[torch.is_grad_enabled()] += len(next(iter(inputs[0].values())))

    handle = model.register_forward_pre_hook(count)
    yield rows
    handle.remove()


@contextlib.contextmanager
def _evaluated(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode."""
    training = model.training
    model.eval()
    yield
    model.train(training)


def flops(work: Callable[[], object]) -> int:
    """FLOPs of a function call, forward and backward, as far as torch's counter knows them."""
    with FlopCounterMode(display=False, custom_mapping=FUSED) as counter:
        work()
    return counter.get_total_flops()


def first_update(
    model: torch.nn.Module, optimiser: Callable[[torch.nn.Module], torch.optim.Optimizer]
) -> tuple[float, object, str]:
    """FLOPs of an update of an optimiser, its state after it, and why the FLOPs are NaN if so.

    AdamW has no FLOPs, since it works by element.

    Args:
        model: is copied, so that its weights stay.
        optimiser: makes the optimiser of a model.
    """

    state: list[object] = []

    def update() -> None:
        twin = copy.deepcopy(model)
        for weight in twin.parameters():
            weight.grad = torch.ones_like(weight)
        made = optimiser(twin)
        made.step()
        state.append(made.state_dict())

    found, _, reason = _counted(update, next(model.parameters()).device)
    return found, state, reason


def _counted(work: Callable[[], object], device: torch.device) -> tuple[float, float, str]:
    """FLOPs of a function call, its peak memory [byte] (on a GPU that of all tensors), and why these are NaN if so."""
    memory = Allocated()
    try:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with memory:
            counted = flops(work)
    except Exception as error:  # a model that trains is not refused because it cannot be counted
        return math.nan, math.nan, f"{type(error).__name__}: {error}"
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else memory.peak
    return float(counted), float(peak), ""


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median time [s] of a function call, warm."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))
