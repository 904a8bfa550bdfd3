"""Division of files among parts: the same records, numbers and bytes of the store whatever the parts."""

import gzip
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from good_files import BARE, GOOD, frame

from twirlscope import plugins
from twirlscope.datasets.molecular import file_shares
from twirlscope.datasets.molecular.xyz_files import WHOLE, read_frames
from twirlscope.errors import UserError
from twirlscope.runtime.input_files import read_text
from twirlscope.stages import prepare

PACKAGE = Path(prepare.__file__).parents[2]
SPOILT = {
    "below": GOOD.replace("3\n", "2\n", 1),
    "stray": GOOD.replace("3\n", "3x\n", 1),
    "above": GOOD.replace("3\n", "4\n", 1),
    "blank": "\n \n" + GOOD,
    "integer for a comment": GOOD.split("\n")[0] + "\n7\n" + "\n".join(GOOD.split("\n")[2:]),
    "no energy": frame(energy=""),
}


def text(n=23):
    """Good frames, and some of each kind of spoilt ones between them."""
    made = [GOOD.replace("-5.5", f"-{5 + 0.01 * i:.2f}").replace("0.96", f"{0.96 + 0.01 * i:.2f}") for i in range(n)]
    for k, spoilt in enumerate(SPOILT.values()):
        made.insert(4 * k + 1, spoilt)
    return "".join(made)


@pytest.mark.parametrize("above", ["", "title\n", "\n"], ids=repr)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=repr)
def test_frame_heads__are_where_the_records_of_the_file_begin(tmp_path, above, end):
    """As a reading of the whole file counts them, and of the text from each head on."""
    path = tmp_path / "a.xyz"
    path.write_bytes((above + text()).replace("\n", end).encode())
    heads, records = file_shares.frame_heads(path), list(read_frames(path))
    assert heads[-1].tolist() == [path.stat().st_size, len(records)]
    for (start, first), (stop, after) in itertools.pairwise(heads):
        window = file_shares.Window(int(start), int(stop), int(first))
        for (n, mine), (m, whole) in zip(read_frames(path, window), records[first:after], strict=True):
            assert n == m
            assert type(mine) is type(whole)
            assert mine == whole if isinstance(mine, str) else (mine.positions == whole.positions).all()


@pytest.mark.parametrize(
    "content",
    [GOOD.encode("utf-16"), GOOD.encode("utf-8-sig"), GOOD.replace("\n", "\r").encode(), b"", b"<html>\n"],
    ids=["UTF-16", "mark", "carriage returns", "empty", "no frame"],
)
def test_windows__give_a_file_that_cannot_be_divided_to_one_part(tmp_path, content):
    path = tmp_path / "a.xyz"
    path.write_bytes(content)
    assert file_shares.frame_heads(path) is None
    assert sorted(map(str, (file_shares.windows([path], 5, p)[0] for p in range(5)))) == ["None"] * 4 + [str(WHOLE)]


def prepared(folder, section, parts):
    folder = folder / str(parts)
    folder.mkdir()
    dataset = plugins.make_dataset(section | {"parts": parts})
    paths = [folder / f"{p}.zarr.zip" for p in range(parts)]
    for part, path in enumerate(paths):
        prepare.prepare_part(dataset, part, path)
    prepare.prepare(dataset, paths, folder / "out.zarr.zip")
    return (folder / "out.zarr.zip").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("names", [["a.xyz"], ["a.xyz.gz"], ["a.xyz", "b.extxyz.gz", "c.xyz", "d.xyz"]], ids=len)
def test_prepare__gives_the_same_bytes_however_the_files_are_divided(tmp_path, names):
    for k, name in enumerate(names):
        content = text(8 + k).replace("-5", f"-{6 + k}").replace("0.96", f"0.9{k}") if name[0] != "c" else "\n"
        path = tmp_path / name
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    (tmp_path / "held.xyz").write_text(
        frame(rows=BARE, head='Properties=species:S:1:pos:R:3 energy=-7 pbc="F F F"') * 4
    )
    section = {"name": "extxyz", "files": [str(tmp_path / n) for n in names], "max_rejected": 0.9, "split_by": "frame"}
    section |= {"allow_duplicates": True, "test_files": {"held": [str(tmp_path / "held.xyz")]}}
    stores = [prepared(tmp_path, section, parts) for parts in (1, 2, 7, 60)]  # of 15 frames in one file, of 53 in four
    assert all(stored == stores[0] for stored in stores)


def test_read__shares_the_frames_of_one_file_evenly(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(GOOD * 100)
    dataset = plugins.make_dataset({"name": "extxyz", "files": [str(path)], "parts": 8})
    assert {dataset.read(p).samples.sizes["sample"] for p in range(8)} <= {12, 13}


def test_read__says_the_same_of_a_misnamed_key_in_every_part(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(GOOD * 9)
    said = set()
    for part in range(3):
        with pytest.raises(UserError) as caught:
            plugins.make_dataset({"name": "extxyz", "files": [str(path)], "parts": 3, "energy_key": "energie"}).read(
                part
            )
        said.add(str(caught.value))
    assert len(said) == 1


def test_read__takes_a_key_that_only_the_last_frame_has_in_every_part(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(GOOD.replace("energy", "other") * 9 + GOOD)
    parts = [plugins.make_dataset({"name": "extxyz", "files": [str(path)], "parts": 3}).read(p) for p in range(3)]
    assert [len(p.rejects) for p in parts] == [4, 3, 2] or sum(len(p.rejects) for p in parts) == 9
    assert parts[-1].samples.sizes["sample"] == 1


PEAK = """
import resource, sys
from twirlscope import plugins
plugins.make_dataset({"name": "extxyz", "files": sys.argv[1:]}).read(0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True])
def test_read__takes_memory_that_is_a_small_part_of_the_text(tmp_path, zipped):
    """Of 12 MB of text, the numbers as they are stored are 1.5 MB; a list of all frames took ten times the text."""
    rng, found = np.random.default_rng(0), []
    rows = [
        f"H {3 * k:9.4f} {a:12.8f} {b:12.8f} {c:12.8f} 0.0 0.0" for k, (a, b, c) in enumerate(rng.normal(size=(100, 3)))
    ]
    for count in (20, 2000):
        path = tmp_path / f"{count}.xyz"
        content = (frame(rows=rows) * count).encode()
        path.write_bytes(gzip.compress(content, 1) if zipped else content)
        command = [sys.executable, "-c", PEAK, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE, check=True)
        found.append(float(done.stdout))
    assert len(content) > 10e6
    assert found[1] < found[0] + 25


def test_read_text__and_windows_see_the_same_bytes_of_a_compressed_file(tmp_path):
    path = tmp_path / "a.xyz.gz"
    path.write_bytes(gzip.compress((GOOD * 3).encode()) + gzip.compress((GOOD * 2).encode()))
    assert read_text(path) == GOOD * 5
    heads = file_shares.frame_heads(path)
    assert (np.diff(heads[:, 0]) == len(GOOD)).all()
    assert heads[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
