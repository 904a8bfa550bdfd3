"""Keys that a training, a measurement or a dataset does not depend on: a new one is listed here by hand.

Every other key of every section and of every plug-in is part of the identity.
"""

import pytest

from twirlscope import plugins
from twirlscope.settings.base import MEASUREMENTS, keys_apart, keys_for
from twirlscope.settings.experiment import MEASURES, Config
from twirlscope.settings.report import ReportSettings
from twirlscope.settings.train import TrainSettings

MACHINE = {  # section, keys that only say how a machine does the work
    "train": {"save_every", "device", "micro_batch", "activation_checkpointing", "compile", "prefetch"},
    "twirl": {"chunk", "device", "jobs"},
    "gradient": {"enabled", "chunk", "device", "jobs"},
    "hessian": {"enabled", "chunk", "keep_memory", "device", "jobs"},
    "layers": {"enabled", "chunk", "device", "jobs"},
    "dynamics": {"enabled"},
}
TASKS = {  # by task and stage, keys that this stage depends on and the training does not
    "flow_matching": {
        "twirl": {"seed", "generate", "generate_steps", "generate_solver"},
        "gradient": {"seed"},
        "hessian": {"seed"},
        "layers": {"seed"},
    },
    "force_field": {stage: set() for stage in MEASUREMENTS},
    "voxel_denoising": {stage: {"action"} for stage in MEASUREMENTS},
}
WORDS = {"chunk", "device", "jobs", "parts", "memory", "prefetch", "compile", "enabled", "save", "batch"}


def test_stages__that_measure_have_one_name():
    assert tuple(MEASURES) == (*MEASUREMENTS, "dynamics")  # which has no task


@pytest.mark.parametrize("stage", MACHINE)
def test_keys__of_the_machine_are_those_of_the_list(stage):
    assert set(keys_apart({"train": TrainSettings, **MEASURES}[stage], stage)) == MACHINE[stage]


def test_keys__of_datasets_are_part_of_the_data_but_for_the_number_of_jobs():
    for name in plugins.known("dataset"):
        assert keys_apart(plugins.find("dataset", name).Settings, "prepare") == ["parts"]


def test_keys__of_models_and_of_the_report_are_all_part_of_the_result():
    found = [plugins.find("model", name).Settings for name in plugins.known("model")]
    assert not [keys_apart(cls, "train") for cls in found if keys_apart(cls, "train")]
    assert not keys_apart(ReportSettings, "report")


@pytest.mark.parametrize("task", plugins.known("task"))
def test_keys__of_a_task_that_shape_measurements_alone_are_those_of_the_list(task):
    cls = plugins.find("task", task).Settings
    assert {stage: set(keys_for(cls, stage)) for stage in MEASUREMENTS} == TASKS[task]
    assert set(keys_apart(cls, "train")) == set().union(*TASKS[task].values())


def test_keys__whose_names_speak_of_a_machine_were_decided_about():
    """A new key with such a name is either marked with `shapes`, or named here as part of the result."""
    shaping = {"batch", "batches", "basis_memory"}  # sizes of batches, and of the basis that decides its precision
    sections = {"train": TrainSettings, **MEASURES}
    sections |= {n: plugins.find("task", n).Settings for n in plugins.known("task")}
    sections |= {n: plugins.find("model", n).Settings for n in plugins.known("model")}
    for stage, cls in sections.items():
        apart = set(keys_apart(cls, stage if stage in MACHINE else "train"))
        odd = {key for key in cls.model_fields if WORDS & set(key.split("_")) and key not in apart | shaping}
        assert not odd, (stage, odd)


def test_config__has_no_section_beyond_those_decided_about():
    assert set(Config.model_fields) == {"datasets", "runs", "sweeps", *MEASURES, "report"}
