# The config, checked, as `plan`. This file lies beside the package because Snakemake puts the folder of an included
# file on the path of rules and scripts: the package needs no installation, wherever the working directory is.
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from twirlscope.errors import UserErrors
from twirlscope.planning import config_files
from twirlscope.planning.plan import Plan
from twirlscope.planning.reruns import Reruns

try:
    config_files.require_unambiguous(workflow.configfiles)
    plan = Plan(config)
except UserErrors as mistakes:
    raise WorkflowError(
        f"the config has {len(mistakes.errors)} mistake(s):\n{mistakes}"
    ) from None
results = Path(
    workflow.pathvars.apply("<results>")
)  # now: that of a module holds while it is read
reruns = Reruns(plan, workflow, results, logger.warning)
