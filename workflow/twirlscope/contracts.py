"""Base classes of tasks and models, and the data types that they exchange with the stages.

A plug-in is ONE file with one subclass of `Task`, `Model`, `Dataset` (see `sources`) or `Objective` (see `objective`)
and its `Settings`, a closed pydantic model (see `settings.base`). Nothing is registered. The config names a
plug-in: `force_field` for `tasks/force_field.py`, or `my_file.py:MyTask` for a file of the user's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr

from ._typing import Array, Callable, Float, Index, Int, Irreps, Tensor
from .errors import UserError
from .geometry import action
from .settings.base import Settings


@dataclass(frozen=True)
class Batch:
    """Samples for a model. Every tensor has the sample as its first dimension; samples of different sizes are padded.

    inputs: inputs of the model, by name.
    targets: by term, `[sample, ..., component]`, in the units of the loss.
    weights: by term, `[sample, ...]`, the weight of each vector in its sample. They are 0 on padding and sum to 1 over
        a sample, or to less for a sample that counts less.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to every tensor."""
        return Batch(*({k: function(v) for k, v in part.items()} for part in (self.inputs, self.targets, self.weights)))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """The batch on a device, with floating-point tensors in a dtype.

        Copies from the CPU to an NVIDIA GPU use pinned memory and do not wait for the transfer.
        """
        return self.map(partial(_moved, device=device, dtype=dtype))

    def repeat(self, copies: int) -> Batch:
        """Each sample `copies` times in a row: a, a, b, b, ... (to stack rotations into the batch)."""
        return self.map(lambda t: t.repeat_interleave(copies, 0))

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))


def _moved(t: Tensor, device: torch.device | str, dtype: torch.dtype | None) -> Tensor:
    """A tensor on a device, see `Batch.to`."""
    t = t.to(dtype=dtype) if dtype is not None and t.is_floating_point() else t
    to_gpu = str(device).startswith("cuda") and not t.is_cuda
    return t.pin_memory().to(device, non_blocking=True) if to_gpu else t.to(device)


@dataclass(frozen=True)
class Term:
    """One output of a task, compared with its target: a term of the loss.

    name: key of the prediction and of the target.
    irreps: of the last axis, as an e3nn string or `Irreps`: `0e` a scalar, `1o` a polar vector.
    loss: name of the training loss of this term (`losses.LOSSES`).
    weight: factor of this term in the weighted sum.
    scale, unit: for reports, a prediction times `scale` is in `unit`.
    """

    name: str
    irreps: Irreps
    loss: str = "mse"
    weight: float = 1.0
    scale: float = 1.0
    unit: str = "1"

    def __post_init__(self):
        object.__setattr__(self, "irreps", action.text(self.irreps))  # stores and manifests hold the string


class Task(ABC):
    """A learning problem: makes batches of samples, rotates them, and names the outputs that are compared.

    Args:
        settings: an instance of `Settings`.
        data: the dataset that `prepare` wrote. Arrays by atom may be longer than memory: `ragged.Ragged` reads only
            those of a batch, while `.values` reads them all.
    """

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]  # `Model.task` refers to it
    group: str = "SO3"  # group that acts exactly on the batches; "octahedral" for fields on a cubic grid
    terms: tuple[Term, ...]
    irreps_in: ClassVar[dict[str, Irreps]]  # irreps of the last axis of each input; inputs not named are not rotated
    dataset_kind: ClassVar[str]  # kind of data that the task takes, see `Dataset.kind`
    on_grid: ClassVar[bool] = False  # True if samples are fields on a grid, whose points stay while the field turns
    reflections: ClassVar[bool] = False  # True if samples may also be reflected: O(3), not SO(3) alone
    points: ClassVar[tuple[str, str] | None] = None  # for frame averaging: input with positions, and its padding mask
    attribution: tuple[str, str, list[int]] | None = None  # term, input with a label for each of its vectors, labels
    covariate: tuple[str, str] | None = None  # input with one number per sample that the loss depends on, and its name
    constants: dict[str, Any]  # facts of the data for the model, e.g. elements; key `optional`: see `Model.optional`

    @abstractmethod
    def __init__(self, settings: Settings, data: xr.Dataset): ...

    @abstractmethod
    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """The samples with these indices, on the CPU. The same index always gives the same batch, noise included."""

    def draw(self, index: Int[Array, " sample"], rng: np.random.Generator) -> Batch:
        """The samples of a training update. A task with noise, times and the like draws them anew from `rng`."""
        return self.batch(index)

    def training_batch(
        self,
        index: Int[Array, " sample"],
        rng: np.random.Generator,
        rotation: Float[Tensor, "sample 3 3"] | None,
        device: torch.device | str,
    ) -> Batch:
        """The batch of `draw` on a device, each sample rotated by its rotation unless `rotation` is None.

        A task overrides this if its samples can be rotated freely only before they become a batch. For example,
        molecules are rotated by any rotation before they are put on a grid, whose own group is octahedral.
        """
        batch = self.draw(index, rng)
        return (batch if rotation is None else self.rotate(batch, rotation)).to(device)

    def rotate(self, batch: Batch, rotation: Float[Tensor, "sample 3 3"]) -> Batch:
        """Each sample rotated by its rotation or rotoreflection, inputs and targets: (g x, rho(g) y)."""
        inputs = {k: action.rotate(self.irreps_in.get(k, "0e"), rotation, v) for k, v in batch.inputs.items()}
        targets = {t.name: action.rotate(t.irreps, rotation, batch.targets[t.name]) for t in self.terms}
        return replace(batch, inputs=inputs, targets=targets)

    def under_all_rotations(self) -> Task | None:
        """This task under all rotations, by interpolation, if `group` is a finite group; None where there is none."""
        return None

    def metrics(
        self, index: Int[Array, " sample"], prediction: dict[str, Tensor]
    ) -> dict[str, Float[Array, " sample"]]:
        """Further metrics of the predictions for `batch(index)`, one number per sample, by name; empty by default."""
        return {}

    def generate(self, model: Callable[[dict], dict], device: str) -> xr.Dataset | None:
        """Samples that a generative model generates, beside samples of the data; None for other tasks."""
        return None


class Model(torch.nn.Module):
    """Maps the inputs of a batch to a prediction: one tensor per term, in the units of the loss.

    Blocks in a ModuleList named `blocks` can be recomputed in the backward pass to save memory. Except for dropout
    masks, a model draws no random numbers: the task draws them and passes them among the inputs.

    Args:
        settings: an instance of `Settings`.
        constants: `Task.constants` of the task it is trained on.
    """

    Settings: ClassVar[type[Settings]]
    task: ClassVar[str]  # name of the task it is made for
    optional: ClassVar[frozenset[str]] = frozenset()  # supported inputs and terms that only some data have, e.g. `cell`

    @property
    def equivariant(self) -> bool:
        """True if the model is equivariant by construction under the group of its task; conformance tests check it."""
        return False

    @property
    def activations(self) -> dict[str, str]:
        """Irreps of the outputs of modules, by module path, in the order of the network; empty for most models.

        The features of an output are on its last axis, those of a field on its axis 1: `[sample, feature, x, y, z]`.
        """
        return {}

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Prediction by term, `[sample, ..., component]`; entries on padding are ignored."""
        raise NotImplementedError


