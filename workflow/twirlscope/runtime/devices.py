"""Torch devices and their names, and the versions of packages that affect results."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform

from ..errors import UserError

PACKAGES = (
    "twirlscope",
    "torch",
    "e3nn",
    "numpy",
    "scipy",
    "xarray",
    "zarr",
    "rdkit",
    "ase",
    "tblite",
    "gemmi",
    "snakemake",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect results, and the platform."""
    version_of = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version_of[name] = importlib.metadata.version(name)
    return version_of


def device_of(name: str, double: bool = True) -> str:
    """The torch device of a setting: `auto` is the first GPU if there is one, else the CPU.

    Args:
        name: `auto`, `cpu`, `cuda` or `mps`.
        double: True if float64 is needed, which Apple's GPUs do not have.

    Raises:
        UserError: a device that this machine does not have.
    """
    import torch

    have = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() and not double else []),
    ]
    if name == "auto":
        return have[1] if have[1:] else "cpu"
    if name not in have:
        raise UserError("device", "a device this machine has", repr(name), have)
    return name


def hardware(device: str) -> str:
    """The name of a device, for the report: GPU model, or processor type and threads."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "mps":
        return f"{platform.machine()} GPU, Metal"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} of {os.cpu_count()} threads"
