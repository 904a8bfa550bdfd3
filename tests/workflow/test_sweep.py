"""A sweep of two hundred runs: planned and reported in time and memory, and honest about what failed or is missing."""

import re
import resource
import shutil

import many
import pandas as pd
import pytest


def cpu_seconds(call):
    """What a call returns, and the processor time of the processes that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def swept(project, tmp_path_factory):
    """The smoke run's results under the names of two hundred runs, one of which failed and one never ran."""
    folder = tmp_path_factory.mktemp("swept")
    overlay = folder / "many.yaml"
    overlay.write_text(many.OVERLAY)
    shutil.copytree(project.work / "results" / "data", folder / "results" / "data")
    shutil.copytree(project.work / "results" / "runs" / "augmented", folder / "results" / "runs" / "augmented")
    plan = many.plan_of(*(project.code / "config" / n for n in ("config.yaml", "smoke.yaml")), overlay)
    made = many.pretend(folder, plan)
    failed, waiting = made[3][0], made[7][0]
    for run in (failed, waiting):
        shutil.rmtree(folder / "results" / "runs" / run)
    log = folder / "logs" / "train" / f"{failed}.seed0.log"
    log.parent.mkdir(parents=True)
    log.write_text("train: 3/20 updates\nERROR train: train: expected a finite loss, got loss nan at step 3\n")
    other = made[11][0]  # trained with other settings than the config's
    source = folder / "results" / "runs" / made[12][0] / "seed0" / "train.zarr.zip"
    shutil.copy(source, folder / "results" / "runs" / other / "seed0" / "train.zarr.zip")
    begun = type(project)(project.code, folder)
    return begun, ["--configfile", project.smoke, str(overlay)], (failed, waiting, other), plan


def test_plan__of_two_hundred_runs_takes_less_than_half_a_minute(swept):
    begun, config, _, plan = swept
    assert len(plan.runs) >= 200
    done, seconds = cpu_seconds(lambda: begun.snakemake("-n", "--quiet", "all", *config, "--", "all"))
    assert seconds < 30
    assert re.search(r"train +\d+", done.output)


def test_report__of_two_hundred_runs_takes_less_than_two_minutes_and_bounded_memory(swept):
    begun, config, (failed, waiting, other), plan = swept
    _, seconds = cpu_seconds(lambda: begun.snakemake(*config, "--", "partial_report"))
    assert seconds < 120
    spent = pd.read_csv(begun.work / "benchmarks" / "partial_report.tsv", sep="\t")
    assert float(spent["max_rss"][0]) < 2000  # MB
    out = begun.work / "results" / "partial_report"
    page = (out / "index.html").read_text(encoding="utf-8")
    assert len(page) < 3_000_000
    assert f"Run {failed}, seed 0 is not in this report: train did not finish (ERROR train: train: expected" in page
    assert f"Not run yet, and not in this report: {waiting} (seed 0)." in page
    assert f"Run {other}, seed 0 is not in this report: what is there was trained with other settings." in page
    assert 'id="figure-sweep_many_primary"' in page
    told = pd.read_csv(out / "tables" / "headline.csv")
    assert set(told["run"]) == {run for run, _ in plan.runs} - {failed, waiting, other}
    assert (out / "tables" / "claims.csv").exists()


def test_partial_report__is_made_again_only_when_something_new_is_there(swept):
    begun, config, (_, waiting, _), _ = swept
    assert "Nothing to be done" in begun.snakemake(*config, "--", "partial_report").output
    runs = begun.work / "results" / "runs"
    shutil.copytree(runs / "augmented" / "seed0", runs / waiting / "seed0")
    assert begun.jobs(*config, "--", "partial_report") == {"report of what is there: results/partial_report/index.html"}
