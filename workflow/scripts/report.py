from pathlib import Path

from twirlscope.provenance import job, versions
from twirlscope.report import RunFiles, report
from twirlscope.settings.report import ReportSettings

given, plan = snakemake.input, snakemake.params.job
stores = [list(given.get(stage, [])) or [None] * len(plan["runs"]) for stage in ("hessian", "gradient")]

with job(snakemake):
    report(
        [
            RunFiles(**run, train=Path(t), twirl=Path(w), hessian=h and Path(h), gradient=g and Path(g))
            for run, t, w, h, g in zip(plan["runs"], given.train, given.twirl, *stores, strict=True)
        ],
        dict(zip(plan["datasets"], map(Path, given.data), strict=True)),
        plan["config"],
        Path(snakemake.output[0]),
        ReportSettings(**plan["config"]["report"]),
        versions(),
    )
