"""Config mistakes: every one is named, with its key path and the nearest known name, before any job starts."""

import copy
import re

import edits
import pytest
import torch
import yaml
from snakemake.utils import update_config

from twirlscope import plugins
from twirlscope.errors import UserErrors
from twirlscope.planning.expected_work import Speeds, work_of
from twirlscope.planning.plan import Plan
from twirlscope.runtime.code_hash import ROOT
from twirlscope.settings.train import checkpoint_steps

DEFAULT = yaml.safe_load((ROOT.parent.parent / "config" / "config.yaml").read_text())


def mistakes(config):
    with pytest.raises(UserErrors) as found:
        Plan(config)
    return str(found.value)


def test_plan__accepts_the_default_config_and_names_its_jobs():
    plan = Plan(DEFAULT)
    assert ("augmented", 0) in plan.runs
    assert {plan.config.runs[run].task["name"] for run, _ in plan.runs} == set(plugins.known("task"))  # all of them
    assert plan.dataset_of("augmented") == "molecules"
    assert plan.train("augmented", 0)["run"]["train"]["batch"] > 0


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("runz", {}, ["runz: expected no such key", "did you mean 'runs'?"]),
        ("runs.augmented.train.step", 3, ["runs.augmented.train.step: expected no such key", "did you mean 'steps'?"]),
        ("runs.augmented.train.steps", "many", ["runs.augmented.train.steps: expected", "got 'many'"]),
        ("runs.augmented.train.steps", 0, ["runs.augmented.train.steps: expected greater than or equal to 1, got 0"]),
        ("runs.augmented.train.steps", 10.5, ["runs.augmented.train.steps: expected", "10.5"]),
        ("runs.augmented.train.learning_rate", "1e-3", ["write 1.0e-3", "YAML"]),
        ("runs.augmented.train.objective.name", "augmnt", ["train.objective.name", "did you mean 'augment'?"]),
        ("runs.augmented.train.objective.rotations", "harr", ["train.objective.rotations", "did you mean 'haar'?"]),
        (
            "runs.augmented.train.objective",
            {"weight": 3.0},
            ["train.objective.name: expected the name", "equiv_penalty"],
        ),
        (
            "runs.augmented.train.objective",
            {"name": "equiv_penalty", "weight": 0.0},
            ["train.objective.weight: expected weight of at least 0.1"],
        ),
        (
            "runs.augmented.train.objective",
            {"name": "schedule", "first": {"name": "group", "set": "Q"}},
            ["train.objective.first: expected set: ", "known names"],
        ),
        ("runs.augmented.train.warmup", 10**6, ["runs.augmented.train", "warmup of at most steps"]),
        (
            "runs.augmented.model.name",
            "vector_atention",
            ["runs.augmented.model.name", "did you mean 'vector_attention'?"],
        ),
        ("runs.augmented.model.name", "no_file.py:Net", ["runs.augmented.model.name", "a Python file that exists"]),
        ("runs.augmented.model.widht", 3, ["runs.augmented.model.widht", "did you mean 'width'?"]),
        ("runs.augmented.task.name", "force_fields", ["runs.augmented.task.name", "did you mean 'force_field'?"]),
        ("runs.augmented.dataset", "molecule", ["runs.augmented.dataset", "did you mean 'molecules'?"]),
        ("runs.augmented.seeds", [], ["runs.augmented.seeds"]),
        ("runs.augmented.seeds", [1, 1], ["runs.augmented.seeds: expected different numbers"]),
        ("runs.augmented.model", {}, ["runs.augmented.model.name", "vector_attention"]),
        ("datasets.molecules.name", "xtb_molecule", ["datasets.molecules.name", "did you mean 'xtb_molecules'?"]),
        ("datasets.molecules.file", "no_such.smi", ["datasets.molecules", "a file that exists", "no_such.smi"]),
        ("datasets.molecules.test_fraction", 1.5, ["datasets.molecules.test_fraction: expected less than 1, got 1.5"]),
        ("datasets.a-b", {"name": "xtb_molecules"}, ["datasets.a-b", "letters, digits and underscores"]),
        ("twirl.rotations", 1, ["twirl.rotations: expected greater than or equal to 2, got 1"]),
        ("hessian.steps", [7], ["hessian.steps: expected steps of checkpoints of runs.augmented", "[7]"]),
        ("hessian", 3, ["hessian: expected"]),
        ("runs.augmented.twirl", {"panle": 3}, ["runs.augmented.twirl.panle: expected no such key", "'panel'?"]),
        ("runs.augmented.twirl", {"rotations": 1}, ["runs.augmented.twirl.rotations", "got 1"]),
        ("runs.augmented.hessian", {"steps": [7]}, ["runs.augmented.hessian.steps: expected steps of", "[7]"]),
    ],
)
def test_plan__names_the_mistake(path, value, expected):
    text = mistakes(edits.changed(DEFAULT, path, value))
    for words in expected:
        assert words in text
    assert "pydantic" not in text


