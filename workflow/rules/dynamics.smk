rule dynamics:
    """Short molecular dynamics with the last checkpoint of an external run: drift of energy and momenta."""
    input:
        data=lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("dynamics"),
    output:
        "<results>/runs/{run}/seed{seed}/dynamics.zarr.zip",
    log:
        "<logs>/dynamics/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/dynamics/{run}.seed{seed}.tsv"
    wildcard_constraints:
        run=plan.external,
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        job=lambda wildcards: plan.external_job("dynamics", wildcards.run),
        sources=lambda wildcards: plan.sources("dynamics", wildcards.run),
    message:
        "dynamics: run {wildcards.run} (progress in {log})"
    script:
        "../scripts/dynamics.py"
