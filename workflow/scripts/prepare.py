import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.plugins import make_dataset
from twirlscope.stages.prepare import prepare
from twirlscope.runtime.job import job

with job(snakemake):
    prepare(
        make_dataset(snakemake.params.job["dataset"]),
        [Path(part) for part in snakemake.input],
        Path(snakemake.output[0]),
    )
