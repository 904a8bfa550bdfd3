"""The hash that decides what runs again."""

import pytest

from twirlscope import reach


def names(files):
    return {p.name for p in reach.reached(files)}


def test_reached__follows_imports_inside_the_package():
    found = names([reach.ROOT / "twirl.py"])
    assert {"twirl.py", "so3.py", "estimators.py", "store.py", "variables.py"} <= found
    assert not {"figures.py", "plan.py", "prepare_part.py", "hessian.py"} & found
    assert reach.ROOT / "train.py" not in reach.reached([reach.ROOT / "twirl.py"])


def test_reached__includes_modules_beside_a_users_plugin(tmp_path):
    (tmp_path / "net.py").write_text("import layers\nfrom twirlscope import so3\n")
    (tmp_path / "layers.py").write_text("x = 1\n")
    assert {"net.py", "layers.py", "so3.py"} <= names([tmp_path / "net.py"])


@pytest.fixture
def hash_of(tmp_path):
    def give(text, neighbour="y = 1\n"):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "a.py").write_text(text)
        (folder / "b.py").write_text(neighbour)
        return reach.code_hash([folder / "a.py"])

    return give


def test_code_hash__ignores_docstrings_comments_and_layout(hash_of):
    plain = hash_of("import b\ndef f(x):\n    return x + 1\n")
    worded = hash_of('"""Words."""\nimport b\n\n\ndef f(x):\n    """More."""\n    # why\n    return (x + 1)\n')
    assert plain == worded


def test_code_hash__changes_with_code_here_and_in_what_is_imported(hash_of):
    plain = hash_of("import b\nx = 1\n")
    assert plain != hash_of("import b\nx = 2\n")
    assert plain != hash_of("import b\nx = 1\n", neighbour="y = 2\n")
    assert hash_of("x = 1\n") == hash_of("x = 1\n", neighbour="y = 2\n")


def test_code_hash__covers_files_beside_a_module_under_its_name(tmp_path):
    (tmp_path / "page.py").write_text("x = 1\n")
    plain = reach.code_hash([tmp_path / "page.py"])
    (tmp_path / "page.css").write_text("body {}")
    styled = reach.code_hash([tmp_path / "page.py"])
    (tmp_path / "page.css").write_text("body {margin: 0}")
    (tmp_path / "other.css").write_text("body {}")
    assert len({plain, styled, reach.code_hash([tmp_path / "page.py"])}) == 3
    assert names([reach.ROOT / "report.py"]) >= {"report.css", "report.html.j2"}
    assert "molecules.smi" in names([reach.ROOT / "datasets" / "xtb_molecules.py"])
