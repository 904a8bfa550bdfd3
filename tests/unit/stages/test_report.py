import csv
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import synthetic
import torch
import toys
import xarray as xr
from zarr.storage import ZipStore

from twirlscope.errors import UserError
from twirlscope.report import facts, headline, headline_tables
from twirlscope.report.headline import Crossing, crossing
from twirlscope.report.sections import equivariance_error, loss_parts
from twirlscope.report.sections.equivariance_error import attribution_table
from twirlscope.report.sections.spectrum.other_tools import translation_table
from twirlscope.report.trainings import Training
from twirlscope.report.wording import slug
from twirlscope.runtime.atomic import write_folder
from twirlscope.settings.report import ReportSettings
from twirlscope.stages import report
from twirlscope.storage import store
from twirlscope.twirling import measure

EVIL = "<script>alert('1')</script> & co"
VOID = {"meta", "link", "br", "hr", "img", "input", "source"}


class Checker(HTMLParser):
    """Balanced tags, every id once, and all attributes for questions."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, *tags):
        return [attrs for tag, attrs in self.found if tag in tags]


def make(folder, out, runs, title="Title", **settings):
    config = {"runs": {EVIL: {"seed": 0}}}
    report.report(
        runs, synthetic.save_frames(folder), config, out, ReportSettings(title=title, **settings), {"torch": "2"}
    )
    return (out / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A report of two seeds of one run and one of another, named to break things, without a Hessian."""
    folder = tmp_path_factory.mktemp("report")
    runs = [
        synthetic.save_run(folder, seed=0, with_hessian=True, with_gradient=True, terms=2),
        synthetic.save_run(folder, seed=1, with_hessian=False, terms=2),
    ]
    runs.append(synthetic.save_run(folder, "<b>slow", with_hessian=False, speed=0.02, terms=2))
    text = make(folder, folder / "out", runs, title=EVIL)
    return folder, runs, text, Checker(text)


def plain(checker):
    return " ".join("".join(checker.words).replace("\N{NO-BREAK SPACE}", " ").split())


def test_page__is_balanced_with_one_heading_landmarks_and_a_skip_link(whole):
    page = whole[3]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("header")) == len(page.all("footer")) == 1
    assert page.all("html")[0]["lang"] == "en"
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert targets
    assert set(targets) <= set(ids)
    assert all(th.get("scope") in ("col", "row") for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(tag[1]) for tag, _ in page.found if tag in ("h1", "h2", "h3")]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_page__gives_every_drawing_words_with_numbers(whole):
    page = whole[3]
    drawings = page.all("img")
    assert len(drawings) == len(page.all("figure")) == len(page.all("source")) > 0
    assert all(any(c.isdigit() for c in drawing["alt"]) for drawing in drawings)


def test_page__asks_nobody_outside_its_folder_and_its_links_resolve(whole):
    folder, _, text, page = whole
    assert not page.all("iframe", "object", "embed")
    assert "@import" not in text
    for _, attrs in page.found:
        for link in filter(None, (attrs.get(k) for k in ("href", "xlink:href", "src", "srcset"))):
            if link.startswith("http"):
                assert "src" not in attrs
            elif not link.startswith(("#", "data:")):
                assert (folder / "out" / link).exists(), link


def test_page__escapes_what_users_write(whole):
    text, page = whole[2:]
    assert "<script>alert" not in text
    assert "<b>slow" not in text
    assert EVIL in plain(page)
    assert "run <b>slow (seed 0)" in plain(page)


def test_page__holds_the_numbers_of_every_figure_and_charts_of_most(whole):
    folder, _, _, page = whole
    held = {a["id"]: a for a in page.all("script") if a.get("type") == "application/json"}
    names = [a["data-name"] for a in page.all("figure")]
    assert {f"numbers-{n}" for n in names} == {i for i in held if i.startswith("numbers-")}
    assert sum(i.startswith("chart-") for i in held) > len(names) / 2
    assert (folder / "out/charts.js").stat().st_size + len(whole[2].encode()) < 3e6


