"""The hash that decides what runs again."""

import pytest

from twirlscope.errors import UserError
from twirlscope.runtime import code_hash


def names(files):
    return {p.name for p in code_hash.reached(files)}


def test_reached__follows_imports_inside_the_package():
    found = names([code_hash.ROOT / "stages" / "twirl.py"])
    assert {"so3.py", "loss_split.py", "store.py", "declaration.py"} <= found
    assert not {"curves.py", "plan.py", "objective.py"} & found
    assert code_hash.ROOT / "stages" / "train.py" not in code_hash.reached([code_hash.ROOT / "stages" / "twirl.py"])


def test_reached__includes_modules_beside_a_users_plugin(tmp_path):
    (tmp_path / "net.py").write_text("import layers\nfrom twirlscope.geometry import so3\n")
    (tmp_path / "layers.py").write_text("x = 1\n")
    assert {"net.py", "layers.py", "so3.py"} <= names([tmp_path / "net.py"])


def test_reached__follows_public_names_to_their_modules(tmp_path):
    (tmp_path / "net.py").write_text("from twirlscope import LayerNorm, Model\n")
    assert {"net.py", "norms.py", "contracts.py"} <= names([tmp_path / "net.py"])


def test_reached__leaves_out_imports_for_type_checkers_alone(tmp_path):
    (tmp_path / "net.py").write_text("if TYPE_CHECKING:\n    import layers\nelse:\n    import norms\n")
    (tmp_path / "layers.py").write_text("x = 1\n")
    assert "layers.py" not in names([tmp_path / "net.py"])


@pytest.fixture
def hash_of(tmp_path):
    def give(text, neighbour="y = 1\n"):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "a.py").write_text(text)
        (folder / "b.py").write_text(neighbour)
        return code_hash.code_hash([folder / "a.py"])

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
    plain = code_hash.code_hash([tmp_path / "page.py"])
    (tmp_path / "page.css").write_text("body {}")
    styled = code_hash.code_hash([tmp_path / "page.py"])
    (tmp_path / "page.css").write_text("body {margin: 0}")
    (tmp_path / "other.css").write_text("body {}")
    assert len({plain, styled, code_hash.code_hash([tmp_path / "page.py"])}) == 3
    assert names([code_hash.ROOT / "stages" / "report.py"]) >= {"page.css", "page.html.j2"}
    assert "smiles.smi" in names([code_hash.ROOT / "datasets" / "xtb_molecules.py"])


@pytest.mark.parametrize("store", ["data", "train", "twirl", "gradient", "hessian"])
def test_code_hash__of_a_stage_follows_the_declarations_of_its_own_store_alone(store):
    stages = {"data": "prepare", "train": "train", "twirl": "twirl", "gradient": "gradient", "hessian": "hessian"}
    declared = code_hash.ROOT / "storage" / "arrays" / f"{store}.py"
    scripts = code_hash.ROOT.parent / "scripts"
    reached = {name for name in stages.values() if declared in code_hash.reached([scripts / f"{name}.py"])}
    assert reached == {stages[store]}
    assert declared in code_hash.reached([scripts / "report.py"]), "the page says the units of every store"


def test_reached__raises_on_a_relative_import_that_names_no_module(tmp_path, monkeypatch):
    """A name that a room's `__init__` hands on would not be followed: a change of its module would rerun nothing."""
    monkeypatch.setattr(code_hash, "ROOT", tmp_path / "package")
    room = tmp_path / "package" / "room"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from .inner import value\n")
    (room / "inner.py").write_text("value = 1\n")
    (tmp_path / "package" / "right.py").write_text("from .room.inner import value\n")
    (tmp_path / "package" / "wrong.py").write_text("from .room import value\n")
    assert names([tmp_path / "package" / "right.py"]) == {"right.py", "inner.py"}
    (tmp_path / "package" / "half.py").write_text("from .room import inner, value\n")
    with pytest.raises(ImportError, match=r"half\.py"):
        code_hash.reached([tmp_path / "package" / "half.py"])
    with pytest.raises(ImportError, match=r"package/wrong\.py: the code hash cannot follow `from .room import value`"):
        code_hash.reached([tmp_path / "package" / "wrong.py"])


def test_code_hash__ignores_the_words_of_messages_and_of_keys(hash_of):
    plain = hash_of(
        'x = key(3, "old words", ge=1)\ndef f(n):\n    print(f"{n} is old")\n    raise UserError("a", "b", n)\n'
    )
    worded = hash_of(
        'x = key(3, "new ones", ge=1)\ndef f(n):\n    print(f"{n} is new")\n    raise UserError("a", "c", n)\n'
    )
    assert plain == worded


@pytest.mark.parametrize(
    "other",
    [
        'x = key(4, "words", ge=1)\nraise ValueError(f(1))\n',
        'x = key(3, "words", ge=2)\nraise ValueError(f(1))\n',
        'x = key(3, "words", ge=1)\nraise ValueError(f(2))\n',
        'x = key(3, "words", ge=1)\nraise TypeError(f(1))\n',
    ],
)
def test_code_hash__changes_with_defaults_limits_and_calls_in_messages(hash_of, other):
    assert hash_of('x = key(3, "words", ge=1)\nraise ValueError(f(1))\n') != hash_of(other)


def test_code_hash__changes_with_a_text_default_of_a_key(hash_of):
    assert hash_of('x = key("a", "words")\n') != hash_of('x = key("b", "words")\n')


def test_code_hash__takes_names_relative_to_the_project_or_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("x = 1\n")
    assert code_hash.source_name(tmp_path / "net.py") == "net.py"
    assert code_hash.source_name(code_hash.ROOT / "losses.py") == "twirlscope/losses.py"
    assert code_hash.code_hash(["net.py"]) == code_hash.code_hash([tmp_path / "net.py"])
    inside, again = code_hash.code_hash(["twirlscope/losses.py"]), code_hash.code_hash([code_hash.ROOT / "losses.py"])
    assert inside == again


def test_require__refuses_code_that_was_not_planned_with(tmp_path):
    file = tmp_path / "net.py"
    file.write_text("x = 1\n")
    planned = code_hash.code_hash([file])
    code_hash.require(planned, [str(file)])
    file.write_text("x = 22\n")
    with pytest.raises(UserError, match=f"expected the code that this job was planned with .hash {planned}., got hash"):
        code_hash.require(planned, [str(file)])
