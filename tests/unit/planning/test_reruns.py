"""What runs again after an edit, against a table by hand: stores of an unchanged run, then one edit, no `.snakemake`.

The stores are empty but for their records. The oracle of every row is written down, not computed.
"""

import copy
import functools
import types

import edits
import pytest
import xarray as xr
import yaml

from twirlscope.planning import plan as planned
from twirlscope.planning.plan import Plan
from twirlscope.planning.reruns import Reruns, paths, record, stale
from twirlscope.report.inventory import stores_of
from twirlscope.runtime import code_hash
from twirlscope.runtime.identity import short_hash
from twirlscope.settings.base import MEASUREMENTS
from twirlscope.storage import made_from, store

DEFAULT = yaml.safe_load((code_hash.ROOT.parent.parent / "config" / "config.yaml").read_text())
DEFAULT["gradient"] = {"batches": 4}
RUNS = {"augmented": "molecules", "equivariant": "molecules", "backbones": "backbones", "voxels": "geometries"}
MEASURED = {  # by run
    "augmented": {"twirl", "gradient", "hessian"},
    "equivariant": {"twirl"},
    "backbones": {"twirl", "gradient", "hessian"},
    "voxels": {"twirl", "gradient", "hessian"},
}
PAGE = {"report"}


def measured(*runs, stages=MEASUREMENTS):
    """These stages of these runs (of all runs), and the report."""
    return {f"{s} {r}" for r in runs or RUNS for s in stages if s in MEASURED[r]} | PAGE


def trained(*runs):
    """These runs (all runs), from the training on."""
    return {f"train {run}" for run in runs or RUNS} | measured(*runs)


def prepared(*datasets):
    """These datasets (all of them) and the runs on them."""
    wanted = datasets or set(RUNS.values())
    return {f"prepare {d}" for d in wanted} | trained(*(r for r, d in RUNS.items() if d in wanted))


