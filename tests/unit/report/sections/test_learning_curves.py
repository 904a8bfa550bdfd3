"""Learning curves: the trainings on each, and figures and table against the stores."""

import dataclasses
import json

import four_splits
import numpy as np
import pytest
import synthetic
import toys
from unarranged import blank

from twirlscope.report.figures import style
from twirlscope.report.sections import contents, learning_curves
from twirlscope.report.trainings import Training
from twirlscope.settings.report import ReportSettings
from twirlscope.stages import report
from twirlscope.storage import store
from twirlscope.tasks.force_field import ForceField
from twirlscope.twirling import measure

PERCENT = {500: 8.0, 2000: 4.0, 14000: 1.0}


def training(samples, seed=0, run="", dataset="md", terms=3, **changes):
    """A training of a curve; `changes` are of the settings of its run."""
    changes = {"dataset": dataset} | changes
    made = synthetic.train(30, seed, samples)
    spec = json.loads(made.attrs["run"])
    for name, change in changes.items():
        spec[name] = spec[name] | change if isinstance(change, dict) else change
    twirl = synthetic.twirl((0, 3000), seed, percent=[50, PERCENT.get(samples, 2.0)], terms=terms)
    made = made.assign_attrs(run=json.dumps(spec))
    return Training(run or f"run_{samples}", seed, made, twirl.assign_attrs(settings="{}"), dataset=dataset)


def curve():
    return [training(n, seed) for n in (14000, 500, 2000) for seed in (0, 1)]


def figures(trainings):
    return learning_curves.section(trainings).every_figure


def test_curves__hold_all_sizes_and_seeds_fewest_samples_first():
    found = learning_curves.curves(curve())
    assert list(found) == ["run_500 to run_14000"]
    assert [(t.run, t.seed) for t in found["run_500 to run_14000"]] == [
        (f"run_{n}", seed) for n in (500, 2000, 14000) for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"width": 65}},
        {"task": {"force_weight": 2.0}},
        {"train": {"batch": 64}},
        {"train": {"objective": {"name": "none"}}},
        {"dataset": "other"},
    ],
)
def test_curves__are_not_drawn_between_runs_that_differ_in_anything_else(change):
    assert learning_curves.curves([training(500), training(14000, **change)]) == {}
    mixed = learning_curves.curves([*curve(), training(8000, **change)])
    assert "run_8000" not in {t.run for t in mixed["run_500 to run_14000"]}


def test_curves__are_not_drawn_between_runs_that_were_measured_in_another_way():
    one, other = training(500), training(14000)
    other.twirl.attrs["settings"] = '{"samples": 7}'
    assert learning_curves.curves([one, other]) == {}


def test_curves__need_two_sizes_that_the_stores_say():
    assert learning_curves.curves([training(500, 0), training(500, 1), training(500, 2, "again")]) == {}
    one, other = training(500), training(14000)
    del other.train.attrs["training_samples"]
    assert learning_curves.curves([one, other, Training("bare", 0, None, synthetic.twirl())]) == {}
    assert learning_curves.last_checkpoints([one, other]) is None


def test_curves__zero_samples_count_as_all_samples():
    frame = learning_curves.last_checkpoints([training(10), training(0)]).data
    assert sorted(set(frame["samples"])) == [10, 15]


def test_last_checkpoints__holds_the_numbers_of_the_stores():
    trainings = curve()
    frame = learning_curves.last_checkpoints(trainings).data
    assert len(frame) == 6 * 3
    for one in trainings:
        row = frame.query(f"run == '{one.run}' and seed == {one.seed} and term == 'forces'").iloc[0]
        last = one.twirl.sel(term="forces").isel(step=-1)
        assert [row[name] for name in learning_curves.LOSSES] == [last[f"loss_{p}"] for p in learning_curves.LOSSES]
        ends = [row[f"percent{end}"] for end in ("", "_low", "_high")]
        assert ends == [last[f"percent_equiv{end}"] for end in ("", "_low", "_high")]
        assert np.isnan(row["rmse_meV/atom"])
        assert row["epochs"] == 3000 * 32 / one.train.attrs["training_samples"]


