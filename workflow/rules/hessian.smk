rule hessian:
    """Curvature of the two parts of the loss at selected checkpoints of a run."""
    input:
        train="<results>/runs/{run}/seed{seed}/train.zarr.zip",
        data=lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("hessian"),
    output:
        "<results>/runs/{run}/seed{seed}/hessian.zarr.zip",
    log:
        "<logs>/hessian/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/hessian/{run}.seed{seed}.tsv"
    wildcard_constraints:
        run=plan.in_one_job("hessian"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=lambda wildcards: plan.measure("hessian", wildcards.run),
        sources=lambda wildcards: plan.sources("hessian", wildcards.run),
    message:
        "hessian: run {wildcards.run}, seed {wildcards.seed}"
    script:
        "../scripts/hessian.py"


use rule hessian as hessian_part with:
    output:
        temp("<results>/runs/{run}/seed{seed}/hessian.parts/{part}.zarr.zip"),
    log:
        "<logs>/hessian/{run}.seed{seed}.{part}.log",
    benchmark:
        "<benchmarks>/hessian/{run}.seed{seed}.{part}.tsv"
    wildcard_constraints:
        run=plan.in_several_jobs("hessian"),
    params:
        job=lambda wildcards: plan.measure("hessian", wildcards.run, wildcards.part),
        sources=lambda wildcards: plan.sources("hessian", wildcards.run),
    message:
        "hessian: part {wildcards.part} of run {wildcards.run}, seed {wildcards.seed}"
