"""Energy used by a device, if it has a counter: NVML for a GPU, RAPL for a processor.

Both count the whole device, including other jobs on it, and nothing of the rest of the machine.
"""

from __future__ import annotations

from pathlib import Path

from .._typing import Callable

RAPL = Path("/sys/class/powercap")  # since Linux 5.10 readable by root only, unless an administrator changes that

Counter = Callable[[], float]


def energy_counter(device: str) -> Counter | None:
    """Energy counter [J] since an arbitrary moment, to take differences of; None if the device has none."""
    if device.startswith("cuda"):
        return _nvml(device)
    return _rapl(RAPL) if device == "cpu" else None


def _nvml(device: str) -> Counter | None:
    """The counter of a GPU, if `nvidia-ml-py` is installed. GPUs before Volta and MIG instances have none."""
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
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3  # from mJ


def _rapl(folder: Path) -> Counter | None:
    """The counter of all sockets. Parts of a socket, such as `intel-rapl:0:1`, are included in it."""
    zones = sorted(z for z in folder.glob("intel-rapl:*") if z.name.count(":") == 1)
    try:
        ranges = [int((z / "max_energy_range_uj").read_text()) for z in zones]
        before = [int((z / "energy_uj").read_text()) for z in zones]
    except OSError:
        return None
    total = 0

    def used() -> float:
        """Energy [J]: the sum of differences between calls, since the counters wrap to 0 after about an hour."""
        nonlocal before, total
        now = [int((z / "energy_uj").read_text()) for z in zones]
        total += sum((b - a) % r for a, b, r in zip(before, now, ranges, strict=True))
        before = now
        return total / 1e6  # from µJ

    return used if zones else None
