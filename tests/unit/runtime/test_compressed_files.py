"""Input files, plain and compressed, whole and damaged."""

import gzip

import pytest

from twirlscope.errors import UserError
from twirlscope.runtime.compressed_files import DamagedFileError, read_decompressed


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_read_decompressed__gives_the_same_for_plain_and_compressed_files(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"H 0 0 0\n") if name.endswith(".gz") else b"H 0 0 0\n")
    assert read_decompressed(path) == b"H 0 0 0\n"


def test_read_decompressed__names_a_file_that_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"none.sdf: expected an SDF file, got .*No such file") as caught:
        read_decompressed(tmp_path / "none.sdf", "an SDF file")
    assert not isinstance(caught.value, DamagedFileError)


@pytest.mark.parametrize("content", [gzip.compress(b"x" * 1000)[:20], gzip.compress(b"x")[:-9], b"no gzip at all"])
def test_read_decompressed__tells_damage_from_other_mistakes(tmp_path, content):
    path = tmp_path / "half.gz"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="expected a file that can be read"):
        read_decompressed(path)
