"""Devices, their names, and the versions of packages that shape results."""

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
    """Versions of Python, of the machine's processor type and of the packages that shape results."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def device_of(name: str, double: bool = True) -> str:
    """The torch device that a setting means: `auto` is the first GPU if there is one, else the CPU.

    Args:
        name: `auto`, `cpu`, `cuda` or `mps`.
        double: whether float64 is needed, which Apple's GPUs do not have.

    Raises:
        UserError: a device this machine does not have.
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
    """The device in words, for the report."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "mps":
        return f"{platform.machine()} GPU, Metal"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} of {os.cpu_count()} threads"
