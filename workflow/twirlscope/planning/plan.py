"""The checked config, and the parameters of every job. Only the Snakefile and its rules ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import plugins
from ..contracts import Model, Task
from ..errors import UserError, UserErrors
from ..report.inventory import modification_hash
from ..runtime.code_hash import code_hash, source_name
from ..runtime.identity import fingerprint, short_hash
from ..settings.base import Settings, parse
from ..settings.experiment import MEASURES, Config, RunSettings
from ..settings.hessian import chosen_steps
from ..settings.train import checkpoint_steps
from ..sources import Dataset
from ..training import size_matching
from . import external_runs, sweeps
from .sections import name_errors, named_sections, pattern, without_nulls


class Plan:
    """A checked config.

    Args:
        config: the config as YAML gives it. A dataset, run or sweep that is null is left out, so that an overlay
            can drop what the default config has.

    Raises:
        UserErrors: every mistake in it, each with its key path.
    """

    def __init__(self, config: dict[str, Any]):
        config, members, mistakes = sweeps.expand(without_nulls(config))
        self.config, errors = parse(Config, config, "")
        self._datasets: dict[str, Dataset] = {}
        self._hashes: dict[tuple[str, ...], str] = {}  # of many runs of a sweep, which share their code
        self._known_datasets = [name for name, _ in named_sections(config, "datasets")]
        for name, section in named_sections(config, "datasets"):
            errors += name_errors(f"datasets.{name}", name) + self._check_dataset(name, section)
        for name, run in named_sections(config, "runs"):
            errors += name_errors(f"runs.{name}", name) + self._check_run(name, run)
        if not errors:
            for name in self.config.runs:
                errors += [e for stage in MEASURES for e in self.config.measure(stage, name)[1]]
        if not errors:
            for name, run in self.config.runs.items():
                errors += self._contradictions(f"runs.{name}", run)
                errors += self._steps(name, run)
        if mistakes or errors:
            raise UserErrors(mistakes + sweeps.placed(errors, members))
        self.sweeps: dict[str, dict[str, dict[str, str]]] = {}
        self._swept = {m.run for m in members}
        self._merge(members)

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Every (run, seed)."""
        return [(name, seed) for name, run in self.config.runs.items() for seed in run.seeds]

    @property
    def trained(self) -> list[tuple[str, int]]:
        """Every (run, seed) that is trained here."""
        return [(name, seed) for name, seed in self.runs if not self._is_external(name)]

    @property
    def external(self) -> str:
        """Regular expression for the runs that are not trained here."""
        return pattern(name for name in self.config.runs if self._is_external(name))

    def _is_external(self, run: str) -> bool:
        return external_runs.is_external(self.config.runs[run])

    def external_job(self, stage: str, run: str) -> dict[str, Any]:
        """Parameters of the job of a stage that measures an external run."""
        spec = self.config.runs[run]
        job = self.measure(stage, run) | {"external": external_runs.settings_of(spec).model_dump(), "run": run}
        identity = short_hash(self._training_of(run) | {"seed": int(spec.seeds[0])})
        return job | {"files": external_runs.files(spec, f"runs.{run}.external"), "identity": identity}

    def processes(self, run: str) -> int:
        """Threads of the job that measures an external run: of all its workers."""
        settings = external_runs.settings_of(self.config.runs[run])
        return settings.workers * settings.threads

    def measured_by(self, stage: str) -> list[tuple[str, int]]:
        """Every (run, seed) that an optional stage (`gradient`, `hessian`, `dynamics`) measures."""
        able = set(self.runs) - set(self.trained) if stage == "dynamics" else self.trained
        return [(run, seed) for run, seed in self.runs if (run, seed) in able and self._measured(stage, run).enabled]

    @property
    def datasets(self) -> list[str]:
        """Datasets that some run uses."""
        return sorted({run.dataset for run in self.config.runs.values()})

    def dataset_of(self, run: str) -> str:
        """Name of the dataset of a run."""
        return self.config.runs[run].dataset

    def parts(self, dataset: str) -> range:
        """Parts that a dataset is prepared in."""
        return range(self._datasets[dataset].settings.parts)

    def files(self, dataset: str) -> list[str]:
        """The user's files that a dataset reads."""
        return [str(f) for f in self._datasets[dataset].files()]

    def sources(self, stage: str, run: str = "") -> list[str]:
        """Files whose code a job of a stage runs, as `code_hash` takes them; all that they import counts too."""
        if run and self._is_external(run):
            return [f"scripts/{stage}_external.py" if stage == "twirl" else f"scripts/{stage}.py"]
        files = [f"scripts/{stage}.py"]
        if run:
            spec = self.config.runs[run]
            named = [("task", spec.task["name"]), *(("model", n) for n in size_matching.plugin_names(spec.model))]
            files += [source_name(file) for kind, name in named for file in plugins.files_of(kind, name)]
        return list(dict.fromkeys(files))

    def sources_of_data(self, dataset: str) -> list[str]:
        """Files whose code the jobs that prepare a dataset run."""
        files = plugins.files_of("dataset", self.config.datasets[dataset]["name"])
        return ["scripts/prepare.py", "scripts/prepare_part.py", *map(source_name, files)]

    def prepare(self, dataset: str) -> dict[str, Any]:
        """Parameters of the jobs that prepare a dataset."""
        section = self.config.datasets[dataset]
        settings = self._datasets[dataset].settings.model_dump()
        files = {str(f): fingerprint(f) for f in self._datasets[dataset].files()}
        return {
            "dataset": {"name": section["name"], **settings},
            "files": files,
            "code": code_hash(self.sources_of_data(dataset)),
        }

    def train(self, run: str, seed: int) -> dict[str, Any]:
        """Parameters of a training, defaults filled in."""
        return {"run": self._training_of(run) | {"seed": int(seed)}, "code": self._code("train", run)}

    def _training_of(self, run: str) -> dict[str, Any]:
        """The training of a run as the config says it, defaults filled in."""
        spec = self.config.runs[run]
        if self._is_external(run):
            return {"dataset": spec.dataset, "external": external_runs.settings_of(spec).model_dump()}
        task = plugins.settings_of("task", spec.task, "task")[0].model_dump()
        return {
            "dataset": spec.dataset,
            "task": {"name": spec.task["name"], **task},
            "model": size_matching.settings_of(spec.model, "model")[0],
            "train": spec.train.model_dump(),
        }

    def measure(self, stage: str, run: str, part: int | str = 0) -> dict[str, Any]:
        """Parameters of a job of a stage that measures checkpoints (`twirl`, `gradient`, `hessian`)."""
        share = {"number": int(part), "jobs": len(self.jobs(stage, run))}
        return {"settings": self._measured(stage, run).model_dump(), "code": self._code(stage, run), "share": share}

    def jobs(self, stage: str, run: str) -> range:
        """Numbers of the jobs that share the checkpoints of a run: as many as wanted, but none without a checkpoint."""
        if self._is_external(run):
            return range(1)
        settings, kept = self._measured(stage, run), checkpoint_steps(self.config.runs[run].train)
        measured = chosen_steps(kept, settings) if stage == "hessian" else kept
        return range(min(settings.jobs, len(measured)))

    def in_one_job(self, stage: str) -> str:
        """Regular expression for the runs whose checkpoints are measured by one job."""
        return pattern(run for run, _ in self.trained if len(self.jobs(stage, run)) == 1)

    def in_several_jobs(self, stage: str) -> str:
        """Regular expression for the runs whose checkpoints are shared by several jobs."""
        return pattern(run for run, _ in self.trained if len(self.jobs(stage, run)) > 1)

    def gather(self) -> dict[str, Any]:
        """Parameters of the jobs that merge the stores of several jobs."""
        return {"code": code_hash(self.sources("gather"))}

    def report(self, partial: bool = False) -> dict[str, Any]:
        """Parameters of the report, or of the partial one."""
        trained, optional = set(self.trained), ("hessian", "gradient", "dynamics")
        measured = {stage: set(self.measured_by(stage)) for stage in optional}
        runs = [
            {
                "run": run,
                "seed": seed,
                "dataset": self.dataset_of(run),
                "swept": run in self._swept,
                "train": (run, seed) in trained,
                **{stage: (run, seed) in chosen for stage, chosen in measured.items()},
                "settings": short_hash(self._training_of(run) | {"seed": int(seed)}),
            }
            for run, seed in self.runs
        ]
        return {
            "runs": runs,
            "datasets": self.datasets,
            "sweeps": self.sweeps,
            "partial": partial,
            "config": self.config.model_dump(),
            "code": code_hash(self.sources("report")),
        }

    def _merge(self, members: list[sweeps.Member]) -> None:
        """Note the runs of every sweep. A run that is trained like another is merged with it and pools its seeds.

        Measurement settings count only where the sweep varies them.
        """
        runs, kept = dict(self.config.runs), {}  # by its settings as text, the first run that has them
        for name in [n for n in reversed(runs) if n not in self._swept]:
            kept |= {self._settings_text(name, measured): name for measured in (False, True)}
        for member in members:
            name = kept.setdefault(self._settings_text(member.run, member.measured), member.run)
            if name != member.run:
                seeds = dict.fromkeys(runs[name].seeds + runs.pop(member.run).seeds)
                runs[name] = runs[name].model_copy(update={"seeds": list(seeds)})
            self.sweeps.setdefault(member.sweep, {})[name] = member.values
        self.config = self.config.model_copy(update={"runs": runs})

    def _settings_text(self, run: str, measured: bool) -> str:
        """Settings of the training of a run, and of its measurement where asked for, as text; defaults filled in."""
        measures = [self._measured(stage, run).model_dump() for stage in MEASURES] if measured else []
        return json.dumps([self._training_of(run), measures], sort_keys=True)

    def times(self, results: Path) -> str:
        """Hash of the modification times of all stores; triggers the partial report."""
        return modification_hash(self.report(), results)

    def _measured(self, stage: str, run: str) -> Settings:
        """Settings of a stage for a run; they have been checked."""
        return self.config.measure(stage, run)[0]

    def _code(self, stage: str, run: str) -> str:
        """Hash of the code that a stage of a run reaches, its plug-ins included."""
        sources = tuple(self.sources(stage, run))
        if sources not in self._hashes:
            self._hashes[sources] = code_hash(sources)
        return self._hashes[sources]

    def _check_dataset(self, name: str, section: dict[str, Any]) -> list[UserError]:
        where = f"datasets.{name}"
        settings, errors = plugins.settings_of("dataset", section, where)
        if settings is None:
            return errors
        dataset = plugins.find("dataset", section["name"])(settings)
        self._datasets[name] = dataset
        return [UserError(where, "a file that exists", repr(str(f))) for f in dataset.files() if not Path(f).is_file()]

    def _check_run(self, name: str, run: dict[str, Any]) -> list[UserError]:
        """Errors in the names of plug-ins and of the dataset of a run, and in settings of plug-ins."""
        where, errors = f"runs.{name}", []
        if external_runs.is_external(run):
            errors += external_runs.errors(where, run)
        else:
            errors += [UserError(f"{where}.{k}", "a value", "nothing") for k in ("task", "model") if k not in run]
            errors += external_runs.only_external(where, run)
        if "task" in run:
            errors += plugins.settings_of("task", run["task"], f"{where}.task")[1]
        if "model" in run:
            errors += size_matching.settings_of(run["model"], f"{where}.model")[1]
        known = self._known_datasets
        if isinstance(run.get("dataset"), str) and run["dataset"] not in known:
            errors.append(UserError(f"{where}.dataset", "one of the datasets", repr(run["dataset"]), known))
        return errors

    def _contradictions(self, where: str, run: RunSettings) -> list[UserError]:
        """Errors of sections that are right alone and wrong together."""
        if external_runs.is_external(run):
            kind = self._datasets[run.dataset].kind
            return [UserError(f"{where}.dataset", "a dataset of frames", f"one of {kind}")] if kind != "frames" else []
        task: type[Task] = plugins.find("task", run.task["name"])
        model: type[Model] = plugins.find("model", run.model["name"])
        errors, dataset = [], self._datasets[run.dataset]
        if len(set(run.seeds)) < len(run.seeds) or min(run.seeds) < 0:
            errors.append(UserError(f"{where}.seeds", "different numbers from 0", run.seeds))
        if model.task != task.name:
            errors.append(
                UserError(f"{where}.model.name", f"a model for the task {task.name}", f"one for {model.task}")
            )
        if dataset.kind != task.dataset_kind:
            errors.append(UserError(f"{where}.dataset", f"a dataset of {task.dataset_kind}", f"one of {dataset.kind}"))
        return errors

    def _steps(self, name: str, run: RunSettings) -> list[UserError]:
        """Errors of steps that are asked for and have no checkpoint."""
        if external_runs.is_external(run):
            return []
        kept, own = checkpoint_steps(run.train), "steps" in run.hessian
        wrong = [s for s in self._measured("hessian", name).steps if s not in kept]
        where = f"runs.{name}.hessian.steps" if own else "hessian.steps"
        return [UserError(where, f"steps of checkpoints of runs.{name}: {kept}", wrong)] if wrong else []
