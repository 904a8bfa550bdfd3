"""How tests are spread over processes: a file stays together, and so do the files that share one smoke run.

The longest come first: the cluster, which mostly waits, then the smoke run; so `make test-all` has three processes for
two cores. Each process has one thread: several with two each wait for each other's, and a second becomes a minute.
Freed memory stays with it, as with a job.
"""

import os

import pytest

from twirlscope.runtime import memory

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it when it is imported
memory.keep_freed()
CLUSTER = "test_slurm.py"


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: (item.path.name != CLUSTER, "workflow" not in item.path.parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        """Not xdist's groups, which it writes into names of tests where pytest 9.2 does not look for them."""

        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return "one smoke run" if "/workflow/" in file and not file.endswith(CLUSTER) else file

    config.option.loadscopereorder = False  # else those of the most tests come first
    return ByFile(config, log)
