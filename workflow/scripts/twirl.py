import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.stages.twirl import twirl
from twirlscope.runtime.job import job
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages.gather import Share

with job(snakemake):
    twirl(
        Path(snakemake.input.train),
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        TwirlSettings(**snakemake.params.job["settings"]),
        Share(**snakemake.params.job["share"]),
        snakemake.params.job,
    )
