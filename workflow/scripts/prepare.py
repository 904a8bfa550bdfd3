from pathlib import Path

from twirlscope.plugins import make_dataset
from twirlscope.stages.prepare import prepare
from twirlscope.runtime.job import job

with job(snakemake):
    prepare(
        make_dataset(snakemake.params.job["dataset"]),
        [Path(part) for part in snakemake.input],
        Path(snakemake.output[0]),
    )
