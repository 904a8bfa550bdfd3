"""Jobs that Snakemake would submit to SLURM, one sbatch line per job, without a cluster; the arguments are Snakemake's:

    python profiles/slurm/check.py --profile profiles/slurm --configfile config/smoke.yaml

A plain dry run says nothing of resources where a rule has a message. The lines are those of the executor plug-in
itself but for the account and partition, which it would ask a cluster for. Below them stand the jobs without a
partition, those without a GPU model where others have one, and those with two partitions, which give exit status 1.
"""

import re
import sys
from pathlib import Path

from snakemake import cli
from snakemake.executors.dryrun import Executor
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import get_job_wildcards, set_gres_string
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

parser, args = cli.parse_args(["--quiet", "host", "reason", "--dry-run", *sys.argv[1:]])
lost = [str(path) for path in args.configfile or [] if not Path(path).exists()]
if lost:
    sys.exit(f"--configfile: expected config files that exist, got {lost[0]!r}; targets go before --configfile")
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
    lines[names["comment_str"]] = " ".join((get_submit_command(job, names, settings) + set_gres_string(job)).split())
    print(lines[names["comment_str"]])


def remarks(lines: dict[str, str]) -> list[str]:
    """Jobs without something that other jobs have, and jobs with two partitions."""
    partitions = {job: re.findall(r"(?<!\S)(?:--partition[= ]|-p )'?([\w,.-]+)", line) for job, line in lines.items()}
    gpus = {job: found[1] for job, line in lines.items() if (found := re.search(r"--gpus=(\S+)", line))}
    without = [job for job, found in partitions.items() if not found]
    found = [f"two partitions ({', '.join(p)}): {job}" for job, p in partitions.items() if len(p) > 1]
    if without:
        found.append(
            f"no partition, so the cluster's default: {', '.join(without) if lines.keys() - without else 'all'}"
        )
    plain = [job for job, asked in gpus.items() if ":" not in asked]
    if plain and len(plain) < len(gpus):
        found.append(f"a GPU of any model, where others have one: {', '.join(plain)}")
    return found


lines: dict[str, str] = {}
Executor.printjob = print_submission
ended = cli.args_to_api(args, parser)
found = remarks(lines)
print(*(f"check-slurm: {remark}" for remark in found), sep="\n")
sys.exit(not ended or any(remark.startswith("two") for remark in found))