EVERYTHING, NOTHING = prepared(), set()
CONFIG = [  # path, value, what runs again
    # how a machine does the work: the page shows the config, and no more
    ("runs.augmented.train.save_every", 5.0, PAGE),
    ("runs.augmented.train.prefetch", 0, PAGE),
    ("runs.augmented.train.device", "cpu", PAGE),
    ("runs.augmented.train.micro_batch", 8, PAGE),
    ("runs.augmented.train.compile", "auto", PAGE),
    ("runs.augmented.train.activation_checkpointing", True, PAGE),
    ("twirl.chunk", 64, PAGE),
    ("twirl.device", "cpu", PAGE),
    ("twirl.jobs", 3, NOTHING),
    ("gradient.chunk", 4, PAGE),
    ("hessian.keep_memory", 0.0, PAGE),
    ("hessian.chunk", 2, PAGE),
    ("hessian.jobs", 2, NOTHING),
    ("datasets.molecules.parts", 3, PAGE),
    # the report
    ("report.title", "Another", PAGE),
    ("report.threshold", 5.0, PAGE),
    ("report.term", "forces", PAGE),
    # measurements
    ("twirl.rotations", 6, measured(stages=("twirl",))),
    ("twirl.trivial_below", 0.2, measured(stages=("twirl",))),
    ("twirl.resamples", 500, measured(stages=("twirl",))),
    ("twirl.losses", ["l2", "l1"], measured(stages=("twirl",))),
    ("twirl.seed", 1, measured(stages=("twirl",))),
    ("runs.augmented.twirl", {"panel": 4}, measured("augmented", stages=("twirl",))),
    ("runs.voxels.twirl.samples", 20, measured("voxels", stages=("twirl",))),
    ("gradient.batches", 5, measured(stages=("gradient",)) - {"gradient voxels"}),  # which has its own
    ("gradient.layer_depth", 3, measured(stages=("gradient",))),
    ("runs.voxels.gradient.batches", 9, measured("voxels", stages=("gradient",))),
    ("hessian.probes", 4, measured(stages=("hessian",))),
    ("hessian.basis_dtype", "float32", measured(stages=("hessian",))),
    ("runs.backbones.hessian.samples", 4, measured("backbones", stages=("hessian",))),
    ("runs.augmented.hessian", {"enabled": False}, PAGE),
    # keys of a task that no training depends on
    ("runs.backbones.task.generate", 3, measured("backbones", stages=("twirl",))),
    ("runs.backbones.task.generate_steps", 10, measured("backbones", stages=("twirl",))),
    ("runs.backbones.task.generate_solver", "euler", measured("backbones", stages=("twirl",))),
    ("runs.backbones.task.seed", 7, measured("backbones")),
    ("runs.voxels.task.action", "atoms", measured("voxels")),
    # trainings
    ("runs.augmented.train.steps", 3600, trained("augmented")),
    ("runs.augmented.train.learning_rate", 2.0e-3, trained("augmented")),
    ("runs.augmented.train.ema", 0.0, trained("augmented")),
    ("runs.augmented.train.precision", "bf16", trained("augmented")),
    ("runs.augmented.train.tf32", True, trained("augmented")),
    ("runs.augmented.train.checkpoints_per_decade", 2, trained("augmented")),
    ("runs.augmented.model.width", 64, trained("augmented")),
    ("runs.augmented.task.energy_weight", 0.5, trained("augmented")),
    ("runs.backbones.task.beta", 1.5, trained("backbones")),
    ("runs.voxels.task.sigma", 0.8, trained("voxels")),
    # data
    ("datasets.molecules.seed", 1, prepared("molecules")),
    ("datasets.molecules.test_fraction", 0.2, prepared("molecules")),
    ("datasets.molecules.max_rejected", 0.2, prepared("molecules")),
    ("datasets.geometries.conformers", 10, prepared("geometries")),
    ("datasets.backbones.longest", 90, prepared("backbones")),
    # runs that come and go
    ("runs.voxels", None, PAGE),
    ("runs.augmented.seeds", [0], PAGE),
]
SOURCES = [  # file, edit, what runs again
    ("training/loop.py", "code", trained()),
    ("training/optimisers.py", "code", trained()),
    ("training/cost.py", "code", trained()),
    ("training/keep.py", "code", NOTHING),
    ("stages/rehearsal.py", "code", NOTHING),
    ("twirling/checks/before_training.py", "code", NOTHING),
    ("twirling/checks/independence.py", "code", measured()),
    ("models/vector_attention.py", "code", trained("augmented")),
    ("models/tensor_product.py", "code", trained("equivariant")),
    ("tasks/voxel_denoising.py", "code", trained("voxels")),
    ("datasets/xtb_molecules.py", "code", prepared("molecules")),
    ("datasets/conformers.py", "code", prepared("geometries")),
    ("estimators/loss_split.py", "code", measured(stages=("twirl",))),
    ("curvature/lanczos.py", "code", measured(stages=("hessian",))),
    ("curvature/gradients.py", "code", measured(stages=("gradient",))),
    ("report/figures/curves.py", "code", PAGE),
    ("report/page.css", "text", PAGE),
    ("storage/store.py", "code", EVERYTHING),
    ("geometry/so3.py", "code", EVERYTHING - {"prepare geometries"}),  # which turns nothing
    ("settings/twirl.py", "words", NOTHING),
    ("training/loop.py", "words", NOTHING),
    ("planning/plan.py", "code", NOTHING),
]


def jobs_of(plan):
    """(stage, wildcards, name in the table) of every store, those that others are made of first."""
    found = [("prepare", {"dataset": d}, f"prepare {d}") for d in plan.datasets]
    wanted = {"train": plan.runs, "twirl": plan.runs, **{s: plan.measured_by(s) for s in ("gradient", "hessian")}}
    for stage, runs in wanted.items():
        found += [(stage, {"run": run, "seed": str(seed)}, f"{stage} {run}") for run, seed in runs]
    return [*found, ("report", {}, "report")]