def test_page__says_what_the_numbers_say_computed_a_second_way(whole):
    _, runs, _, page = whole
    data = store.load(runs[0].twirl).sel(term="weighted")
    percent = 100 * data["loss_equiv"].values / data["loss_total"].values
    below = [s for i, s in enumerate(data["step"].values) if (percent[i:] < 2).all()]
    words = plain(page)
    assert f"to {percent[-1]:.3g} % (95 % interval" in words
    assert f"It is below 2 % from step {below[0]} on, at every later checkpoint." in words
    ratio = float(data["loss_total"][-1] / data["loss_zero"])
    assert f"The final held-out loss is {ratio:.3g} of the loss of predicting zero." in words
    assert "In 2 of 3 trainings" in words
    assert "The Hessian was not computed for: small, seed 1; <b>slow, seed 0." in words
    assert "GFN2-xTB (semiempirical)" in words
    assert "two atoms at the same place" in words


def test_tables__hold_the_numbers_of_the_stores(whole):
    folder, runs, _, _ = whole
    with (folder / "out/tables/headline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [r.run for r in runs]
    data = store.load(runs[0].twirl)
    assert float(rows[0]["final loss [1]"]) == data["loss_total"].sel(term="weighted")[-1]
    assert float(rows[0]["equivariance error [%]"]) == data["percent_equiv"].sel(term="weighted")[-1]
    error = 1000 * np.sqrt(float(data["loss_total"].sel(term="forces")[-1])) * 1.7
    assert float(rows[0]["forces error [meV/Å]"]) == pytest.approx(error)
    assert rows[2]["first below 2 % [step]"] == ""
    with (folder / "out/tables/percent_weighted.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == "small" and row["seed"] == "1"]
    values = [float(row["percent_equiv_low [percent]"]) for row in rows]
    assert values == list(store.load(runs[1].twirl)["percent_equiv_low"].sel(term="weighted").values)


def test_summary__has_a_group_a_training_with_the_pooled_numbers(whole):
    folder, runs, _, _ = whole
    tree = xr.open_datatree(ZipStore(folder / "out/summary.zarr.zip", mode="r"), engine="zarr", consolidated=False)
    found, stored = tree["/small/seed1"].to_dataset().load(), store.load(runs[1].twirl)
    np.testing.assert_array_equal(found["percent_equiv"], stored["percent_equiv"])
    assert "sample" not in found.dims
    assert f"/{slug('<b>slow')}/seed0" in tree.groups


def test_report__has_the_same_bytes_twice_with_one_checkpoint_and_replaces_what_was_there(tmp_path):
    runs = [synthetic.save_run(tmp_path, with_hessian=False, steps=(200,), percent=[1.0], terms=1)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a/stale").write_text("x")
    for name in ("a", "b"):
        text = make(tmp_path, tmp_path / name, runs)
    files = [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()]
    assert len(files) > 12
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert "the only checkpoint. It is below 2 % there." in plain(Checker(text))
    assert not (tmp_path / "a/stale").exists()
    assert not list(tmp_path.glob(".*"))


def test_report__leaves_nothing_or_the_old_when_it_fails(tmp_path, monkeypatch):
    def fail(folder):
        (folder / "half").write_text("x")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_folder(tmp_path / "out", fail)
    assert list(tmp_path.iterdir()) == []
    write_folder(tmp_path / "out", lambda folder: (folder / "old").write_text("x"))
    with pytest.raises(OSError, match="disk"):
        write_folder(tmp_path / "out", fail)
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old"]


def test_report__removes_what_a_killed_process_has_left(tmp_path):
    (tmp_path / ".out.123.part").mkdir()
    (tmp_path / ".out.123.part" / "half").touch()
    write_folder(tmp_path / "out", lambda folder: (folder / "new").touch())
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_report__names_the_terms_when_the_term_is_unknown(tmp_path):
    runs = [synthetic.save_run(tmp_path, with_hessian=False)]
    with pytest.raises(UserError, match="did you mean 'forces'"):
        make(tmp_path, tmp_path / "out", runs, term="force")
    with pytest.raises(UserError, match="at least one training"):
        make(tmp_path, tmp_path / "out", [])


@pytest.mark.parametrize(
    ("percent", "trivial", "expected"),
    [
        ([50, 10, 1, 0.5], [0, 0, 0, 0], Crossing(100, 100)),
        ([50, 1, 5, 0.5], [0, 0, 0, 0], Crossing(10, 1000)),
        ([50, 1, 1, 5], [0, 0, 0, 0], Crossing(10, None)),
        ([50, 40, 30, 5], [0, 0, 0, 0], Crossing(None, None)),
        ([0.1, 0.1, 5, 1], [1, 1, 0, 0], Crossing(1000, 1000)),
        ([0.1, 0.1, 0.1, 0.1], [1, 1, 1, 1], Crossing(None, None)),
        ([1, 1, 1, 1], [0, 0, 0, 1], Crossing(0, None)),
        ([1, 1, 1, 1], [0, 1, 0, 0], Crossing(0, 100)),
        ([1, np.nan, 1, 1], [0, 0, 0, 0], Crossing(0, 100)),
        ([2, 2, 2, 2], [0, 0, 0, 0], Crossing(None, None)),
    ],
)
def test_crossing__counts_only_checkpoints_where_something_is_learned(percent, trivial, expected):
    assert crossing(np.array([0, 10, 100, 1000]), np.array(percent, float), np.array(trivial, bool), 2.0) == expected


def said(percent, trivial):
    data = synthetic.twirl(steps=(0, 10, 100, 1000)[: len(percent)], percent=percent, trivial=trivial)
    return headline.sentence(headline.headline(Training("a", 0, None, data), "weighted", 2.0), 2.0)


@pytest.mark.parametrize(
    ("percent", "trivial", "words"),
    [
        ([50, 10, 1, 0.5], [0, 0, 0, 0], "fell from 50 % at step 0"),
        ([50, 1, 5, 0.5], [0, 0, 0, 0], "first below 2 % at step 10 and stays below from step 1000 on"),
        ([50, 1, 1, 5], [0, 0, 0, 0], "first below 2 % at step 10, but not at the last checkpoint"),
        (
            [50, 40, 30, 5],
            [1, 1, 0, 0],
            "fell from 30 % at step 100, the first checkpoint at which anything is learned",
        ),
        ([0.1, 0.1, 0.1, 0.1], [1, 1, 1, 1], "nothing was learned at any checkpoint, so this percent means nothing"),
        ([50, 1, 1, 1], [1, 0, 0, 1], "At the last checkpoint nothing is learned, so the final percent means nothing"),
        ([50, 10, 1, 1.95], [0, 0, 0, 0], "Its interval at the end reaches above 2 %"),
        ([1, 10, 20, 30], [0, 0, 0, 0], "went from 1 % at step 0"),
        ([50, 10, 20, 30], [1, 1, 1, 0], "at step 1000, the first checkpoint at which anything is learned."),
    ],
)
def test_sentence__is_honest(percent, trivial, words):
    assert words in said(percent, trivial)


def test_story__leaves_out_what_the_stores_do_not_say():
    unmetered = synthetic.train().drop_vars("seconds_update")
    bare = [d.drop_attrs() for d in (unmetered, synthetic.twirl(), synthetic.hessian())]
    training = Training("a", 0, *bare)
    line = headline.headline(training, "weighted", 2.0)
    assert "forces error [meV/Å]" not in headline_tables.headline_table([training], [line], 2.0).frame
    assert facts.training_table([training], {}).rows == [["a", "0", "", "–", "–", "–", "3000", "9", "–"]]  # noqa: RUF001
    assert facts.model_facts([training]) == facts.method([training]) == {}
    training.train.attrs["training_samples"] = 7
    assert facts.model_facts([training]) == {"Data": "7 training samples"}
    assert facts.dataset_facts("d", xr.Dataset()).facts == {"Samples": "0", "Rejected records": "none"}


def test_headline__has_no_interval_of_rounding():
    trainings = [control(), Training("a", 0, None, synthetic.twirl())]
    lines = [headline.headline(t, "weighted", 2.0) for t in trainings]
    at_floor, free = headline_tables.term_table(lines, 2.0).shown["equivariance error [%]"]
    assert at_floor.endswith("(rounding)")
    assert " to " in free


def test_terms__of_a_single_one_are_without_their_sum():
    assert headline_tables.several(["weighted", "velocity"]) == ["velocity"]
    assert headline_tables.several(["weighted", "forces", "energy"]) == ["weighted", "forces", "energy"]
    assert headline_tables.several(["velocity"]) == ["velocity"]


def test_training_table__says_one_device_once_and_several_by_training():
    one, other = (Training(n, 0, synthetic.train().assign_attrs(device=d), synthetic.twirl()) for n, d in ("aA", "bB"))
    alone, both = facts.training_table([one, one], {}), facts.training_table([one, other], {})
    assert alone.caption == "The trainings, on A."
    assert "device" not in alone.shown
    assert list(alone.frame["device"]) == ["A", "A"]
    assert list(both.shown["device"]) == ["A", "B"]


def test_warnings__name_heavy_tails_but_none_of_rounding():
    data = synthetic.twirl()
    data["sample_loss_equiv"][..., 0] *= 1000
    found = facts.warnings([headline.headline(Training("a", 0, None, data), "weighted", 2.0)])
    assert len(found) == 1
    assert "top 1 % of samples carry" in found[0]
    assert not facts.warnings([headline.headline(control(data), "weighted", 2.0)])
    data["loss_total"][-1] = np.nan
    assert "diverged" in facts.warnings([headline.headline(Training("a", 0, None, data), "weighted", 2.0)])[0]


def control(data=None):
    """A training whose equivariance error is what rounding makes, at every checkpoint."""
    data = (synthetic.twirl() if data is None else data).copy(deep=True)
    for name in ("loss_equiv", "loss_equiv_low", "loss_equiv_high", "percent_equiv", "sample_loss_equiv"):
        data[name] = data[name] * 1e-13
    data["loss_equiv_floor"] = data["loss_equiv"]
    return Training("control", 0, None, data)


def test_sentence__says_of_a_control_that_it_has_no_error_to_be_seen():
    line = headline.headline(control(), "weighted", 2.0)
    assert "no more than rounding and turning make" in headline.sentence(line, 2.0)
    assert "fell" not in headline.sentence(line, 2.0)


def test_summary__counts_a_control_apart_from_those_that_learn():
    learner = headline.headline(Training("a", 0, None, synthetic.twirl()), "weighted", 2.0)
    line = headline.headline(control(), "weighted", 2.0)
    together = headline.summary([learner, line], 2.0)
    assert together.startswith(headline.summary([learner], 2.0))
    assert together.endswith("In 1 more it is no more than what rounding and turning make.")


def test_translation__holds_the_identities():
    data = synthetic.spectral(synthetic.twirl())
    data["lie_error"] = 3 * data["panel_loss_equiv"]
    data = data.assign_attrs(irreps_energy="0e", irreps_forces="1o")
    rows = translation_table([Training("a", 0, None, data)]).frame.set_index("term")
    equiv = float(data["loss_equiv"].sel(term="forces")[-1])
    assert rows.loc["forces", "REMUL E' [1]"] ** 2 == pytest.approx(2 * equiv)
    assert rows.loc["forces", "rotational standard deviation [meV/Å]"] == pytest.approx(1700 * equiv**0.5)
    assert rows.loc["energy", "equigrad [1]"] ** 2 == pytest.approx(2 * rows.loc["energy", "LEE [1]"])
    assert np.isnan(rows.loc["forces", "equigrad [1]"])
    assert translation_table([Training("a", 0, None, synthetic.twirl())]) is None


def test_attribution__shares_add_up_and_name_the_elements():
    data = synthetic.twirl()
    shape = data.sizes["step"], 2
    data["element_loss_total"] = (("step", "element"), np.broadcast_to([3.0, 1.0], shape))
    data["element_loss_equiv"] = (("step", "element"), np.broadcast_to([0.03, 0.03], shape))
    rows = attribution_table([Training("a", 0, None, data.assign_coords(element=[1, 16]))]).frame.set_index("element")
    assert list(rows.index) == ["H", "S"]
    np.testing.assert_allclose(rows["share of the total loss [%]"], [75, 25])
    np.testing.assert_allclose(rows["share of the equivariance error [%]"], [50, 50])
    np.testing.assert_allclose(rows["equivariance error [%]"], [1, 3])
    assert attribution_table([Training("a", 0, None, synthetic.twirl())]) is None


class Leaning(toys.Well):
    """Right under rotations, but for a bias of the lab; wrong under reflections."""

    def forward(self, inputs):
        found, r = super().forward(inputs), inputs["positions"]
        chiral = torch.linalg.cross(r[:, :1], r[:, 1:2]) * (inputs["numbers"] > 0)[..., None]
        return found | {"forces": found["forces"] + 0.3 * chiral}


def test_comparisons__stand_beside_the_primary_number():
    task = toys.force_field(40)
    data = measure.measure(Leaning(0.8, (0.1, 0.0, 0.0)), task, np.arange(40)).expand_dims("step")
    one = Training("a", 0, None, data)
    frame = equivariance_error.reflection_table([one]).frame.set_index("term")
    row, last = frame.loc["forces"], data.sel(term="forces").isel(step=0)
    assert row["equivariance error, SO(3) [%]"] == float(last["percent_equiv"])
    assert row["equivariance error, O(3) [%]"] > 2 * row["equivariance error, SO(3) [%]"]
    within = float(last["o3_loss_equiv"] - last["o3_reflection_error"])
    assert row["between the halves of O(3) [% of it]"] == pytest.approx(100 - 100 * within / last["o3_loss_equiv"])
    assert "(" in equivariance_error.reflection_table([one]).shown["equivariance error, O(3) [%]"][0]
    other = loss_parts.convex_table([one]).frame.set_index(["loss", "term"]).loc[("l2", "forces")]
    parts = other["twirled prediction error [1]"] + other["equivariance error [1]"]
    assert parts == pytest.approx(other["total loss [1]"], rel=1e-12)
    figure = equivariance_error.reflections([one], "forces")
    assert "never reflects" in figure.caption
    assert len(figure.table) == 1
    bare = Training("a", 0, None, synthetic.twirl())
    assert equivariance_error.reflection_table([bare]) is loss_parts.convex_table([bare]) is None
    assert equivariance_error.reflections([bare], "forces") is None


def test_top_share__is_that_of_at_least_one_sample():
    each = np.ones((1, 200))
    each[0, 3] = 100
    data = xr.Dataset({"sample_loss_equiv": (("step", "sample"), each)}).isel(step=0)
    assert headline.top_share(data) == pytest.approx(101 / 299)


def test_labels__are_named_in_the_head_of_the_page_and_under_the_figures(tmp_path):
    data = synthetic.twirl().assign_attrs(labels="GFN2-xTB (semiempirical)")
    one = Training("a", 0, synthetic.train(), data, synthetic.hessian())
    told = facts.tell([one], {}, {}, {}, ReportSettings(), {}, [], [one], [])
    assert told.summary.endswith("Labels: GFN2-xTB (semiempirical).")
    for figure in (loss_parts.losses([one], "forces"), equivariance_error.percent([one], "forces", 2.0)):
        assert "Labels: GFN2-xTB (semiempirical)." in figure.caption
    assert "Labels" not in loss_parts.losses([Training("a", 0, synthetic.train(), synthetic.twirl())], "forces").caption
