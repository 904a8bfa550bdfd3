from pathlib import Path

from twirlscope.provenance import job
from twirlscope.train import train

with job(snakemake):
    processes = max(snakemake.resources.get("gpu", 1), 1)
    train(Path(snakemake.input[0]), Path(snakemake.output[0]), **snakemake.params.job, processes=processes)