@dataclass(frozen=True)
class Evaluation:
    """A model, a task whose samples it is evaluated on, and the device, dtype and size of the forward passes.

    model: maps `Batch.inputs` to a prediction by term, in evaluation mode, on that device and in that dtype.
    task: makes the samples and rotates them.
    device: torch device.
    dtype: of floating-point inputs.
    chunk: rotated samples in one forward pass.
    """

    model: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    task: Task
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    chunk: int = 256

    def batch(self, index: Int[Array, " sample"]) -> Batch:
        """The samples with these indices, on the device and in the dtype of the model."""
        return self.task.batch(index).to(self.device, self.dtype)


def as_index(index: Index, count: int | None = None) -> Int[Array, " sample"]:
    """Indices of samples from an array, tensor, list or range of them, or from a mask.

    Args:
        index: whole numbers from 0, or one boolean per sample.
        count: number of samples there are; None if unknown.

    Raises:
        UserError: no samples, or values that are not indices of samples.
    """
    found = np.atleast_1d(index.detach().cpu().numpy() if isinstance(index, Tensor) else np.asarray(index))
    mask = found.dtype == bool
    if found.ndim != 1 or not (mask or found.dtype.kind in "iu") or not found.size:
        got = f"{type(index).__name__} of shape {list(found.shape)} and dtype {found.dtype}"
        raise UserError("index", "indices of one or more samples, or a mask with one boolean per sample", got)
    if mask and not (found.any() and len(found) == (count or len(found))):
        expected = "a mask that is true for a sample" + (f", of length {count}" if count else "")
        raise UserError("index", expected, f"length {len(found)} with {found.sum()} true")
    found = np.flatnonzero(found) if mask else found.astype(np.int64)
    if found.min() < 0 or (count is not None and found.max() >= count):
        below = "" if count is None else f" and below {count}"
        raise UserError("index", f"indices from 0{below}", f"{found.min()} to {found.max()}")
    return found
