import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.stages.layers import layers
from twirlscope.runtime.job import job
from twirlscope.settings.layers import LayersSettings
from twirlscope.stages.gather import Share

with job(snakemake):
    layers(
        Path(snakemake.input.train),
        Path(snakemake.input.data),
        Path(snakemake.output[0]),
        LayersSettings(**snakemake.params.job["settings"]),
        Share(**snakemake.params.job["share"]),
        snakemake.params.job,
    )
