import json
from pathlib import Path

import numpy as np
import pytest

from twirlscope.datasets.molecular import frames
from twirlscope.errors import UserError
from twirlscope.settings.prepare import DatasetSettings
from twirlscope.sources import Part, Reject
from twirlscope.stages import prepare
from twirlscope.storage import rejects, store


class Numbered(frames.Frames):
    """20 frames of five molecules; those of number `bad` and above are rejected."""

    Settings = DatasetSettings
    bad = 20

    def read(self, part):
        mine = range(part, 20, self.settings.parts)
        rng = np.random.default_rng(0).normal(size=(20, 6, 3))
        kept = [
            frames.Frame(
                i,
                np.array([6] * n + [1]),
                np.arange(n + 1)[:, None] * [1 + 0.01 * i, 0, 0],
                rng[i][: n + 1],
                float(i),
                "",
            )
            for i, n in ((i, 1 + i // 4) for i in mine)
            if i < self.bad
        ]
        lost = [Reject("made", i, "odd" if i % 2 else "even") for i in mine if i >= self.bad]
        samples = frames.to_dataset(kept)
        return Part(samples if samples is None else samples.assign_attrs(labels="none", part=part % 2), lost)


def prepared(folder, bad=20, **settings):
    dataset = Numbered(DatasetSettings(**settings))
    dataset.bad = bad
    paths = [Path(folder) / f"part{p}.zarr.zip" for p in range(dataset.settings.parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(dataset, part, path)
    prepare.prepare(dataset, paths, Path(folder) / "out.zarr.zip")
    return Path(folder) / "out.zarr.zip"


def test_prepare__gathers_parts_in_the_order_of_the_samples(tmp_path):
    data = store.load(prepared(tmp_path, parts=7))
    assert data["energy"].values.tolist() == list(range(20))
    assert data["sample"].values.tolist() == list(range(20))


def test_prepare__gives_the_same_bytes_every_time(tmp_path):
    (tmp_path / "again").mkdir()
    one, again = prepared(tmp_path, parts=3), prepared(tmp_path / "again", parts=3)
    assert one.read_bytes() == again.read_bytes()


def test_prepare__keeps_attributes_and_says_what_was_made_and_how(tmp_path):
    attrs = store.load(prepared(tmp_path, bad=19, parts=2, seed=3)).attrs
    assert (attrs["labels"], attrs["part"]) == ("none", "0; 1")  # what differs stands side by side
    assert (attrs["dataset"], attrs["kind"], attrs["samples"], attrs["rejected"]) == ("Numbered", "frames", 19, 1)
    assert json.loads(attrs["settings"])["seed"] == 3
    assert "parts" not in json.loads(attrs["settings"])


def test_prepare__takes_parts_without_samples_and_parts_without_rejects(tmp_path):
    data = store.load(prepared(tmp_path, bad=18, parts=20))
    assert data.sizes["sample"] == 18
    assert rejects.from_dataset(data) == [Reject("made", 18, "even"), Reject("made", 19, "odd")]
    assert store.load(prepared(tmp_path, bad=18, parts=30)).sizes["sample"] == 18


def test_prepare__fails_when_too_many_records_are_rejected(tmp_path):
    expected = "at most 10 % of the records unusable .*got 5 of 20 .25 %.: 3 x 'odd' .first: made, 15.; 2 x 'even'"
    with pytest.raises(UserError, match=expected):
        prepared(tmp_path, bad=15, parts=2)
    assert not (tmp_path / "out.zarr.zip").exists()


def test_prepare__allows_the_share_of_rejects_that_is_set(tmp_path):
    assert store.load(prepared(tmp_path, bad=15, max_rejected=0.25)).sizes["reject"] == 5


def test_prepare__fails_when_no_record_is_usable(tmp_path):
    with pytest.raises(UserError, match="at least one usable record, got none of 20: 10 x"):
        prepared(tmp_path, bad=0, parts=2, max_rejected=1)


def test_summary__gives_the_most_frequent_reasons_first_and_counts_the_rest():
    found = [Reject("b", 2, "x"), Reject("a", 3, "x"), *(Reject("c", i, f"y{i}") for i in range(4))]
    assert rejects.summary(found, 2) == "2 x 'x' (first: a, 3); 1 x 'y0' (first: c, 0); and 3 other reasons"


def test_table__does_not_depend_on_the_order_of_discovery():
    found = [Reject("b", 2, "x"), Reject("a", 10, "x"), Reject("a", 9, "z")]
    assert rejects.from_dataset(rejects.to_dataset(found)) == [found[2], found[1], found[0]]


def test_prepare__stores_a_cluster_with_every_dataset(tmp_path):
    class WithoutClusters(Numbered):
        """A user's dataset that knows of no groups."""

        def finish(self, data):
            return super().finish(data).drop_vars("cluster")

    for of, expected in ((Numbered, [n // 4 for n in range(20)]), (WithoutClusters, list(range(20)))):
        made = of(DatasetSettings(split_by="frame"))
        prepare.prepare_part(made, 0, tmp_path / "part.zarr.zip")
        prepare.prepare(made, [tmp_path / "part.zarr.zip"], tmp_path / "data.zarr.zip")
        assert store.load(tmp_path / "data.zarr.zip")["cluster"].values.tolist() == expected