def test_plan__names_all_mistakes_at_once():
    config = edits.changed(DEFAULT, "runs.augmented.train.step", 3)
    config["twirl"]["rotation"] = 4
    config["datasets"]["molecules"]["partz"] = 2
    text = mistakes(config)
    for path in ("runs.augmented.train.step", "twirl.rotation", "datasets.molecules.partz"):
        assert path in text


def test_plan__refuses_a_model_made_for_another_task(tmp_path):
    (tmp_path / "other.py").write_text(
        "from twirlscope.contracts import Model\nfrom twirlscope.settings.base import Settings\n"
        "class Net(Model):\n    class Settings(Settings):\n        'None.'\n    task = 'flow'\n"
    )
    text = mistakes(edits.changed(DEFAULT, "runs.augmented.model", {"name": f"{tmp_path / 'other.py'}:Net"}))
    assert "expected a model for the task force_field, got one for flow" in text


def test_plan__says_why_a_plugin_file_cannot_be_imported(tmp_path):
    (tmp_path / "broken.py").write_text("import nonsense_that_is_not_there\n")
    text = mistakes(edits.changed(DEFAULT, "runs.augmented.model", {"name": f"{tmp_path / 'broken.py'}:Net"}))
    assert "ModuleNotFoundError" in text
    assert "nonsense_that_is_not_there" in text


def test_plan__names_the_classes_of_a_plugin_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from twirlscope.contracts import Model\nfrom twirlscope.settings.base import Settings\n"
        "class Network(Model):\n    class Settings(Settings):\n        'None.'\n    task = 'force_field'\n"
    )
    text = mistakes(edits.changed(DEFAULT, "runs.augmented.model", {"name": f"{tmp_path / 'mine.py'}:Netwrk"}))
    assert "did you mean 'Network'?" in text


def test_plan__drops_runs_that_an_overlay_sets_to_null():
    config = copy.deepcopy(DEFAULT)
    config["runs"]["more"] = copy.deepcopy(config["runs"]["augmented"])
    config["runs"] |= dict.fromkeys(DEFAULT["runs"])
    assert {name for name, _ in Plan(config).runs} == {"more"}


def test_plan__accepts_the_overlay_of_force_fields_its_published_size_is_exact_and_its_curve_has_four_sizes(
    tmp_path, monkeypatch
):
    overlay = yaml.safe_load((ROOT.parent.parent / "config" / "forcefields.yaml").read_text())
    for section in filter(None, overlay["datasets"].values()):
        for name in [*section["files"], *(n for files in section["test_files"].values() for n in files)]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(DEFAULT)
    for key, value in overlay.items():  # as Snakemake does with config files
        config[key] = config.get(key, {}) | value
    plan = Plan(config)
    assert plan.datasets == ["3bpa", "acac", "monomers"]
    sizes = [500, 2000, 8000, 14000]
    curve = [plan.train(f"curve_{n}", 0)["run"] for n in sizes]
    assert [run["train"].pop("samples") for run in curve] == sizes
    assert all(run == curve[0] for run in curve)
    with torch.device("meta"):
        model = plugins.make_model(plan.train("escaip_6m", 0)["run"]["model"], {"elements": [1, 6, 8]})
    assert sum(p.numel() for p in model.parameters()) == 6_136_966


def test_plan__takes_keys_of_a_run_over_those_of_all():
    config = edits.changed(DEFAULT, "runs.augmented.hessian", {"enabled": False, "samples": 3})
    config["runs"]["other"] = config["runs"]["augmented"] | {"hessian": {"probes": 7}, "seeds": [4]}
    config["hessian"] = {"samples": 5}
    config["runs"] = {name: config["runs"][name] for name in ("augmented", "other")}
    plan = Plan(config)
    assert plan.measured_by("hessian") == [("other", 4)]
    settings = plan.measure("hessian", "other")["settings"]
    assert (settings["samples"], settings["probes"]) == (5, 7)
    assert plan.measure("hessian", "augmented")["settings"]["samples"] == 3
    assert plan.measure("twirl", "other") == Plan(edits.changed(DEFAULT, "hessian", {})).measure("twirl", "augmented")
    flags = {(r["run"], r["seed"]): (r["hessian"], r["gradient"]) for r in plan.report()["runs"]}
    assert flags == {run: (run == ("other", 4), True) for run in plan.runs}


