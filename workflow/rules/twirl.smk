rule twirl:
    """Every checkpoint of a run, split into twirled prediction error and equivariance error."""
    input:
        train="<results>/runs/{run}/seed{seed}/train.zarr.zip",
        data=lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("twirl"),
    output:
        "<results>/runs/{run}/seed{seed}/twirl.zarr.zip",
    log:
        "<logs>/twirl/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/twirl/{run}.seed{seed}.tsv"
    wildcard_constraints:
        run=plan.in_one_job("twirl"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=lambda wildcards: plan.measure("twirl", wildcards.run),
        sources=lambda wildcards: plan.sources("twirl", wildcards.run),
    message:
        "twirl: run {wildcards.run}, seed {wildcards.seed}"
    script:
        "../scripts/twirl.py"


use rule twirl as twirl_part with:
    output:
        temp("<results>/runs/{run}/seed{seed}/twirl.parts/{part}.zarr.zip"),
    log:
        "<logs>/twirl/{run}.seed{seed}.{part}.log",
    benchmark:
        "<benchmarks>/twirl/{run}.seed{seed}.{part}.tsv"
    wildcard_constraints:
        run=plan.in_several_jobs("twirl"),
    params:
        job=lambda wildcards: plan.measure("twirl", wildcards.run, wildcards.part),
        sources=lambda wildcards: plan.sources("twirl", wildcards.run),
    message:
        "twirl: part {wildcards.part} of run {wildcards.run}, seed {wildcards.seed}"


rule twirl_external:
    """A calculator of another package at every checkpoint that the run names, in a worker with its own Python."""
    input:
        data=lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("twirl"),
    output:
        "<results>/runs/{run}/seed{seed}/twirl.zarr.zip",
    log:
        "<logs>/twirl/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/twirl/{run}.seed{seed}.tsv"
    wildcard_constraints:
        run=plan.external,
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: plan.processes(wildcards.run)
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        job=lambda wildcards: plan.external_job("twirl", wildcards.run),
        sources=lambda wildcards: plan.sources("twirl", wildcards.run),
    message:
        "twirl: external run {wildcards.run} (progress in {log})"
    script:
        "../scripts/twirl_external.py"
