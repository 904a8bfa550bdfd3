"""Rounds of updates in a process, asked for line by line, so that processes of several environments alternate."""

import sys
import time
from collections.abc import Callable


def serve(parameters: int, update: Callable[[], None]) -> None:
    """Print the number of parameters, then the CPU seconds of as many updates as each line of the input says."""
    update()
    print(f"ready {parameters}", flush=True)
    for line in sys.stdin:
        start = time.process_time()
        for _ in range(int(line)):
            update()
        print(time.process_time() - start, flush=True)
