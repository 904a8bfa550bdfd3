"""Freed memory stays with the process: the kernel counts the pages that it had to map."""

import subprocess
import sys

import pytest

from twirlscope.runtime import memory

ALLOCATIONS = """
import resource, sys
import torch
from twirlscope.runtime import memory
kept = memory.keep_freed() if sys.argv[1] == "kept" else None
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(30):
    if number == 20:
        before = pages()
    torch.ones(16_000_000)  # 64 MB
print(kept, pages() - before)
"""


def mapped(how):
    """What `keep_freed` returned, and pages mapped for ten tensors of 64 MB, each freed before the next."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATIONS, how],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    kept, pages = done.stdout.split()
    return kept, int(pages)


def test_freed_memory__is_taken_again_without_new_pages():
    kept, pages = mapped("kept")
    if kept == "False":
        pytest.skip("this C library has no mallopt")
    assert pages < 50_000
    assert mapped("given back")[1] > 150_000, "else this test says nothing"


def test_keep_freed__is_false_where_the_c_library_cannot(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed() is False
