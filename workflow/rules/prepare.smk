rule prepare_part:
    """Samples of one part of a dataset; parts are independent and the result does not depend on their number."""
    input:
        lambda wildcards: plan.files(wildcards.dataset),
        stale=reruns.of("prepare"),
    output:
        temp("<results>/data/{dataset}.parts/{part}.zarr.zip"),
    log:
        "<logs>/prepare/{dataset}.{part}.log",
    benchmark:
        "<benchmarks>/prepare/{dataset}.{part}.tsv"
    conda:
        "../../envs/chemistry.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        job=lambda wildcards: plan.prepare(wildcards.dataset),
        sources=lambda wildcards: plan.sources_of_data(wildcards.dataset),
    message:
        "prepare: part {wildcards.part} of dataset {wildcards.dataset}"
    script:
        "../scripts/prepare_part.py"


rule prepare:
    """A whole dataset: all parts in order, the splits, what is computed on the training split, the rejects."""
    input:
        lambda wildcards: collect(
            "<results>/data/{dataset}.parts/{part}.zarr.zip",
            dataset=wildcards.dataset,
            part=plan.parts(wildcards.dataset),
        ),
        stale=reruns.of("prepare"),
    output:
        "<results>/data/{dataset}.zarr.zip",
    log:
        "<logs>/prepare/{dataset}.log",
    benchmark:
        "<benchmarks>/prepare/{dataset}.tsv"
    conda:
        "../../envs/chemistry.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        job=lambda wildcards: plan.prepare(wildcards.dataset),
        sources=lambda wildcards: plan.sources_of_data(wildcards.dataset),
    message:
        "prepare: dataset {wildcards.dataset}"
    script:
        "../scripts/prepare.py"
