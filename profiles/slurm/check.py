"""What Snakemake would submit to SLURM, one sbatch line a job, without a cluster; the arguments are Snakemake's:

    python profiles/slurm/check.py --profile profiles/slurm --configfile config/smoke.yaml

A plain dry run says nothing of resources where a rule has a message. The lines are those of the executor plug-in itself
but for the account and partition, which it would ask a cluster for.
"""

import sys
from pathlib import Path

from snakemake import cli
from snakemake.executors.dryrun import Executor
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import get_job_wildcards, set_gres_string
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

parser, args = cli.parse_args(["--quiet", "host", "reason", "--dry-run", *sys.argv[1:]])
settings = ExecutorPluginRegistry().get_plugin("slurm").get_settings(args)


def print_submission(executor: Executor, job) -> None:
    """The sbatch line, in place of what a dry run prints of a job."""
    if not job.is_group() and job.is_norun:
        return
    name, wildcards = f"{'group' if job.is_group() else 'rule'}_{job.name}", get_job_wildcards(job)
    account, partition = (job.resources.get(f"slurm_{name}") for name in ("account", "partition"))
    names = {
        "run_uuid": f"{settings.jobname_prefix}_<id>",
        "slurm_logfile": Path(settings.logdir) / name / wildcards / "%j.log",
        "comment_str": "_".join(["rule", job.name, *(["wildcards", wildcards] if wildcards else [])]),
        "account": f"--account={account}" if account else "",
        "partition": f"--partition={partition}" if partition else "",
        "workdir": None,
    }
    print(" ".join((get_submit_command(job, names, settings) + set_gres_string(job)).split()))


Executor.printjob = print_submission
sys.exit(not cli.args_to_api(args, parser))
