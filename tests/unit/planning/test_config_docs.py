"""The generated schema and reference of the config, against the settings classes and the configs of the project."""

import functools
import re

import jsonschema
import pytest
import yaml
from snakemake.utils import update_config

from twirlscope import plugins
from twirlscope.planning import config_docs
from twirlscope.settings.experiment import Config
from twirlscope.settings.prepare import DatasetSettings

CONFIGS = sorted((config_docs.PROJECT / "config").glob("*.yaml"))
DEFAULT = config_docs.PROJECT / "config" / "config.yaml"


def without_nulls(config):
    """The config without the datasets, runs and sweeps that an overlay drops."""
    return {k: {n: v for n, v in part.items() if v is not None} for k, part in config.items()}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_schema__accepts_every_config_of_the_project(path):
    config = yaml.safe_load(DEFAULT.read_text())
    update_config(config, yaml.safe_load(path.read_text()))
    jsonschema.validate(without_nulls(config), config_docs.schema())


@pytest.mark.parametrize(
    "change",
    [
        {"runs": {"augmented": {"train": {"step": 3}}}},
        {"runs": {"augmented": {"train": {"steps": 0}}}},
        {"runs": {"augmented": {"train": {"objective": {"name": 3}}}}},
        {"runs": {"augmented": {"seeds": []}}},
        {"twirl": {"highest_degree": 41}},
    ],
    ids=str,
)
def test_schema__rejects_what_the_settings_reject(change):
    config = yaml.safe_load(DEFAULT.read_text())
    update_config(config, change)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, config_docs.schema())


@pytest.mark.parametrize("part", ["datasets", "runs"])
def test_schema__asks_for_at_least_one_dataset_and_run(part):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(DEFAULT.read_text()) | {part: {}}, config_docs.schema())


def test_schema__has_the_defaults_of_the_settings_classes():
    for name in config_docs.SECTIONS:
        cls = Config.model_fields[name].annotation
        keys = config_docs.schema()["properties"][name]["properties"]
        assert {k: entry["default"] for k, entry in keys.items()} == {k: getattr(cls(), k) for k in cls.model_fields}


@functools.cache
def tables():
    """Keys and the text of their defaults, by the title of their table, read from the reference."""
    parts = re.split(r"^## (.*)$", config_docs.reference(), flags=re.MULTILINE)[1:]
    rows = re.compile(r"^\| `(\w+)` \| .*? \| (?:`(.*?)`)? \| ", re.MULTILINE)
    return {title: rows.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


@functools.cache
def keys_of(kind, name):
    return config_docs.section(plugins.find(kind, name).Settings)["properties"]


PLUGINS = [(kind, name) for kind in plugins.KINDS for name in plugins.known(kind)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_reference__lists_every_key_of_a_plug_in_once(kind, name):
    own = [key for key, _ in tables()[f"{kind} `{name}`"]]
    shared = [key for key, _ in tables().get(f"every {kind}", [])]
    assert len(set(own)) == len(own)
    assert {*own, *shared} == set(keys_of(kind, name))


def test_reference__says_the_keys_of_all_datasets_once():
    shared = config_docs.section(DatasetSettings)["properties"]
    assert [key for key, _ in tables()["every dataset"]] == list(DatasetSettings.model_fields)
    for name in plugins.known("dataset"):
        own = [key for key, _ in tables()[f"dataset `{name}`"]]
        assert not [key for key in own if keys_of("dataset", name)[key] == shared.get(key)], name


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_reference__writes_defaults_as_yaml_reads_them(kind, name):
    for key, text in tables()[f"{kind} `{name}`"]:
        assert yaml.safe_load(text or "{}") == keys_of(kind, name)[key].get("default", {}), key
