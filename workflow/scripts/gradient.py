from pathlib import Path

from twirlscope.gradient import gradient
from twirlscope.provenance import job
from twirlscope.settings.gradient import GradientSettings
from twirlscope.shares import Share

with job(snakemake):
    gradient(
        Path(snakemake.input.train),
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        GradientSettings(**snakemake.params.job["settings"]),
        Share(**snakemake.params.job["share"]),
    )
