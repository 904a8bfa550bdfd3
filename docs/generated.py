"""Pages that are written from elsewhere, so that nothing is said twice.

From the code: the stores and their arrays, the commands of the package. From config/README.md: one guide per section.
"""

import importlib.util
import io
import os
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

from twirlscope.storage.arrays.coordinates import COORDINATES
from twirlscope.storage.arrays.data import DATA
from twirlscope.storage.arrays.dynamics import DYNAMICS
from twirlscope.storage.arrays.gradient import GRADIENT
from twirlscope.storage.arrays.hessian import HESSIAN
from twirlscope.storage.arrays.layers import LAYERS
from twirlscope.storage.arrays.summary import SUMMARY
from twirlscope.storage.arrays.train import TRAIN
from twirlscope.storage.arrays.twirl import TWIRL

STORES = {
    "data": ("`results/data/{dataset}.zarr.zip`", DATA),
    "train": ("`results/runs/{run}/seed{seed}/train.zarr.zip`", TRAIN),
    "twirl": ("`results/runs/{run}/seed{seed}/twirl.zarr.zip`", TWIRL),
    "gradient": ("`results/runs/{run}/seed{seed}/gradient.zarr.zip`", GRADIENT),
    "hessian": ("`results/runs/{run}/seed{seed}/hessian.zarr.zip`", HESSIAN),
    "layers": ("`results/runs/{run}/seed{seed}/layers.zarr.zip`", LAYERS),
    "dynamics": ("`results/runs/{run}/seed{seed}/dynamics.zarr.zip`", DYNAMICS),
    "summary": ("`results/report/summary.zarr.zip`, a group for each task", SUMMARY),
}
STORES_HEAD = """# Stores and their arrays

Written from the declarations in `workflow/twirlscope/storage/arrays/`; an array that is not declared cannot be stored.
A store has those of its arrays that its settings ask for. `twirlscope.open_store(path)` opens it as an xarray Dataset,
with unit, meaning and source as attributes of every array. The unit 1 marks numbers without one."""
COMMANDS_HEAD = "# Commands of the package\n"
CONFIG = Path(__file__).parents[1] / "config" / "README.md"
FOLDER = Path(__file__).parent / "generated"


def pages() -> dict[str, str]:
    """Text of every page, by file name."""
    guides = sections(CONFIG.read_text(encoding="utf-8"))
    names = "\n".join(f"{guide.removesuffix('.md')}" for guide in guides)
    listed = f"# Guides to the config\n\n```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n"
    return {"stores.md": stores(), "commands.md": commands(), "guides.md": listed, **guides}


def write() -> None:
    """Write all pages, remove those of earlier builds, and leave alone those that have not changed."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """One page per section of config/README.md: its headings one level up, its links from where the page lies."""
    found = {}
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
        slug = re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        body = re.sub(r"^##(#+ )", r"#\1", body, flags=re.MULTILINE)
        body = re.sub(r"\]\(REFERENCE\.md", "](../reference/config.md", body)
        body = re.sub(r"\]\((?!https?:|#|\.\./reference)", "](../../config/", body)
        found[f"{slug}.md"] = f"# {title}\n{body}"
    return found


def stores() -> str:
    """All arrays of all stores as tables; coordinates that several stores have are listed once."""
    parts = [STORES_HEAD, "## Coordinates of several stores", _table(COORDINATES)]
    for name, (path, arrays) in STORES.items():
        own = {k: v for k, v in arrays.items() if k not in COORDINATES}
        parts += [f"## Store {name}", path, _table(own)]
    return "\n\n".join(parts) + "\n"


def _table(arrays: dict) -> str:
    """A table of arrays: name, dimensions, dtype, unit, meaning with its source."""
    rows = ["| array | dimensions | dtype | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, array in arrays.items():
        source = f" ({array.source})" if array.source else ""
        meaning = f"{array.meaning}{source}".replace("|", "\\|")
        rows.append(f"| `{name}` | {' '.join(array.dims) or 'none'} | {array.dtype} | {array.unit} | {meaning} |")
    return "\n".join(rows)


def commands() -> str:
    """Help texts of `python -m twirlscope` and of each of its commands."""
    if importlib.util.find_spec("twirlscope.__main__") is None:
        return COMMANDS_HEAD + "\nThis version has none beside `snakemake` and `make`.\n"
    names = importlib.import_module("twirlscope.__main__").COMMANDS
    parts = [COMMANDS_HEAD, _help(), *(f"## {name}\n\n{_help(name)}" for name in names)]
    return "\n\n".join(parts) + "\n"


def _help(*arguments: str) -> str:
    """The help text of a command, as a block."""
    main = importlib.import_module("twirlscope.__main__").main
    text = io.StringIO()
    width = {"COLUMNS": "100"}  # not that of the terminal of the build
    with patch.dict(os.environ, width), redirect_stdout(text), suppress(SystemExit):
        main([*arguments, "--help"])
    return f"```text\n{text.getvalue().strip()}\n```"
