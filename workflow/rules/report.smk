rule report:
    """One page that tells the story; every figure as SVG and PDF, every number as CSV, and `summary.zarr.zip`."""
    input:
        data=collect("<results>/data/{dataset}.zarr.zip", dataset=plan.datasets),
        train=rules.all_train.input,
        twirl=rules.all_twirl.input,
        measured=[*rules.all_gradient.input, *rules.all_hessian.input],
        dynamics=rules.all_dynamics.input,
    output:
        report(
            directory("<results>/report"),
            htmlindex="index.html",
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        job=lambda wildcards: plan.report(),
        sources=plan.sources("report"),
    message:
        "report: {output}/index.html"
    script:
        "../scripts/report.py"


rule partial_report:
    """The same page from what is there, where runs failed or are not done: it runs nothing, and names what is missing."""
    output:
        directory("<results>/partial_report"),
    log:
        "<logs>/partial_report.log",
    benchmark:
        "<benchmarks>/partial_report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        job=plan.report(partial=True),
        sources=plan.sources("report"),
        there=lambda wildcards: plan.times(Path(workflow.pathvars.apply("<results>"))),
    message:
        "report of what is there: {output}/index.html"
    script:
        "../scripts/report.py"
