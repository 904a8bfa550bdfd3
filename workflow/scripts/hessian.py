from pathlib import Path

from twirlscope.hessian import hessian
from twirlscope.provenance import job
from twirlscope.settings.hessian import HessianSettings

with job(snakemake):
    hessian(
        Path(snakemake.input.train),
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        HessianSettings(**snakemake.params.job["settings"]),
        snakemake.params.job["code"],
    )