def test_last_checkpoints__error_is_that_of_predictions_made_one_by_one_in_the_unit_of_the_data():
    """The mean over samples, then the root. An equivariant model has one error in all orientations."""
    data = four_splits.frames().isel(sample=slice(30))
    task = ForceField(ForceField.Settings(), four_splits.frames())
    found = measure.measure(toys.Well(0.8), task, np.arange(30)).expand_dims("step")
    units = {"scale_forces": task.terms[0].scale, "unit_forces": "eV/Å", "settings": "{}"}
    trainings = [training(n) for n in (500, 2000)]
    trainings = [dataclasses.replace(t, twirl=found.assign_attrs(units)) for t in trainings]
    row = learning_curves.last_checkpoints(trainings).data.query("term == 'forces'").iloc[0]
    first = data["atoms"].values.sum()
    error = 1000 * (2 * -0.8 * data["positions"].values[:first] - data["forces"].values[:first])  # meV/Å
    by_sample = np.split((error**2).mean(1), np.cumsum(data["atoms"].values)[:-1])
    assert row["rmse_meV/Å"] == pytest.approx(np.mean([s.mean() for s in by_sample]) ** 0.5, rel=1e-4)
    assert row["rmse_meV/Å"] != pytest.approx(np.concatenate(by_sample).mean() ** 0.5, rel=1e-3)


def test_last_checkpoints__leaves_the_sum_out_where_there_is_one_term():
    trainings = [training(n, terms=2) for n in (500, 2000)]
    assert set(learning_curves.last_checkpoints(trainings).data["term"]) == {"forces"}


def test_means__are_over_seeds_and_nan_if_a_seed_diverged():
    frame = learning_curves.last_checkpoints(curve()).data.query("term == 'forces'")
    name = "total"
    found = learning_curves.means(frame, [name])[name]
    seeds = [t.twirl["loss_total"].sel(term="forces").values[-1] for t in curve()[:2]]
    assert found[14000] == pytest.approx(np.mean(seeds), rel=1e-14)
    frame.loc[frame.index[0], name] = np.nan
    assert np.isnan(learning_curves.means(frame, [name])[name][500])


def test_figures__are_one_per_dataset_and_term_with_an_error_where_the_term_has_a_unit():
    elsewhere = [training(n, 0, f"far_{n}", "far", terms=2) for n in (500, 2000)]
    trainings = [*curve(), *elsewhere]
    for one in trainings:
        one.twirl.attrs["labels"] = "none"
    found = {f.name: f for f in figures(trainings)}
    assert list(found) == [f"learning_{n}" for n in ("md_weighted", "md_forces", "md_energy", "far_forces")]
    assert [len(found[f"learning_md_{term}"].wide.axes) for term in ("weighted", "forces", "energy")] == [2, 3, 3]
    figure = found["learning_md_forces"]
    drawn = figure.wide.axes[0].lines[0]
    np.testing.assert_array_equal(drawn.get_xdata(), [500, 2000, 14000])
    np.testing.assert_array_equal(
        drawn.get_ydata(), learning_curves.means(figure.numbers.data, ["total"]).to_numpy()[:, 0]
    )
    assert "seen 6.86 to 192 times" in figure.caption
    assert "(run_500 to run_14000, 500 samples)" in figure.alternative
    assert "meV/atom" not in " ".join(c.unit for c in figure.numbers.columns)
    assert style.rendered(figure.wide, "svg").startswith(b"<?xml")


def test_figures__mark_runs_that_have_not_learned_and_count_values_off_the_axis():
    trainings = curve()
    trainings[0].twirl["trivial"][-1] = True
    trainings[1].twirl["percent_equiv"][-1] = -0.1
    figure = figures(trainings)[0]
    legend = [text.get_text() for text in figure.wide.legends[0].get_texts()]
    assert legend == ["run_500 to run_14000", "not yet learned (below 10 %)"]


@pytest.mark.slow
def test_report__has_the_curve_as_figure_table_and_words(tmp_path):
    runs = [
        synthetic.save_run(tmp_path, f"run_{n}", with_hessian=False, training_samples=n, percent=p, steps=(0, 3000))
        for n, p in ((500, [50, 8]), (14000, [50, 1]))
    ]
    with blank():
        report.report(runs, synthetic.save_frames(tmp_path), {}, tmp_path / "out", ReportSettings(), {})
    text = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert 'id="learning"' in text
    for name in ("learning", "learning_md_weighted", "learning_md_forces", "learning_md_energy"):
        assert (tmp_path / f"out/tables/{name}.csv").exists()
    last = float(store.load(runs[0].twirl)["percent_equiv"].sel(term="forces")[-1])
    assert f"{last:.3g} %" in text
    bare = [report._read(runs[0], True)]
    assert "learning" not in {
        s.anchor for s in contents.all_sections(bare, ReportSettings(), {}, bare, {}, contents.Findings())
    }
