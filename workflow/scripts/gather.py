from pathlib import Path

from twirlscope.provenance import job
from twirlscope.shares import gather

with job(snakemake):
    gather([Path(part) for part in snakemake.input], Path(snakemake.output[0]))
