from pathlib import Path

from twirlscope.hessian import hessian
from twirlscope.provenance import job
from twirlscope.settings.hessian import HessianSettings
from twirlscope.shares import Share

with job(snakemake):
    hessian(
        Path(snakemake.input.train),
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        HessianSettings(**snakemake.params.job["settings"]),
        snakemake.params.job["code"],
        Share(**snakemake.params.job["share"]),
    )
