"""Percentage of the work done and time left: against exact cases and a simulation in small steps of time."""

import numpy as np
import pytest

from twirlscope.planning.expected_work import START, Speeds, Work
from twirlscope.planning.forecast import Forecast, Task, time_left


def simulated(left, needs, running, slots, tick=1e-3):
    """Time until all jobs are done, in ticks."""
    left, at_work, now = dict(left), set(running), 0
    while left:
        for n in list(left):
            if len(at_work) < slots and n not in at_work and not set(needs[n]) & set(left):
                at_work.add(n)
        now += 1
        for n in list(at_work):
            left[n] -= tick
            if left[n] <= tick / 2:
                at_work.discard(n)
                del left[n]
    return now * tick


@pytest.mark.parametrize("seed", range(4))
def test_time_left__is_that_of_a_simulation(seed):
    rng = np.random.default_rng(seed)
    left = {n: float(rng.integers(1, 60)) / 20 for n in range(9)}
    needs = {n: rng.choice(n, min(n, 2), replace=False).tolist() for n in left}
    for slots in (1, 2, 3):
        assert time_left(left, needs, {0}, slots) == pytest.approx(simulated(left, needs, {0}, slots), abs=0.02)


def test_time_left__of_jobs_with_enough_slots_is_the_longest_chain():
    assert time_left({1: 2.0, 2: 3.0, 3: 4.0}, {1: [], 2: [1], 3: []}, set(), 9) == 5.0
    assert time_left({1: 2.0, 2: 3.0, 3: 4.0}, {1: [], 2: [1], 3: []}, set(), 1) == 9.0
    assert time_left({}, {}, set(), 1) == 0.0


@pytest.fixture
def forecast(tmp_path):
    """A short and a ten times longer job, of which the second needs the first, and a file that only collects."""
    works = [Work("train", "a", 100.0 - START), Work("twirl", "a", 1000.0 - START), Work("all", "", 0.0)]
    tasks = {n: Task(n, w.stage, w, [n - 1] if n else [], tmp_path / w.stage, None) for n, w in enumerate(works)}
    return Forecast(tasks, Speeds(tmp_path / "speeds.json"), clock=lambda: 1000.0)


def test_percentage__is_by_expected_work_and_not_by_the_number_of_jobs(forecast):
    forecast.tasks[0].seconds = 100.0
    assert forecast.now() == (pytest.approx(100 / 11), pytest.approx(1000.0))


def test_forecast__of_a_running_job_follows_its_own_log(forecast, tmp_path):
    forecast.tasks[0].started = 900.0  # 100 s ago: the plan expected its end now
    (tmp_path / "train").write_text("train: 20/100 updates (20 %), 1 updates/s, 6:40 min left, loss 1\n")
    percent, left = forecast.now()
    assert left > 400 + 1000, "a run that is five times slower than planned is slow in its later stages too"
    assert 100 * 100 / (100 + left) == pytest.approx(percent)


def test_percentage__never_falls(forecast):
    forecast.tasks[0].started = 900.0
    first = forecast.now()[0]
    forecast.clock = lambda: 901.0
    forecast.tasks[0].started = 900.5
    assert forecast.now()[0] == first


def test_failed_job__takes_those_that_need_it_out_of_the_time_left(forecast):
    forecast.tasks[0].failed = True
    assert forecast.now()[1] == 0
    assert [task.name for task in forecast.lost()] == ["twirl", "all"]
