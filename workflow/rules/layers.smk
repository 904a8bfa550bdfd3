rule layers:
    """Symmetry inside a network at some checkpoints of a run: how features rotate, where the error is made."""
    input:
        train="<results>/runs/{run}/seed{seed}/train.zarr.zip",
        data=lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("layers"),
    output:
        "<results>/runs/{run}/seed{seed}/layers.zarr.zip",
    log:
        "<logs>/layers/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/layers/{run}.seed{seed}.tsv"
    wildcard_constraints:
        run=plan.in_one_job("layers"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=lambda wildcards: plan.measure("layers", wildcards.run),
        sources=lambda wildcards: plan.sources("layers", wildcards.run),
    message:
        "layers: run {wildcards.run}, seed {wildcards.seed}"
    script:
        "../scripts/layers.py"


use rule layers as layers_part with:
    output:
        temp("<results>/runs/{run}/seed{seed}/layers.parts/{part}.zarr.zip"),
    log:
        "<logs>/layers/{run}.seed{seed}.{part}.log",
    benchmark:
        "<benchmarks>/layers/{run}.seed{seed}.{part}.tsv"
    wildcard_constraints:
        run=plan.in_several_jobs("layers"),
    params:
        job=lambda wildcards: plan.measure("layers", wildcards.run, wildcards.part),
        sources=lambda wildcards: plan.sources("layers", wildcards.run),
    message:
        "layers: part {wildcards.part} of run {wildcards.run}, seed {wildcards.seed}"
