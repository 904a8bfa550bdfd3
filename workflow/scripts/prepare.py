from pathlib import Path

from twirlscope.plugins import make_dataset
from twirlscope.prepare import prepare
from twirlscope.provenance import job

with job(snakemake):
    prepare(
        make_dataset(snakemake.params.job["dataset"]),
        [Path(part) for part in snakemake.input],
        Path(snakemake.output[0]),
    )
