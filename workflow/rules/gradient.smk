rule gradient:
    """Gradients of the two parts of the loss at every checkpoint of a run."""
    input:
        train="<results>/runs/{run}/seed{seed}/train.zarr.zip",
        data=lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("gradient"),
    output:
        "<results>/runs/{run}/seed{seed}/gradient.zarr.zip",
    log:
        "<logs>/gradient/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/gradient/{run}.seed{seed}.tsv"
    wildcard_constraints:
        run=plan.in_one_job("gradient"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=lambda wildcards: plan.measure("gradient", wildcards.run),
        sources=lambda wildcards: plan.sources("gradient", wildcards.run),
    message:
        "gradient: run {wildcards.run}, seed {wildcards.seed}"
    script:
        "../scripts/gradient.py"


use rule gradient as gradient_part with:
    output:
        temp("<results>/runs/{run}/seed{seed}/gradient.parts/{part}.zarr.zip"),
    log:
        "<logs>/gradient/{run}.seed{seed}.{part}.log",
    benchmark:
        "<benchmarks>/gradient/{run}.seed{seed}.{part}.tsv"
    wildcard_constraints:
        run=plan.in_several_jobs("gradient"),
    params:
        job=lambda wildcards: plan.measure("gradient", wildcards.run, wildcards.part),
        sources=lambda wildcards: plan.sources("gradient", wildcards.run),
    message:
        "gradient: part {wildcards.part} of run {wildcards.run}, seed {wildcards.seed}"
