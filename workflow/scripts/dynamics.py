import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.stages.dynamics import dynamics
from twirlscope.runtime.job import job
from twirlscope.settings.dynamics import DynamicsSettings
from twirlscope.settings.external import ExternalSettings

with job(snakemake):
    given = snakemake.params.job
    dynamics(
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        DynamicsSettings(**given["settings"]),
        ExternalSettings(**given["external"]),
        given,
    )
