"""Settings of Sphinx for `make docs`; pages that come from elsewhere are written first."""

import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "workflow")]

import generated  # noqa: E402

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
generated.write()

project, release = PROJECT["name"], PROJECT["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "Thumbs.db"]
html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
html_copy_source = False
smartquotes = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# docstrings are plain text with names in single backticks, in the sections of Google's style and one of our own
default_role = "code"
napoleon_custom_sections = ["Source", "Example"]
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"


def list_fields(app, what, name, obj, options, lines):
    """Make a list of lines `name: meaning` that a docstring has beside its sections."""
    out, listed = [], False
    for line in lines:
        field = re.match(r"([a-z]\w*(?:, \w+)*): (\S.*)", line)
        listed = bool(field) or (listed and line.startswith("    "))
        if field:
            out += ["", f"- **{field[1]}**: {field[2]}"]
        else:
            out.append(line[2:] if listed else line)
    lines[:] = out


def setup(app):
    """Register the hook, before that of napoleon."""
    app.connect("autodoc-process-docstring", list_fields, priority=100)
