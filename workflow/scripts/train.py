from pathlib import Path

from twirlscope.provenance import job
from twirlscope.train import train

with job(snakemake):
    train(Path(snakemake.input[0]), Path(snakemake.output[0]), **snakemake.params.job)
