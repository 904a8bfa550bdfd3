"""The checked config, and the parameters of every job. Only the Snakefile and its rules ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import plugins
from ..errors import UserError, UserErrors
from ..runtime.code_hash import code_hash, source_name
from ..runtime.identity import fingerprint
from ..settings.base import MEASUREMENTS, Settings, keys_for, parse
from ..settings.experiment import MEASURES, Config
from ..settings.steps import chosen_steps
from ..settings.train import checkpoint_steps
from ..sources import Dataset
from ..storage import made_from
from ..training import size_matching
from . import external_runs, sweeps
from .contradictions import contradictions
from .sections import name_errors, named_sections, objective_errors, pattern, without_nulls


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
                errors += contradictions(self.config, name, self._datasets[run.dataset])
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
        return [(name, seed) for name, seed in self.runs if not self.is_external(name)]

    @property
    def external(self) -> str:
        """Regular expression for the runs that are not trained here."""
        return pattern(name for name in self.config.runs if self.is_external(name))

    def is_external(self, run: str) -> bool:
        """True for a run that is not trained here."""
        return external_runs.is_external(self.config.runs[run])

    def external_job(self, stage: str, run: str) -> dict[str, Any]:
        """Parameters of the job of a stage that measures an external run."""
        spec = self.config.runs[run]
        files = external_runs.files(spec, f"runs.{run}.external")
        job = {"run": run, "external": external_runs.settings_of(spec).model_dump(), "files": files}
        return job | self._measurement(stage, run) | {"code": self._code(stage, run)}

    def processes(self, run: str) -> int:
        """Threads of the job that measures an external run: of all its workers."""
        return external_runs.processes(self.config.runs[run])

    def measured_by(self, stage: str) -> list[tuple[str, int]]:
        """Every (run, seed) that an optional stage (`gradient`, `hessian`, `layers`, `dynamics`) measures."""
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
        if run and self.is_external(run):
            return [f"scripts/{stage}_external.py" if stage == "twirl" else f"scripts/{stage}.py"]
        files = [f"scripts/{stage}.py"]
        if run:
            spec = self.config.runs[run]
            named = [("task", spec.task["name"]), *(("model", n) for n in size_matching.plugin_names(spec.model))]
            named += [("objective", name) for name in plugins.names(spec.train.objective)]
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
        return {
            "dataset": {"name": section["name"], **settings},
            "files": {str(f): fingerprint(f) for f in self._datasets[dataset].files()},
            "code": self._hash(self.sources_of_data(dataset)),
        }

    def train(self, run: str, seed: int) -> dict[str, Any]:
        """Parameters of a training, defaults filled in."""
        return {"run": self._training_of(run) | {"seed": int(seed)}, "code": self._code("train", run)}

    def block(self, run: str) -> str:
        """The module whose Hessian is measured, which a training checks first; empty for none."""
        settings = self._measured("hessian", run)
        return settings.block if settings.enabled else ""

    def _training_of(self, run: str) -> dict[str, Any]:
        """The training of a run as the config says it, defaults filled in, without what only shapes measurements."""
        spec = self.config.runs[run]
        if self.is_external(run):
            return {"dataset": spec.dataset, "external": external_runs.settings_of(spec).model_dump()}
        task = plugins.settings_of("task", spec.task, "task")[0]
        measured = {key for stage in MEASUREMENTS for key in keys_for(type(task), stage)}
        return {
            "dataset": spec.dataset,
            "task": {"name": spec.task["name"], **task.model_dump(exclude=measured)},
            "model": size_matching.settings_of(spec.model, "model")[0],
            "train": spec.train.model_dump() | {"objective": plugins.filled("objective", spec.train.objective)},
        }

    def measure(self, stage: str, run: str, part: int | str = 0) -> dict[str, Any]:
        """Parameters of a job of a stage that measures checkpoints (`twirl`, `gradient`, `hessian`, `layers`)."""
        share = {"number": int(part), "jobs": len(self.jobs(stage, run))}
        return self._measurement(stage, run) | {"code": self._code(stage, run), "share": share}

    def _measurement(self, stage: str, run: str) -> dict[str, Any]:
        """Settings of a stage for a run, and the keys of its task that shape the measurement and not the training."""
        settings = self._measured(stage, run).model_dump()
        if self.is_external(run):
            return {"settings": settings}
        task = plugins.settings_of("task", self.config.runs[run].task, "task")[0]
        return {"settings": settings, "task": task.model_dump(include=set(keys_for(type(task), stage)))}

    def jobs(self, stage: str, run: str) -> range:
        """Numbers of the jobs that share the checkpoints of a run: as many as wanted, but none without a checkpoint."""
        if self.is_external(run):
            return range(1)
        settings, measured = self._measured(stage, run), checkpoint_steps(self.config.runs[run].train)
        if hasattr(settings, "checkpoints"):
            measured = chosen_steps(measured, getattr(settings, "steps", []), settings.checkpoints, stage)
        return range(min(settings.jobs, len(measured)))

    def in_one_job(self, stage: str) -> str:
        """Regular expression for the runs whose checkpoints are measured by one job."""
        return pattern(run for run, _ in self.trained if len(self.jobs(stage, run)) == 1)

    def in_several_jobs(self, stage: str) -> str:
        """Regular expression for the runs whose checkpoints are shared by several jobs."""
        return pattern(run for run, _ in self.trained if len(self.jobs(stage, run)) > 1)

    def gather(self) -> dict[str, Any]:
        """Parameters of the jobs that merge the stores of several jobs."""
        return {"code": self._code("gather")}

    def report(self, partial: bool = False) -> dict[str, Any]:
        """Parameters of the report, or of the partial one."""
        optional = ("hessian", "gradient", "layers", "dynamics")
        trained, measured = set(self.trained), {stage: set(self.measured_by(stage)) for stage in optional}
        runs = [
            {
                "run": run,
                "seed": seed,
                "dataset": self.dataset_of(run),
                "swept": run in self._swept,
                "train": (run, seed) in trained,
                **{stage: (run, seed) in chosen for stage, chosen in measured.items()},
                "settings": self._settings_hashes(run, int(seed)),
            }
            for run, seed in self.runs
        ]
        return {
            "runs": runs,
            "datasets": self.datasets,
            "sweeps": self.sweeps,
            "partial": partial,
            "config": self.config.model_dump(),
            "code": self._code("report"),
        }

    def _settings_hashes(self, run: str, seed: int) -> dict[str, str]:
        """Hashes of the settings of a training and of its measurements, by stage, as in the records of stores."""
        if self.is_external(run):
            external = external_runs.settings_of(self.config.runs[run])
            chosen = {stage: self._measured(stage, run) for stage in ("twirl", "dynamics")}
            found = {stage: made_from.of_external_settings(stage, s, external) for stage, s in chosen.items()}
        else:
            found = {"train": made_from.of_run(self._training_of(run) | {"seed": seed})}
            for stage in MEASUREMENTS:
                own = self._measurement(stage, run)["task"]
                found[stage] = made_from.of_settings(stage, self._measured(stage, run), own)
        return {stage: made_from.settings_hash(record) for stage, record in found.items()}

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
        stages = ("twirl", "dynamics") if self.is_external(run) else MEASUREMENTS
        measures = [self._measurement(stage, run) for stage in stages] if measured else []
        own = [self._measurement(stage, run).get("task") for stage in stages]  # trainings are merged by a task
        return json.dumps([self._training_of(run), own, measures], sort_keys=True)

    def _measured(self, stage: str, run: str) -> Settings:
        """Settings of a stage for a run; they have been checked."""
        return self.config.measure(stage, run)[0]

    def _code(self, stage: str, run: str = "") -> str:
        """Hash of the code that a stage of a run reaches, its plug-ins included."""
        return self._hash(self.sources(stage, run))

    def _hash(self, files: list[str]) -> str:
        """Hash of the code that these files reach."""
        sources = tuple(files)
        if sources not in self._hashes:
            self._hashes[sources] = code_hash(sources)
        return self._hashes[sources]

    def _check_dataset(self, name: str, section: dict[str, Any]) -> list[UserError]:
        where = f"datasets.{name}"
        settings, errors = plugins.settings_of("dataset", section, where)
        if settings is None:
            return errors
        try:
            dataset = plugins.find("dataset", section["name"])(settings)
        except UserError as error:
            return [error.at(f"{where}.{error.where}")]
        self._datasets[name] = dataset
        files = [str(f) for f in dataset.files()]
        odd = [UserError(where, "a path without braces, which Snakemake fills in", repr(f)) for f in files if "{" in f]
        return odd or [UserError(where, "a file that exists", repr(f)) for f in files if not Path(f).is_file()]

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
        errors += objective_errors(where, run)
        known = self._known_datasets
        if isinstance(run.get("dataset"), str) and run["dataset"] not in known:
            errors.append(UserError(f"{where}.dataset", "one of the datasets", repr(run["dataset"]), known))
        return errors
