"""Plug-ins by name: `force_field` is a module of the package, `path/to/file.py:MyTask` a file of the user.

A section of the config that names a plug-in holds `name` and, beside it, the plug-in's own settings.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import xarray as xr

from .errors import UserError, UserErrors
from .settings.base import Settings, parse

if TYPE_CHECKING:
    from .contracts import Model, Task
    from .objective import Objective
    from .sources import Dataset

# and the module of the base class
KINDS = {"dataset": "sources", "task": "contracts", "model": "contracts", "objective": "objective"}
_used: dict[Path, set[Path]] = {}  # by file of the user, the files of its folder that its import imported or opened
_listeners: list[set[str]] = []  # names of opened files are added to these


def known(kind: str) -> list[str]:
    """Names of the package's own plug-ins of a kind (`dataset`, `task`, `model`, `objective`)."""
    folder = Path(__file__).parent / f"{kind}s"
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def file_of(kind: str, name: str, where: str = "") -> Path:
    """The file that defines a plug-in.

    Raises:
        UserError: no plug-in or file of that name.
    """
    if ":" in name:
        path = Path(name.rsplit(":", 1)[0])
        if not path.is_file():
            raise UserError(where or name, "a Python file that exists, as `file.py:Class`", repr(name))
        return path.resolve()
    if name not in known(kind):
        raise UserError(where or name, f"the name of a {kind} or `file.py:Class`", repr(name), known(kind))
    return Path(__file__).parent / f"{kind}s" / f"{name}.py"


def files_of(kind: str, name: str) -> list[Path]:
    """The file that defines a plug-in, and the files of a user's folder that its import imported or opened.

    Raises:
        UserError: no such plug-in, or its file cannot be imported.
    """
    path = file_of(kind, name)
    if ":" in name:
        _import_file(path, name)
    return [path, *sorted(_used.get(path, set()) - {path})]


def find(kind: str, name: str, where: str = "") -> type:
    """The class of a plug-in.

    Args:
        kind: `dataset`, `task`, `model` or `objective`.
        name: module of the package, or `file.py:Class`.
        where: key path for error texts.

    Raises:
        UserError: no such plug-in, or the file does not define the class.
    """
    path = file_of(kind, name, where)
    base = getattr(importlib.import_module(f"{__package__}.{KINDS[kind]}"), kind.capitalize())
    wanted = name.rsplit(":", 1)[1] if ":" in name else None
    module = _import_file(path, where or name) if wanted else importlib.import_module(f"{__package__}.{kind}s.{name}")
    classes = {
        n: c
        for n, c in vars(module).items()
        if inspect.isclass(c) and issubclass(c, base) and c.__module__ == module.__name__ and not inspect.isabstract(c)
    }
    if wanted is None and len(classes) == 1:
        return next(iter(classes.values()))
    if wanted not in classes:
        raise UserError(where or name, f"a subclass of {base.__name__} in {path.name}", repr(wanted), classes)
    return classes[wanted]


def settings_of(kind: str, section: Any, where: str) -> tuple[Settings | None, list[UserError]]:
    """The settings of the plug-in that a section names, or None, and all errors in the section."""
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        got = repr(section["name"]) if isinstance(section, dict) and "name" in section else "nothing"
        return None, [UserError(f"{where}.name", f"the name of a {kind} or `file.py:Class`", got, known(kind))]
    try:
        cls = find(kind, section["name"], f"{where}.name")
    except UserError as error:
        return None, [error]
    return parse(cls.Settings, {k: v for k, v in section.items() if k != "name"}, where)


def filled(kind: str, section: dict[str, Any]) -> dict[str, Any]:
    """A correct section with the defaults of the plug-in that it names."""
    return {"name": section["name"], **_settings(kind, section).model_dump()}


def names(section: dict[str, Any]) -> list[str]:
    """Names of all plug-ins of a section: the one that it names, and those of the sections in it."""
    inner = [value for value in section.values() if isinstance(value, dict) and "name" in value]
    return [section["name"], *(name for one in inner for name in names(one))]


def make_dataset(section: dict[str, Any]) -> Dataset:
    """The dataset of a config section.

    Raises:
        UserErrors: its settings are wrong.
    """
    return find("dataset", section["name"])(_settings("dataset", section))


def make_task(section: dict[str, Any], data: xr.Dataset) -> Task:
    """The task of a config section, on prepared data.

    Raises:
        UserErrors: its settings are wrong.
    """
    return find("task", section["name"])(_settings("task", section), data)


def make_model(section: dict[str, Any], constants: dict[str, Any]) -> Model:
    """The model of a config section, freshly initialised.

    Raises:
        UserErrors: its settings are wrong.
        UserError: the data have an input or a term that the model does not support and would ignore.
    """
    cls = find("model", section["name"])
    ignored = [name for name in constants.get("optional", ()) if name not in cls.optional]
    if ignored:
        expected = f"a model that supports the {' and the '.join(ignored)} of the data (`Model.optional`)"
        raise UserError(
            f"model {section['name']}", expected, f"one that would ignore {'them' if ignored[1:] else 'it'}"
        )
    return cls(_settings("model", section), constants)


def make_objective(section: dict[str, Any], task: Task, model: Model, steps: int) -> Objective:
    """The objective of a config section, for a model on a task and a number of updates.

    Raises:
        UserErrors: its settings are wrong.
        UserError: it does not fit the task or the model.
    """
    return find("objective", section["name"])(_settings("objective", section), task, model, steps)


def _settings(kind: str, section: dict[str, Any]) -> Settings:
    """The settings of the plug-in that a section names. Raises UserErrors."""
    settings, errors = settings_of(kind, section, kind)
    if settings is None:
        raise UserErrors(errors)
    return settings


def _import_file(path: Path, where: str) -> ModuleType:
    """The module of a file; imports in it are searched in its own folder first."""
    name = f"twirlscope_plugin_{path.stem}_{abs(hash(path)):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _own_folder_first(path):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            where, f"a Python file that can be imported ({path})", f"{type(error).__name__}: {error}"
        ) from error
    return module


@contextmanager
def _own_folder_first(path: Path) -> Iterator[None]:
    """Search imports beside a user's file first, not among modules of other users' folders, and note what it uses.

    Two folders may each have a `layers.py`. Later, imports within functions find the folder at the end of the path.
    """
    folder, opened = path.parent, set()
    others = {f.parent for f in _used} - {folder}
    hidden = {n: m for n, m in sys.modules.items() if _beside(m) & others and folder not in _beside(m)}
    for name in hidden:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    _listeners.append(opened)
    try:
        yield
    finally:
        _listeners.remove(opened)
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        imported = {Path(m.__file__).resolve() for m in list(sys.modules.values()) if folder in _beside(m)}
        files = {Path(name).resolve() for name in opened}
        read = {f for f in files if f.is_file() and folder in f.parents and f.parent.name != "__pycache__"}
        _used[path] = imported | read
        for name, module in hidden.items():
            sys.modules.setdefault(name, module)


def _beside(module: Any) -> set[Path]:
    """The folders that a module lies in, at any depth; none for a module without a file and for a plug-in itself."""
    file = getattr(module, "__file__", None)
    plugin = getattr(module, "__name__", "").startswith("twirlscope_plugin_")
    return set() if plugin or not isinstance(file, str) else set(Path(file).resolve().parents)


def _note_opened(event: str, arguments: tuple) -> None:
    """Add the name of a file that is opened to all listeners."""
    if event == "open" and _listeners and isinstance(arguments[0], str):
        for names in _listeners:
            names.add(arguments[0])


sys.addaudithook(_note_opened)
