"""Plug-ins of the user's own files: what their import uses, and folders that do not disturb each other."""

import pytest

from twirlscope import plugins

MODEL = """
import layers
from twirlscope import Model


class Net(Model):
    task = "force_field"
    WHO = layers.WHO

    def forward(self, inputs):
        return inputs
"""


@pytest.fixture
def folder(tmp_path):
    def make(name, who, text=MODEL):
        (tmp_path / name).mkdir()
        (tmp_path / name / "layers.py").write_text(f"WHO = {who!r}\n")
        (tmp_path / name / "net.py").write_text(text)
        return f"{tmp_path / name / 'net.py'}:Net"

    return make


def names(files):
    return [f.name for f in files]


def test_find__takes_the_helper_beside_the_file_not_that_of_another_folder(folder):
    first, second = folder("first", "first"), folder("second", "second")
    assert plugins.find("model", first).WHO == "first"
    assert plugins.find("model", second).WHO == "second"
    assert plugins.find("model", first).WHO == "first"


def test_files_of__names_what_the_import_imported_and_opened_beside_the_file(folder):
    text = """
import importlib
from pathlib import Path

import package.part
from twirlscope import Model

WIDTH = Path(__file__).with_name("sizes.yaml").read_text()
later = importlib.import_module("found_by_name")


class Net(Model):
    task = "force_field"
"""
    name = folder("net", "me", text)
    here = plugins.file_of("model", name).parent
    (here / "sizes.yaml").write_text("width: 3\n")
    (here / "unused.yaml").write_text("width: 3\n")
    (here / "found_by_name.py").write_text("x = 1\n")
    (here / "package").mkdir()
    (here / "package" / "__init__.py").write_text("x = 1\n")
    (here / "package" / "part.py").write_text("x = 1\n")
    found = names(plugins.files_of("model", name))
    assert found[0] == "net.py"
    assert set(found) == {"net.py", "sizes.yaml", "found_by_name.py", "__init__.py", "part.py"}
    assert names(plugins.files_of("model", "vector_attention")) == ["vector_attention.py"]


def test_files_of__names_the_same_files_when_python_has_compiled_them_before(folder):
    name = folder("net", "me")
    first = names(plugins.files_of("model", name))
    plugins._used.clear()
    for module in [n for n in plugins.sys.modules if n == "layers" or n.startswith("twirlscope_plugin_net")]:
        del plugins.sys.modules[module]
    assert names(plugins.files_of("model", name)) == first == ["net.py", "layers.py"]
