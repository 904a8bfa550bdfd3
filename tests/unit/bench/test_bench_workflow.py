"""What the workflow adds to its jobs, on made-up runs."""

import os
from datetime import datetime

import pytest

from bench import bench_workflow
from bench.bench_workflow import Job
from twirlscope.errors import UserError

DIAMOND = {
    "prepare": Job("prepare", 2.0),
    "train": Job("train", 10.0, needs=("prepare",)),
    "twirl": Job("twirl", 3.0, needs=("train",)),
    "hessian": Job("hessian", 4.0, needs=("train",)),
    "report": Job("report", 1.0, needs=("twirl", "hessian")),
}


def test_longest_chain__of_a_diamond():
    assert bench_workflow.longest_chain(DIAMOND) == (17.0, ["prepare", "train", "hessian", "report"])


@pytest.mark.parametrize(("cores", "seconds"), [(1, 20.0), (2, 17.0), (8, 17.0)])
def test_least__is_the_work_on_one_core_and_the_chain_on_many(cores, seconds):
    assert bench_workflow.least(DIAMOND, cores) == seconds


def test_least__counts_every_core_that_a_job_takes():
    jobs = {"a": Job("train", 6.0, threads=2), "b": Job("train", 6.0, threads=2)}
    assert bench_workflow.least(jobs, 2) == 12.0
    assert bench_workflow.least(jobs, 4) == 6.0
    assert bench_workflow.least(jobs, 1) == 12.0, "Snakemake gives a job no more threads than there are cores"


@pytest.mark.parametrize(("cores", "seconds"), [(1, 20.0), (2, 17.0)])
def test_without_gaps__is_the_least_where_cores_can_be_kept_busy(cores, seconds):
    assert bench_workflow.without_gaps(DIAMOND, cores) == seconds


def test_without_gaps__is_longer_where_a_core_has_nothing_to_do():
    jobs = {name: Job("twirl", 2.0) for name in "abcd"} | {"last": Job("report", 2.0, needs=tuple("abcd"))}
    assert bench_workflow.least(jobs, 2) == 5.0
    assert bench_workflow.without_gaps(jobs, 2) == 6.0


def test_without_gaps__starts_the_job_first_that_most_waits_for():
    jobs = {"short": Job("prepare", 1.0), "other": Job("prepare", 1.0), "long": Job("train", 5.0, needs=("other",))}
    assert bench_workflow.without_gaps(jobs, 1) == 7.0
    assert bench_workflow.without_gaps(jobs, 2) == 6.0
    wide = {"wide": Job("train", 3.0, threads=2), "narrow": Job("twirl", 1.0)}
    assert bench_workflow.without_gaps(wide, 2) == 4.0


def written(path, text, time):
    path.write_text(text)
    os.utime(path, (time, time))
    return path


def test_wall_time__is_that_of_the_command_that_ran_all_jobs(tmp_path):
    start = datetime(2026, 1, 1, 12, 0, 0, 500000).timestamp()
    benchmarks = [written(tmp_path / f"{i}.tsv", "s\tio_in\n3.5\t0\n", start + 10 * i) for i in (1, 2)]
    logs = [
        written(tmp_path / "2026-01-01T115959.000000.snakemake.log", "", start - 1),
        written(tmp_path / "2026-01-01T120000.500000.snakemake.log", "", start + 21),
        written(tmp_path / "2026-01-01T120100.000000.snakemake.log", "", start + 70),
    ]
    assert bench_workflow.wall_time(logs, benchmarks) == pytest.approx(21, abs=1e-3)
    with pytest.raises(UserError, match="in one command"):
        bench_workflow.wall_time(logs, [written(tmp_path / "3.tsv", "", start - 5), *benchmarks])
    assert bench_workflow.work_of(benchmarks[0]) == 3.5
    with pytest.raises(UserError, match="finished run"):
        bench_workflow.work_of(tmp_path / "none.tsv")


def test_table__ends_with_the_ratio():
    text = bench_workflow.table(
        DIAMOND, 18.7, 2, {"prepare": 0.5, "train": 2.0, "twirl": 2.0, "hessian": 2.0, "report": 1.0}
    )
    assert "| train | 1 | 10.0 | 2.0 |" in text
    assert "| longest chain: prepare, train, hessian, report | 17.0 |" in text
    assert text.endswith("| **1.100** |")
