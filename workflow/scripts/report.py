from pathlib import Path

from twirlscope.provenance import job, versions
from twirlscope.report import RunFiles, report
from twirlscope.settings.report import ReportSettings

given, plan = snakemake.input, snakemake.params.job
stores = {stage: map(Path, given.get(stage, [])) for stage in ("hessian", "gradient")}  # of the runs that have one


def files(run: dict, train: str, twirl: str) -> RunFiles:
    found = {stage: next(paths) if run[stage] else None for stage, paths in stores.items()}
    return RunFiles(**run | found, train=Path(train), twirl=Path(twirl))


with job(snakemake):
    report(
        [files(*each) for each in zip(plan["runs"], given.train, given.twirl, strict=True)],
        dict(zip(plan["datasets"], map(Path, given.data), strict=True)),
        plan["config"],
        Path(snakemake.output[0]),
        ReportSettings(**plan["config"]["report"]),
        versions(),
    )
