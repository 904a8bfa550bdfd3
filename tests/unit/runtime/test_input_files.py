"""Input files, plain and compressed, whole and damaged."""

import gzip
from pathlib import Path

import pytest

from twirlscope.errors import UserError
from twirlscope.runtime.input_files import DamagedFileError, kind_of, read_decompressed, read_text, require_distinct


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_read_decompressed__gives_the_same_for_plain_and_compressed_files(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"H 0 0 0\n") if name.endswith(".gz") else b"H 0 0 0\n")
    assert read_decompressed(path) == b"H 0 0 0\n"


def test_read_decompressed__names_a_file_that_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"none.sdf: expected an SDF file, got .*No such file") as caught:
        read_decompressed(tmp_path / "none.sdf", "an SDF file")
    assert not isinstance(caught.value, DamagedFileError)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"x" * 1000)[:20], gzip.compress(b"x")[:-9], b"no gzip at all"],
    ids=["first 20 bytes", "without its end", "no gzip"],  # not the bytes: they hold the time
)
def test_read_decompressed__tells_damage_from_other_mistakes(tmp_path, content):
    path = tmp_path / "half.gz"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="expected a file that can be read"):
        read_decompressed(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("zipped", [False, True])
def test_read_text__gives_the_same_lines_whatever_encoding_line_end_and_compression(tmp_path, encoding, end, zipped):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    content = mark + f"Å{end}CO{end}".encode(encoding)
    path = tmp_path / "a.txt"  # compressed under a name that does not say so
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert read_text(path, errors="strict") == "Å\nCO\n"


def test_require_distinct__sees_through_spellings_links_and_copies(tmp_path):
    one, other, copy, link = (tmp_path / f"{n}.xyz" for n in ("one", "other", "copy", "link"))
    one.write_text("a"), other.write_text("b"), copy.write_text("a"), link.symlink_to(one)
    (tmp_path / "sub").mkdir()
    require_distinct([one, other, tmp_path / "none.xyz"])
    for twin in (one, copy, link, tmp_path / "sub" / ".." / "one.xyz"):
        with pytest.raises(UserError, match="each file once"):
            require_distinct([other, one, twin])


@pytest.mark.parametrize(("name", "kind"), [("a.SDF", ".sdf"), ("b.PDB.GZ", ".pdb"), ("c.tar.xyz.gz", ".xyz")])
def test_kind_of__ignores_case_and_compression(name, kind):
    assert kind_of(Path(name)) == kind
