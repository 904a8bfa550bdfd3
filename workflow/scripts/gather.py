from pathlib import Path

from twirlscope.runtime.job import job
from twirlscope.stages.gather import gather

with job(snakemake):
    gather([Path(part) for part in snakemake.input], Path(snakemake.output[0]))
