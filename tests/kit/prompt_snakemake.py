"""Snakemake that asks SLURM for ended jobs every second.

Its executor waits ten seconds longer whenever nothing has ended, which spares a real cluster and costs a test minutes.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

EVERY = 1.0  # [s]

Executor.next_seconds_between_status_checks = property(lambda executor: EVERY, lambda executor, seconds: None)

if __name__ == "__main__":
    main(sys.argv[1:])
