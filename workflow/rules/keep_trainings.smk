rule keep_trainings:
    """Trainings whose code alone has changed, in a way that leaves their meaning alone, as if the new code had made
    them. What was changed and when is recorded in their stores, and the report says it.
    """
    log:
        "<logs>/keep_trainings.log",
    benchmark:
        "<benchmarks>/keep_trainings.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        job=lambda wildcards: reruns.trainings(),
        sources=plan.sources("keep_trainings"),
    message:
        "keep_trainings: {log} says which"
    script:
        "../scripts/keep_trainings.py"
