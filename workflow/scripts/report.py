import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.report.inventory import available
from twirlscope.runtime.job import job
from twirlscope.runtime.devices import versions
from twirlscope.stages.report import report
from twirlscope.settings.report import ReportSettings

out, plan = Path(snakemake.output[0]), snakemake.params.job
with job(snakemake):
    found = available(plan, out.parent, Path(snakemake.log[0]).parent)
    report(
        found.runs,
        found.datasets,
        plan["config"],
        out,
        ReportSettings(**plan["config"]["report"]),
        versions(),
        plan["sweeps"],
        found.missing,
        found.record,
    )
