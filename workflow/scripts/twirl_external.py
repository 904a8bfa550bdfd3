import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.stages.twirl_external import twirl_external
from twirlscope.runtime.job import job
from twirlscope.settings.external import ExternalSettings
from twirlscope.settings.twirl import TwirlSettings

with job(snakemake):
    given = snakemake.params.job
    twirl_external(
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        TwirlSettings(**given["settings"]),
        ExternalSettings(**given["external"]),
        given,
    )
