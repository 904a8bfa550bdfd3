from pathlib import Path

from twirlscope.provenance import job, versions
from twirlscope.report import RunFiles, report
from twirlscope.settings.report import ReportSettings

given, plan = snakemake.input, snakemake.params.job
hessian = list(given.get("hessian", [])) or [None] * len(plan["runs"])

with job(snakemake):
    report(
        [
            RunFiles(**run, train=Path(train), twirl=Path(twirl), hessian=curvature and Path(curvature))
            for run, train, twirl, curvature in zip(plan["runs"], given.train, given.twirl, hessian, strict=True)
        ],
        dict(zip(plan["datasets"], map(Path, given.data), strict=True)),
        plan["config"],
        Path(snakemake.output[0]),
        ReportSettings(**plan["config"]["report"]),
        versions(),
    )
