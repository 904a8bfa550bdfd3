# twirlscope: how fast, how completely and why neural networks learn 3D rotational symmetry.
#
#   snakemake --cores 2                 everything that is missing, to results/report/index.html
#   snakemake --cores 2 all_twirl       one stage of every run (all_prepare, all_train, all_twirl, all_gradient,
#                                     all_hessian, all_layers, all_dynamics)
#   snakemake --cores 2 -R hessian      a stage again, and what follows from it (hessian_part where it has several jobs)
#   snakemake --cores 2 --keep-going    all that can be done where a training fails, and then
#   snakemake --cores 1 keep_trainings  after a change of the code that leaves the meaning of trainings alone: keeps them
#   snakemake --cores 1 partial_report  the report of what is there, which says what is missing
#   snakemake --cores 2 all_train --configfile my.yaml    targets go before --configfile, which takes all words after it
#
# The config holds the experiment (every key: config/REFERENCE.md), the profiles hold the machine.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.14")


report: "workflow/report/workflow.rst"


# a config of the working directory's own, else the default experiment
own = Path("config/config.yaml")
default = workflow.current_basedir.join("config/config.yaml")


configfile: str(own) if own.exists() else default.get_path_or_uri(secret_free=True)


wildcard_constraints:
    dataset=r"[A-Za-z0-9][A-Za-z0-9_]*",
    run=r"[A-Za-z0-9][A-Za-z0-9_]*",
    seed=r"\d+",
    part=r"\d+",


include: "workflow/plan.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/twirl.smk"
include: "workflow/rules/gradient.smk"
include: "workflow/rules/hessian.smk"
include: "workflow/rules/layers.smk"
include: "workflow/rules/dynamics.smk"
include: "workflow/rules/gather.smk"
include: "workflow/rules/keep_trainings.smk"


rule all_prepare:
    input:
        collect("<results>/data/{dataset}.zarr.zip", dataset=plan.datasets),


rule all_train:
    input:
        [
            f"<results>/runs/{run}/seed{seed}/train.zarr.zip"
            for run, seed in plan.trained
        ],


rule all_twirl:
    input:
        [f"<results>/runs/{run}/seed{seed}/twirl.zarr.zip" for run, seed in plan.runs],


rule all_gradient:
    input:
        [
            f"<results>/runs/{run}/seed{seed}/gradient.zarr.zip"
            for run, seed in plan.measured_by("gradient")
        ],


rule all_hessian:
    input:
        [
            f"<results>/runs/{run}/seed{seed}/hessian.zarr.zip"
            for run, seed in plan.measured_by("hessian")
        ],


rule all_layers:
    input:
        [
            f"<results>/runs/{run}/seed{seed}/layers.zarr.zip"
            for run, seed in plan.measured_by("layers")
        ],


rule all_dynamics:
    input:
        [
            f"<results>/runs/{run}/seed{seed}/dynamics.zarr.zip"
            for run, seed in plan.measured_by("dynamics")
        ],


rule all_stores:
    input:
        rules.all_prepare.input,
        rules.all_train.input,
        rules.all_twirl.input,
        rules.all_gradient.input,
        rules.all_hessian.input,
        rules.all_layers.input,
        rules.all_dynamics.input,


include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.all_stores.input,
        rules.report.output,