def make(plan, results, made=None):
    """Stores as a run of the plan (of the jobs `made`) would leave them; their content follows settings, not code."""
    for stage, names, name in jobs_of(plan):
        if made is None or name in made:
            path, now = paths(stage, results, **names)[1], record(plan, stage, results, **names)
            content = short_hash({k: v for k, v in now.items() if k != "code"})
            about = {"content": content, "checkpoints": content} | made_from.attribute(now)
            store.save(xr.Dataset(attrs=about), path, {})


def runs_again(plan, results):
    """Names of the jobs that run: of stale and missing stores, and of what is made of those."""
    again = set()
    for stage, names, name in jobs_of(plan):
        path, run = paths(stage, results, **names)[1], names.get("run")
        above = {f"prepare {plan.dataset_of(run)}", f"train {run}"} if run else set()
        above = again.copy() if stage == "report" else above
        if not path.exists() or stale(plan, stage, path, results, **names) or above & again:
            again.add(name)
    return again


@pytest.fixture(name="results", scope="module")
def results_of_the_default(tmp_path_factory):
    results = tmp_path_factory.mktemp("work") / "results"
    make(Plan(DEFAULT), results)
    return results


def test_nothing__runs_again_without_an_edit_and_there_are_enough_edits(results):
    assert runs_again(Plan(copy.deepcopy(DEFAULT)), results) == NOTHING
    assert len(CONFIG) >= 50
    assert len(SOURCES) >= 20


HASHES = functools.cache(code_hash.code_hash)


@pytest.fixture(name="unedited")
def code_that_stays(monkeypatch):
    """Plans take the hash of the same files from a plan before."""
    monkeypatch.setattr(planned, "code_hash", HASHES)


@pytest.mark.slow
@pytest.mark.usefixtures("unedited")
@pytest.mark.parametrize(("path", "value", "expected"), CONFIG, ids=lambda v: v if isinstance(v, str) else "")
def test_edit_of_the_config__runs_again_what_the_table_says(results, path, value, expected):
    assert runs_again(Plan(edits.changed(DEFAULT, path, value)), results) == expected


def test_edit_of_the_config__is_named_with_both_values(results):
    plan = Plan(edits.changed(DEFAULT, "runs.augmented.train.learning_rate", 2.0e-3))
    why = stale(plan, "train", paths("train", results, run="augmented", seed="0")[1], results, "", "augmented", "0")
    assert why == "run.train.learning_rate: 0.003 -> 0.002"


def edit(monkeypatch, file, kind):
    """The code as it is after an edit of one file: a new statement, new words, or another file beside a module."""
    path = code_hash.ROOT / file
    read = type(path).read_bytes
    text = read(path).decode()
    text += {"code": "\n\nADDED = 1\n", "words": "\n# a comment\n", "text": " "}[kind]
    if kind == "words":
        text = text.replace('"""', '"""Reworded: ', 1).replace('split to measure"', 'the split that is measured"')
    monkeypatch.setattr(type(path), "read_bytes", lambda p: text.encode() if p == path else read(p))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "kind", "expected"), SOURCES, ids=lambda v: v if isinstance(v, str) else "")
def test_edit_of_the_code__runs_again_what_the_table_says(results, monkeypatch, file, kind, expected):
    edit(monkeypatch, file, kind)
    assert runs_again(Plan(copy.deepcopy(DEFAULT)), results) == expected


@pytest.mark.usefixtures("unedited")
@pytest.mark.parametrize("path", ["datasets.molecules.seed", "runs.augmented.train.steps", "twirl.rotations"])
def test_what_ran_again__is_current_afterwards(tmp_path, path):
    make(Plan(copy.deepcopy(DEFAULT)), tmp_path / "results")
    plan = Plan(edits.changed(DEFAULT, path, 3600))
    make(plan, tmp_path / "results", runs_again(plan, tmp_path / "results"))
    assert runs_again(plan, tmp_path / "results") == NOTHING


def test_data__that_are_made_again_with_the_same_content_leave_trainings_current(tmp_path, monkeypatch):
    """Their code has changed, their numbers have not: only Snakemake, within one command, repeats what follows."""
    results = tmp_path / "results"
    make(Plan(copy.deepcopy(DEFAULT)), results)
    edit(monkeypatch, "datasets/xtb_molecules.py", "code")
    plan = Plan(copy.deepcopy(DEFAULT))
    make(plan, results, {"prepare molecules"})
    assert runs_again(plan, results) == NOTHING


