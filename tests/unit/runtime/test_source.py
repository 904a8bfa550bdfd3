"""What is kept of a source file is what a fresh reading finds."""

import pytest

from twirlscope.runtime import source

TEXT = "import b\nfrom .c import d, e\n\n\ndef f(x):\n    return x + 1\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache folder of its own, and readings that nothing in memory answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def read(path):
    source._source.cache_clear()
    return source.source_of(path)


def written(folder, text):
    path = folder / "a.py"
    path.write_text(text)
    return path


def test_source__has_the_import_statements(home):
    assert set(read(written(home, TEXT)).imports) == {(0, "b", ()), (1, "c", ("d", "e"))}


def test_source__is_read_once_for_a_content(home, monkeypatch):
    path = written(home, TEXT)
    first = read(path)
    monkeypatch.setattr(source.ast, "parse", None)
    assert read(path) == first
    assert read(written(home, TEXT)) == first


def test_source__of_another_content_or_by_other_rules_is_read_again(home, monkeypatch):
    """Also if size and time of the file are the same."""
    path = written(home, TEXT)
    first = read(path)
    assert read(written(home, TEXT.replace("1", "2"))).tree != first.tree
    read(path := written(home, TEXT))
    monkeypatch.setattr(source, "_rules", lambda: b"others")
    monkeypatch.setattr(source, "_without_words", lambda tree: "others")
    assert read(path).tree != first.tree


@pytest.mark.parametrize("damage", ["", "{", "[1]", '["x", 3]', "null"])
def test_source__is_read_again_where_what_was_kept_is_damaged(home, damage):
    path = written(home, TEXT)
    first = read(path)
    (kept,) = [p for p in (home / "cache").rglob("*") if p.is_file()]
    kept.write_text(damage)
    assert read(path) == first


def test_source__needs_no_place_to_keep_it(home, monkeypatch):
    (home / "file").write_text("")
    first = read(written(home, TEXT))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    assert read(written(home, TEXT)) == first


def test_source__needs_no_home(home, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    first = read(written(home, TEXT))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(source.Path, "home", no_home)
    assert read(written(home, TEXT)) == first


def test_kept__are_a_limited_number(home, monkeypatch):
    monkeypatch.setattr(source, "MOST", 3)
    for number in range(9):
        read(written(home, f"x = {number}\n"))
    assert len([p for p in (home / "cache").rglob("*") if p.is_file()]) <= 3
