"""The energy that a device has used, where it says so: a GPU by NVML, a processor by RAPL.

Both count the whole device, whatever else runs on it, and neither counts the rest of the machine.
"""

from __future__ import annotations

from pathlib import Path

from .._typing import Callable

RAPL = Path("/sys/class/powercap")  # since Linux 5.10 readable by root alone, unless the machine's owner opens it

Counter = Callable[[], float]


def energy_counter(device: str) -> Counter | None:
    """A function that gives the energy [J] used since some moment, for differences; None where nothing tells."""
    if device.startswith("cuda"):
        return _nvml(device)
    return _rapl(RAPL) if device == "cpu" else None


def _nvml(device: str) -> Counter | None:
    """The counter of a GPU, if `nvidia-ml-py` is installed; those before Volta, and parts of a GPU, have none."""
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3  # of mJ


def _rapl(folder: Path) -> Counter | None:
    """The counter of all sockets; the parts of a socket, `intel-rapl:0:1`, are in it already."""
    zones = sorted(z for z in folder.glob("intel-rapl:*") if z.name.count(":") == 1)
    try:
        ranges = [int((z / "max_energy_range_uj").read_text()) for z in zones]
        before = [int((z / "energy_uj").read_text()) for z in zones]
    except OSError:
        return None
    total = 0

    def used() -> float:
        """Differences from call to call, summed: the counters start again at 0 after an hour or so."""
        nonlocal before, total
        now = [int((z / "energy_uj").read_text()) for z in zones]
        total += sum((b - a) % r for a, b, r in zip(before, now, ranges, strict=True))
        before = now
        return total / 1e6  # of µJ

    return used if zones else None
