from pathlib import Path

from twirlscope.plugins import make_dataset
from twirlscope.stages.prepare import prepare_part
from twirlscope.runtime.job import job

with job(snakemake):
    dataset = make_dataset(snakemake.params.job["dataset"])
    prepare_part(dataset, int(snakemake.wildcards.part), Path(snakemake.output[0]))
