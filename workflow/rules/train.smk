rule train:
    """A run: its curve and the list of its checkpoints, which lie in a folder beside that is no output, so that a
    killed or failed job loses nothing and goes on where it was."""
    input:
        lambda wildcards: f"<results>/data/{plan.dataset_of(wildcards.run)}.zarr.zip",
        stale=reruns.of("train"),
    output:
        "<results>/runs/{run}/seed{seed}/train.zarr.zip",
    log:
        "<logs>/train/{run}.seed{seed}.log",
    benchmark:
        "<benchmarks>/train/{run}.seed{seed}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        job=lambda wildcards: plan.train(wildcards.run, wildcards.seed),
        block=lambda wildcards: plan.block(wildcards.run),
        sources=lambda wildcards: plan.sources("train", wildcards.run),
    message:
        "train: run {wildcards.run}, seed {wildcards.seed} (progress in {log})"
    script:
        "../scripts/train.py"
