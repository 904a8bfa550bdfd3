import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.stages.hessian import hessian
from twirlscope.runtime.job import job
from twirlscope.settings.hessian import HessianSettings
from twirlscope.stages.gather import Share

with job(snakemake):
    hessian(
        Path(snakemake.input.train),
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        HessianSettings(**snakemake.params.job["settings"]),
        Share(**snakemake.params.job["share"]),
        snakemake.params.job,
    )
