import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.runtime.job import job
from twirlscope.training.keep import keep_all

with job(snakemake):
    keep_all(snakemake.params.job["trainings"], date.today().isoformat())
