# The config, checked, as `plan`. This file lies beside the package because Snakemake puts the folder of an included
# file on the path of rules and scripts: the package needs no installation, wherever the working directory is.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from twirlscope.errors import UserErrors
from twirlscope.planning import config_files, run_lines
from twirlscope.planning.plan import Plan
from twirlscope.planning.reruns import Reruns

# Snakemake puts the path of Python into shell commands as it is: without quotes, one with a space is cut there
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)

given = len(
    workflow.overwrite_configfiles
)  # with --configfile; those named by a Snakefile are read before
files = [*workflow.configfiles[given:], *workflow.configfiles[:given]]
try:
    config_files.require_unambiguous(files)
    plan = Plan(config)
except UserErrors as found:
    mistakes = config_files.located(found, files)
    raise WorkflowError(
        f"the config has {len(mistakes.errors)} mistake(s):\n{mistakes}"
    ) from None
results = Path(
    workflow.pathvars.apply("<results>")
)  # now: that of a module holds while it is read
run_lines.attach(plan, workflow, logger)
reruns = Reruns(plan, workflow, results, logger.warning)
