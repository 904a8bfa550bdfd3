"""Lines of a run, from the messages that Snakemake sends, through the handlers that it sets up."""

import io
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.logging import LoggerManager
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from twirlscope.planning import run_lines
from twirlscope.planning.plan import Plan

ROOT = Path(__file__).parents[3]


class Job(SimpleNamespace):
    """A job of Snakemake, as far as it is asked."""

    __hash__ = object.__hash__


class Dag:
    """Jobs in the order of their numbers, each of which needs the one before."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.dependencies = {job: {jobs[n - 1]: set()} if n else {} for n, job in enumerate(jobs)}

    def needrun_jobs(self):
        return self.jobs

    def needrun(self, job):
        return job in self.jobs

    def jobid(self, job):
        return self.jobs.index(job)


class Command:
    """A command of Snakemake with two jobs, whose messages are sent by hand."""

    def __init__(self, folder, modules=1, main=True, dryrun=False, **output):
        self.folder, self.stream, self.dryrun = folder, io.StringIO(), dryrun
        self.logger = logging.Logger("snakemake")
        settings = OutputSettings(**output)
        self.manager = LoggerManager(self.logger, settings)
        self.logger.handlers[0].stream = self.stream
        jobs = [self.job(stage, {"run": "augmented", "seed": "0"}) for stage in ("train", "twirl")]
        names = SimpleNamespace(apply=lambda text: text.replace("<benchmarks>", str(folder / "benchmarks")))
        self.workflow = SimpleNamespace(
            dag=Dag(jobs),
            is_main_process=main,
            modifier_stack=[None] * modules,
            output_settings=settings,
            executor_plugin=None,
            dryrun=False,
            touch=False,
            pathvars=names,
        )
        plan = Plan(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))
        run_lines.attach(plan, self.workflow, self.logger)

    def job(self, stage, wildcards):
        log, benchmark = (self.folder / f"{stage}{end}" for end in (".log", ".tsv"))
        return Job(rule=SimpleNamespace(name=stage), wildcards_dict=wildcards, log=[log], benchmark=benchmark)

    def begin(self):
        self.send("", "WORKFLOW_STARTED", logging.INFO, **dict.fromkeys(FACTS.split(), "fact"))
        self.workflow.executor_plugin, self.workflow.dryrun = object(), self.dryrun  # as late as in Snakemake
        self.send("Provided cores: 2", "RESOURCES_INFO", cores=2)
        self.send("Job stats:", "RUN_INFO", stats={})

    def send(self, text, event=None, level=logging.INFO, **fields):
        self.logger.log(level, text, extra=fields | ({"event": LogEvent[event]} if event else {}))

    def start(self, number):
        fields = {"rule_msg": "a message", "rule_name": "train", "reason": "a reason", "local": False}
        self.send("", "JOB_INFO", jobid=number, **fields)

    def fail(self, number):
        log = [str(self.workflow.dag.jobs[number].log[0])]
        fields = {"input": [], "output": [], "conda_env": None, "shellcmd": None, "aux": {}, "rule_name": "train"}
        self.send("Error in rule", "JOB_ERROR", logging.ERROR, jobid=number, log=log, rule_msg=None, **fields)

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


FACTS = (
    "datetime workflow_id platform host user snakemake_version python_version cmd snakefile_main basedir rundir cwd "
    "configfiles config_md5"
)


def test_run__has_one_line_per_start_and_end_with_what_was_found(tmp_path):
    command = Command(tmp_path)
    command.begin()
    command.send("Building DAG of jobs...")
    command.start(0)
    (tmp_path / "train.log").write_text("found: loss 0.4 after 3,500 updates\n")
    (tmp_path / "train.tsv").write_text("s\th:m:s\n412.5\t0:06:52\n")
    command.send("Finished jobid: 0", "JOB_FINISHED", job_id=0)
    command.send("", "PROGRESS", done=1, total=2)
    command.start(1)
    (tmp_path / "twirl.log").write_text("found: 1.23 % after 3,500 updates\n")
    command.send("Finished jobid: 1", "JOB_FINISHED", job_id=1)
    command.send("Complete log(s): x")
    first, *others = command.lines
    assert first.startswith("2 jobs, about ")
    assert "with 2 at once (from the plan; no speed is known yet)" in first
    assert [line.partition("] ")[2] for line in others[:4]] == [
        f"train augmented seed 0: started, about {run_lines.duration(4.0 + 0.6 * 336)}",
        "train augmented seed 0: loss 0.4 after 3,500 updates (7 min)",
        "twirl augmented seed 0: started, about 63 s",
        "twirl augmented seed 0: 1.23 % after 3,500 updates (0 s)",
    ]
    assert others[3].startswith("[100 %, 0 s left]")
    assert others[4].startswith("2 of 2 jobs done in ")
    assert others[5:] == ["Complete log(s): x"]


def test_second_run__knows_the_speeds_of_the_first(tmp_path):
    for _ in range(2):
        command = Command(tmp_path)
        command.begin()
        for number in range(2):
            command.start(number)
            command.send("", "JOB_FINISHED", job_id=number)
    assert "from speeds of earlier runs" in command.lines[0]


def test_failed_job__is_one_line_with_its_reason_and_the_path_of_its_log(tmp_path):
    command = Command(tmp_path)
    command.begin()
    command.start(0)
    (tmp_path / "train.log").write_text("a line\nERROR train: train: expected a finite loss, got nan\n")
    command.send("RuleException: ... returned non-zero exit status 1.", "ERROR", logging.ERROR, exception="x")
    command.fail(0)
    command.send("Exiting because a job execution failed.", None, logging.ERROR)
    command.send("Complete log(s): x")
    told = command.lines[2].partition("] ")[2]
    reason = "ERROR train: train: expected a finite loss, got nan"
    assert told == f"train augmented seed 0: FAILED after 0 s: {reason}; log: {tmp_path / 'train.log'}"
    assert command.lines[4].endswith("; failed: train augmented seed 0; not run because of that: 1")
    assert len(command.lines) == 6


def test_failed_job__that_left_no_message_says_so(tmp_path):
    command = Command(tmp_path)
    command.begin()
    command.start(0)
    command.fail(0)
    assert "it left no message" in command.lines[2]


def test_warnings_and_what_snakemake_says_to_users_are_shown(tmp_path):
    command = Command(tmp_path)
    command.send("before the run")
    command.begin()
    command.send("x is made again: code", None, logging.WARNING)
    command.send("Nothing to be done (all requested files are present and up to date).")
    command.send("Select jobs to execute...")
    shown = [line for line in command.lines if "jobs, about" not in line]
    assert [line.split(" ")[0] for line in shown] == ["before", "x", "Nothing"]


@pytest.mark.parametrize(
    "other", [{"dryrun": True}, {"modules": 2}, {"main": False}, {"verbose": True}], ids=lambda d: next(iter(d))
)
def test_dry_runs_modules_jobs_and_verbose__print_what_snakemake_prints(tmp_path, other):
    command = Command(tmp_path, **other)
    command.begin()
    command.start(0)
    assert "SNAKEMAKE" in command.lines
    assert "Job 0: a message" in command.lines
    assert not any("started" in line for line in command.lines)


@pytest.mark.parametrize(
    ("quiet", "shown"),
    [({Quietness.RULES}, {"jobs", "found", "FAILED"}), ({Quietness.PROGRESS}, {"started", "FAILED"}),
     ({Quietness.RULES, Quietness.PROGRESS}, {"FAILED"}), ({Quietness.ALL}, set())],
)  # fmt: skip
def test_quiet__hides_starts_or_ends_and_keeps_failures(tmp_path, quiet, shown):
    command = Command(tmp_path, quiet=quiet)
    command.begin()
    command.start(0)
    (tmp_path / "train.log").write_text("found: found\n")
    command.send("", "JOB_FINISHED", job_id=0)
    command.start(1)
    command.fail(1)
    text = command.stream.getvalue()
    assert {word for word in ("jobs", "found", "started", "FAILED") if word in text} == shown


def test_fault_of_these_lines__brings_the_blocks_of_snakemake_back(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lines, "work_of", lambda *_: 1 / 0)
    command = Command(tmp_path)
    command.begin()
    command.start(0)
    assert "lines of jobs: ZeroDivisionError: division by zero" in command.lines
    assert "Job 0: a message" in command.lines


def test_names_and_durations__are_words():
    assert run_lines.name_of("prepare_part", {"dataset": "molecules", "part": "3"}) == "prepare molecules part 3"
    assert run_lines.name_of("gather", {"stage": "twirl", "run": "a", "seed": "1"}) == "gather twirl a seed 1"
    assert run_lines.name_of("partial_report", {}) == "partial report"
    said = [run_lines.duration(s) for s in (0.0, 89.0, 90.0, 3600.0, 7800.0)]
    assert said == ["0 s", "89 s", "2 min", "60 min", "2 h 10 min"]