@pytest.mark.usefixtures("unedited")
def test_data__with_another_content_make_everything_on_them_stale(tmp_path):
    results, plan = tmp_path / "results", Plan(copy.deepcopy(DEFAULT))
    make(plan, results)
    path = paths("prepare", results, dataset="molecules")[1]
    store.save(xr.Dataset(attrs=made_from.attributes(path) | {"content": "other"}), path, {})
    assert runs_again(plan, results) == prepared("molecules") - {"prepare molecules"}


@pytest.mark.usefixtures("unedited")
def test_store__without_a_record_is_made_again(tmp_path):
    results, plan = tmp_path / "results", Plan(copy.deepcopy(DEFAULT))
    make(plan, results)
    path = paths("hessian", results, run="augmented", seed="0")[1]
    store.save(xr.Dataset(attrs={"labels": "none"}), path, {})
    assert runs_again(plan, results) == {"hessian augmented", "report"}


def test_reruns__force_the_stale_store_of_a_job_once_and_say_why_in_the_main_process_alone(results):
    said, plan = [], Plan(edits.changed(DEFAULT, "twirl.rotations", 6))
    workflow = types.SimpleNamespace(
        is_main_process=True,
        dag=types.SimpleNamespace(forcefiles=set()),
    )
    for stage in ("train", "twirl", "twirl"):
        assert Reruns(plan, workflow, results, said.append).of(stage)({"run": "augmented", "seed": "0"}) == []
    output = str(results / "runs" / "augmented" / "seed0" / "twirl.zarr.zip")
    assert workflow.dag.forcefiles == {output}
    assert said[0] == f"{output} is made again: settings.rotations: 4 -> 6"
    workflow.is_main_process, workflow.dag = False, None
    assert Reruns(plan, workflow, results, said.append).of("twirl")({"run": "augmented", "seed": "0"}) == []


@pytest.mark.slow
def test_comparison__of_two_hundred_stores_takes_no_time_to_speak_of(tmp_path, monkeypatch):
    """Counted in reads of files, as a clock on a busy machine says nothing: one short one per store."""
    config = edits.changed(DEFAULT, "runs.augmented.seeds", list(range(50)))
    plan, results, opened = Plan(config), tmp_path / "results", []
    make(plan, results)
    made_from._read.cache_clear()
    original = made_from.zipfile.ZipFile

    def counted(path):
        opened.append(path)
        return original(path)

    monkeypatch.setattr(made_from, "zipfile", types.SimpleNamespace(ZipFile=counted))
    assert runs_again(plan, results) == NOTHING
    stores = stores_of(plan.report(), results)
    assert len(stores) > 200
    assert len(opened) == len(stores) + 1  # and the report


@pytest.mark.usefixtures("unedited")
def test_partial_report__is_made_again_where_a_store_comes_changes_or_goes(tmp_path):
    results, plan = tmp_path / "results", Plan(copy.deepcopy(DEFAULT))
    make(plan, results)
    summary = paths("partial_report", results)[1]

    def fresh():
        now = record(plan, "partial_report", results)
        store.save(xr.Dataset(attrs=made_from.attribute(now)), summary, {})
        assert stale(plan, "partial_report", summary, results) == ""

    fresh()
    train = paths("train", results, run="voxels", seed="0")[1]
    store.save(xr.Dataset(attrs=made_from.attributes(train) | {"seconds": 3.0}), train, {})
    assert "content of runs/voxels/seed0/train.zarr.zip" in stale(plan, "partial_report", summary, results)
    fresh()
    train.unlink()
    assert "content of runs/voxels/seed0/train.zarr.zip" in stale(plan, "partial_report", summary, results)
    assert "config.twirl.rotations: 4 -> 6" in stale(
        Plan(edits.changed(DEFAULT, "twirl.rotations", 6)), "partial_report", summary, results
    )
