import csv
import html
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import synthetic
from unarranged import wide_drawings

from twirlscope.errors import UserError
from twirlscope.runtime.atomic import write_folder
from twirlscope.settings.report import ReportSettings
from twirlscope.stages import report
from twirlscope.storage import registry, store

EVIL = "<script>alert('1')</script> & co"
VOID = {"meta", "link", "br", "hr", "img", "input", "source"}


class Checker(HTMLParser):
    """Parser that checks that tags are balanced and keeps all attributes and words."""

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
    with wide_drawings():
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
    levels = [int(tag[1]) for tag, _ in page.found if tag in ("h1", "h2", "h3", "h4")]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_page__gives_every_drawing_words_with_numbers(whole):
    page = whole[3]
    drawings = page.all("img")
    assert len(drawings) == len(page.all("figure")) == len(page.all("source")) > 0
    assert all(any(c.isdigit() for c in drawing["alt"]) for drawing in drawings)


def test_page__makes_no_network_requests_and_its_links_resolve(whole):
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
    assert "<b>slow" in plain(page)


def test_page__holds_the_numbers_of_every_figure_and_charts_of_most(whole):
    folder, _, _, page = whole
    held = {a["id"]: a for a in page.all("script") if a.get("type") == "application/json"}
    names = [a["data-name"] for a in page.all("figure")]
    assert {f"numbers-{n}" for n in names} == {i for i in held if i.startswith("numbers-")}
    assert sum(i.startswith("chart-") for i in held) > len(names) / 2
    assert (folder / "out/charts.js").stat().st_size + len(whole[2].encode()) < 3e6


def test_first_screen__has_numbers_computed_a_second_way_also_as_text(whole):
    folder, runs, _, page = whole
    words, text = plain(page), (folder / "out/README.md").read_text(encoding="utf-8")
    stores = [store.load(files.twirl).sel(term="forces") for files in runs]
    ends = [float(100 * d["loss_equiv"][-1] / d["loss_total"][-1]) for d in stores]
    for where in (words, text):
        assert f"{min(ends):.3g} to {max(ends):.3g} %" in where
        assert f"In {sum(e < 2 for e in ends)} of 3 trainings the equivariance error ends below 2 %" in where
        assert EVIL in where
        assert "GFN2-xTB" in where
        assert "limit ≤ 2 %" in where
    assert "The Hessian was not computed for: small, seed 1; <b>slow, seed 0." in words
    assert "two atoms at the same place" in words


def test_page__opens_the_leading_figures_and_folds_the_others(whole):
    text, page = whole[2:]
    before = text.split("<details")[0]
    assert 'data-name="percent_primary"' in before, "the first figure stands on the first screen"
    folded = re.findall(r"<details.*?</details>", text, re.DOTALL)
    names = [a["data-name"] for a in page.all("figure")]
    inside = [name for name in names if any(f'data-name="{name}"' in fold for fold in folded)]
    leading = [name for name in names if name not in inside]
    assert {"percent_primary", "losses_primary"} <= set(leading)
    assert any(name.startswith("gradient") for name in inside)
    assert len([name for name in leading if name.endswith("_primary")]) == 2


def test_page__has_a_menu_of_all_questions_and_words_below_a_limit(whole):
    text = whole[2]
    menu = re.search(r'<nav class="menu".*?</nav>', text, re.DOTALL)[0]
    anchors = re.findall(r'<section aria-labelledby="([a-z]+)" class="question">', text)
    assert anchors == [a for a in re.findall(r'href="#([a-z]+)"', menu) if a in anchors]
    body = re.sub(r"<(script|style|table).*?</\1>", " ", text, flags=re.DOTALL)
    assert len(re.sub(r"<[^>]+>", " ", body).split()) < 6000


def test_captions__have_45_words_at_most_and_alternatives_two_sentences(whole):
    text, page = whole[2:]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL)
    assert max(len(html.unescape(c).split()) for c in captions) <= 45
    for drawing in page.all("img"):
        _, _, rest = drawing["alt"].partition(". ")
        assert rest, drawing["alt"]
        assert len(drawing["alt"].split()) < 70, drawing["alt"]


def test_tables__hold_the_numbers_of_the_stores(whole):
    folder, runs, _, _ = whole
    with (folder / "out/tables/headline.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [r.run for r in runs]
    data = store.load(runs[0].twirl)
    assert float(rows[0]["final loss [1]"]) == data["loss_total"].sel(term="forces")[-1]
    assert float(rows[0]["equivariance error [%]"]) == data["percent_equiv"].sel(term="forces")[-1]
    error = 1000 * np.sqrt(float(data["loss_total"].sel(term="forces")[-1])) * 1.7
    assert float(rows[0]["forces error [meV/Å]"]) == pytest.approx(error)
    assert rows[2]["first below 2 % [step]"] == ""
    with (folder / "out/tables/percent_primary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == "small" and row["seed"] == "1"]
    values = [float(row["percent_equiv_low [percent]"]) for row in rows]
    assert values == list(store.load(runs[1].twirl)["percent_equiv_low"].sel(term="forces").values)


def test_summary__has_a_group_for_each_task_with_the_pooled_numbers_of_its_trainings(whole):
    folder, runs, _, _ = whole
    tree = store.open_store(folder / "out/summary.zarr.zip")
    groups = {name: group.to_dataset().load() for name, group in tree.children.items()}
    names = [(str(r), int(s)) for g in groups.values() for r, s in zip(g["run"].values, g["seed"].values, strict=True)]
    assert sorted(names) == sorted((r.run, r.seed) for r in runs)
    for files in runs:
        stored = store.load(files.twirl)
        group = groups[json.loads(store.load(files.train).attrs["run"])["task"]["name"]]
        row = np.flatnonzero((group["run"] == files.run) & (group["seed"] == files.seed))
        found = group.isel(training=int(row[0]))
        for name in ("percent_equiv", "loss_zero", "trivial"):
            mine = found[name].reindex({d: stored[d] for d in stored[name].dims})
            np.testing.assert_array_equal(mine, stored[name])
        assert np.isfinite(found["loss_total"]).sum() == np.isfinite(stored["loss_total"]).sum()
        assert "sample" not in group.dims


@pytest.mark.slow
def test_report__has_the_same_bytes_twice_with_one_checkpoint_and_replaces_what_was_there(tmp_path):
    runs = [synthetic.save_run(tmp_path, with_hessian=False, steps=(200,), percent=[1.0], terms=1)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a/stale").write_text("x")
    for name in ("a", "b"):
        text = make(tmp_path, tmp_path / name, runs)
    files = [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()]
    assert len(files) > 12
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert "In 1 of 1 training the equivariance error ends below 2 %" in plain(Checker(text))
    assert not (tmp_path / "a/stale").exists()
    assert not list(tmp_path.glob(".*"))


def test_report__that_fails_leaves_nothing_or_the_old_folder(tmp_path, monkeypatch):
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


def test_report__removes_the_rest_of_a_killed_process(tmp_path):
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


@pytest.mark.slow
def test_report__of_networks_that_are_all_exact_is_made(tmp_path):
    """Every equivariance error is rounding error, so that nothing can be drawn of its spectrum or its course."""
    runs = []
    for name in ("one", "two"):
        files = synthetic.save_run(tmp_path, name, with_hessian=False, terms=2)
        data = synthetic.spectral(store.load(files.twirl))
        data["loss_equiv_floor"] = data["loss_equiv"] * 2
        registry.save(data, files.twirl)
        runs.append(files)
    with wide_drawings():
        text = make(tmp_path, tmp_path / "out", runs)
    assert "rounding error" in text
    assert "No objects" not in text
