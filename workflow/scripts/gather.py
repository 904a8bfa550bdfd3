import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.runtime.job import job
from twirlscope.stages.gather import gather

with job(snakemake):
    gather([Path(part) for part in snakemake.input], Path(snakemake.output[0]))