def test_plan__spreads_checkpoints_over_no_more_jobs_than_there_are_and_changes_no_setting():
    config = edits.changed(DEFAULT, "runs.augmented.hessian", {"jobs": 9, "steps": [0, 1]})
    config["runs"]["other"] = copy.deepcopy(config["runs"]["augmented"]) | {"hessian": {"checkpoints": 5}}
    config["hessian"] = {"jobs": 3}
    config["twirl"] = {"jobs": 1000}
    config["runs"]["voxels"]["gradient"] = {"checkpoints": 4, "jobs": 9}
    plan, alone = Plan(config), Plan(DEFAULT)
    kept = checkpoint_steps(plan.config.runs["augmented"].train)
    assert [len(plan.jobs("hessian", run)) for run in ("augmented", "other")] == [2, 3]
    assert len(plan.jobs("twirl", "augmented")) == len(kept)
    assert len(plan.jobs("gradient", "augmented")) == 1
    assert len(plan.jobs("gradient", "voxels")) == 4
    assert plan.measure("hessian", "other", "2")["share"] == {"number": 2, "jobs": 3}
    assert plan.measure("gradient", "augmented")["settings"] == alone.measure("gradient", "augmented")["settings"]
    assert "jobs" not in plan.measure("hessian", "augmented")["settings"]


def test_plan__says_by_a_pattern_which_runs_one_job_measures():
    plan = Plan(edits.changed(DEFAULT, "runs.augmented.gradient", {"jobs": 2}))
    others = [run for run in plan.config.runs if run != "augmented"]
    for run in others:
        assert re.fullmatch(plan.in_one_job("gradient"), run)
        assert not re.fullmatch(plan.in_several_jobs("gradient"), run)
    assert re.fullmatch(plan.in_several_jobs("gradient"), "augmented")
    assert not re.fullmatch(plan.in_one_job("gradient"), "augmented")
    assert not re.fullmatch(plan.in_several_jobs("twirl"), "augmented")
    assert not re.fullmatch(plan.in_several_jobs("twirl"), "")


