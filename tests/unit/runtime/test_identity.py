"""Fingerprints of files, hashes of facts."""

import os

import pytest

from twirlscope.runtime import identity


@pytest.mark.parametrize("small", [1 << 24, 0])
def test_fingerprint__changes_with_a_file_that_is_replaced_by_an_older_one(tmp_path, monkeypatch, small):
    monkeypatch.setattr(identity, "SMALL", small)
    path, other = tmp_path / "a.xyz", tmp_path / "b.xyz"
    path.write_text("new"), other.write_text("old")
    os.utime(other, ns=(10**15, 10**15))
    before = identity.fingerprint(path)
    os.replace(other, path)
    assert identity.fingerprint(path) != before


def test_fingerprint__of_a_small_file_is_that_of_its_content(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("same")
    os.utime(tmp_path / "b", ns=(10**15, 10**15))
    assert identity.fingerprint(tmp_path / "a") == identity.fingerprint(tmp_path / "b")


def test_short_hash__does_not_depend_on_the_order_of_the_facts():
    assert identity.short_hash({"a": {"b": 1, "c": 2}}) == identity.short_hash({"a": {"c": 2, "b": 1}})
    assert identity.short_hash({"a": 1}) != identity.short_hash({"a": 2})
