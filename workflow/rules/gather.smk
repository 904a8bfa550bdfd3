# a run whose checkpoints are measured in one job needs no gathering
ruleorder: twirl > twirl_external > gradient > hessian > layers > gather


rule gather:
    """The checkpoints of a run that several jobs have measured, as one job would have stored them."""
    input:
        lambda wildcards: collect(
            "<results>/runs/{run}/seed{seed}/{stage}.parts/{part}.zarr.zip",
            part=plan.jobs(wildcards.stage, wildcards.run),
            **wildcards,
        ),
        stale=reruns.of("gather"),
    output:
        "<results>/runs/{run}/seed{seed}/{stage}.zarr.zip",
    log:
        "<logs>/{stage}/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/{stage}/{run}.seed{seed}.tsv"
    wildcard_constraints:
        stage="twirl|gradient|hessian|layers",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        job=plan.gather(),
        sources=plan.sources("gather"),
    message:
        "gather: {wildcards.stage} of run {wildcards.run}, seed {wildcards.seed}"
    script:
        "../scripts/gather.py"