def overlaid(name, monkeypatch, folder):
    """The plan of an overlay of the project, with empty files where its paths say."""
    overlay = yaml.safe_load((ROOT.parent.parent / "config" / name).read_text())
    for place in ("data/SPICE-2.0.1.hdf5", "data/structures/one.pdb", "data/drugs.sdf"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    monkeypatch.chdir(folder)
    config = copy.deepcopy(DEFAULT)
    update_config(config, overlay)
    return Plan(config)


@pytest.mark.parametrize("name", ["paper.yaml", "mini_paper.yaml"])
def test_plan__of_the_papers_experiments_varies_size_samples_and_optimiser(name, tmp_path, monkeypatch):
    plan = overlaid(name, monkeypatch, tmp_path)
    varied = {}
    for members in plan.sweeps.values():
        found = [plan.train(run, 0)["run"] for run in members]
        task = found[0]["task"]["name"]
        for kind in ("model", "train"):
            for key in found[0][kind]:
                if len({str(run[kind].get(key)) for run in found}) > 1:
                    varied.setdefault(task, set()).add(f"{kind}.{key}")
    assert set(varied) == set(plugins.known("task"))
    for task, keys in varied.items():
        assert "train.samples" in keys
        assert {"model.width", "model.size"} & keys or (task, name) == ("voxel_denoising", "mini_paper.yaml")
    assert {"train.optimiser", "train.objective"} <= varied["force_field"]
    seeds = {
        task: len({s for run, s in plan.runs if plan.train(run, s)["run"]["task"]["name"] == task}) for task in varied
    }
    assert set(seeds.values()) == {3}


@pytest.mark.parametrize("name", ["paper.yaml", "mini_paper.yaml"])
def test_plan__compares_optimisers_at_several_learning_rates_and_the_same_weight_decay(name, tmp_path, monkeypatch):
    plan = overlaid(name, monkeypatch, tmp_path)
    (members,) = [m for key, m in plan.sweeps.items() if key.endswith("optimiser")]
    found = [plan.train(run, 0)["run"]["train"] for run in members]
    assert {run["optimiser"] for run in found} == {"adam", "sgd"}
    assert {run["weight_decay"] for run in found} == {0.0}
    assert len({run["learning_rate"] for run in found if run["optimiser"] == "adam"}) == 3


def test_plan__of_the_objectives_trains_each_in_three_seeds_on_as_many_rows(tmp_path, monkeypatch):
    plan = overlaid("objectives.yaml", monkeypatch, tmp_path)
    found = [plan.train(run, seed)["run"]["train"] for run, seed in plan.runs]
    assert {t["objective"]["name"] for t in found} == set(plugins.known("objective"))
    assert all(len(run.seeds) == 3 for run in plan.config.runs.values())
    forces = [plan.train(run, 0)["run"]["train"] for run in plan.sweeps["forces"]]
    assert {t["batch"] for t in forces} == {32}


@pytest.mark.parametrize("name", ["scaling.yaml", "mini_scaling.yaml"])
def test_plan__of_scaling_covers_four_octaves_of_learned_and_built_in_symmetry(name, tmp_path, monkeypatch):
    plan = overlaid(name, monkeypatch, tmp_path)
    found = [plan.train(run, seed)["run"] for run, seed in plan.runs]
    for model in ("vector_attention", "tensor_product"):
        chosen = [run for run in found if run["model"]["name"] == model and run["train"]["samples"] == 0]
        assert len({(run["model"]["width"], run["model"]["layers"]) for run in chosen}) >= 4
        lengths = {run["train"]["steps"] for run in chosen}
        assert max(lengths) / min(lengths) > 15, "with the sizes more than four octaves of FLOPs"
        sizes = {run["train"]["samples"] for run in found if run["model"]["name"] == model} - {0}
        assert max(sizes) / min(sizes) >= 16
    objectives = [run["train"]["objective"] for run in found]
    assert {o.get("copies", 0) for o in objectives} >= {0, 1, 4}
    assert {o.get("views", 1) for o in objectives} >= {1, 2, 4}
    assert len({o.get("angle", 180.0) for o in objectives}) >= 3
    assert all(run["train"]["batch"] % run["train"]["objective"].get("views", 1) == 0 for run in found)


def test_plan__of_the_mini_scaling_is_under_an_hour_on_two_cores(tmp_path, monkeypatch):
    plan, speeds = overlaid("mini_scaling.yaml", monkeypatch, tmp_path), Speeds(tmp_path / "none")
    seconds = [
        speeds.seconds(work_of(plan, stage, {"run": run, "seed": str(seed)}))
        for run, seed in plan.runs
        for stage in ("train", "twirl")
    ]
    others = speeds.seconds(work_of(plan, "report", {})) + 60  # and the data
    assert sum(seconds) / 2 + others < 3600


def test_sources__of_a_training_hold_every_objective_that_it_names():
    section = {"name": "schedule", "first": {"name": "none"}, "then": {"name": "latent"}}
    plan = Plan(edits.changed(DEFAULT, "runs.augmented.train.objective", section))
    files = {f"twirlscope/objectives/{name}.py" for name in ("schedule", "none", "latent")}
    assert files <= set(plan.sources("train", "augmented"))


def test_plan__of_the_paper_is_as_published(tmp_path, monkeypatch):
    plan = overlaid("paper.yaml", monkeypatch, tmp_path)
    force = plan.train("force_field", 0)["run"]["train"]
    assert (force["steps"], force["batch"], force["optimiser"], force["learning_rate"]) == (445_800, 64, "adam", 1e-5)
    assert force["objective"] == {"name": "none", "canonical": False}
    few = [plan.train(run, 0)["run"]["train"] for run in plan.sweeps["force_field_samples"]]
    assert {(run["samples"], run["batch"]) for run in few} == {(950_000, 64), (50_000, 64), (5000, 64), (500, 1)}


def test_plan__of_the_paper_has_models_from_one_to_four_hundred_million_parameters(tmp_path, monkeypatch):
    plan = overlaid("paper.yaml", monkeypatch, tmp_path)
    constants = {"elements": [1, 6, 7, 8, 9], "size": 32}
    found = {}
    for run in plan.config.runs:
        spec = plan.train(run, 0)["run"]["model"]
        if str(spec) not in found and spec["name"] != "tensor_product":
            with torch.device("meta"):
                model = plugins.make_model(spec, constants)
            found[str(spec)] = sum(p.numel() for p in model.parameters()) / 1e6
    assert min(found.values()) == pytest.approx(1.1, abs=0.05)
    assert max(found.values()) == pytest.approx(397, abs=2)  # that of 398M has no fold labels
    assert sum(round(n) in (1, 4, 6) for n in found.values()) == 3  # EScAIP
    assert len(found) == 8


def test_plan__knows_a_data_file_by_its_content(tmp_path):
    path = tmp_path / "a.xyz"
    config = edits.changed(DEFAULT, "datasets.mine", {"name": "extxyz", "files": [str(path)]})
    found = []
    for text in ("one", "other", "one"):
        path.write_text(text)
        found.append(Plan(config).prepare("mine"))
    assert found[0] == found[2]
    assert found[0] != found[1]
    assert list(found[0]["files"]) == [str(path)]
