"""Memory that a process has freed and takes again."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of glibc's mallopt
LARGEST = 2**30  # [byte] of an allocation that is kept after its end


def keep_freed() -> bool:
    """Keep memory that this process frees for its next allocations; true if the C library can.

    By default glibc returns a tensor of 32 MB or more to the kernel as soon as it is freed, and the next one of its
    size is mapped anew, page by page, each filled with zeros first. Where tensors are that large, as in products with
    many columns or passes of many rotations, that is up to half of the CPU time. The peak of the memory grows, by up to
    a third where it was measured.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST)) and bool(mallopt(TRIM_THRESHOLD, 2 * LARGEST - 1))
