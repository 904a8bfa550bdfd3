import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.plugins import make_dataset
from twirlscope.stages.prepare import prepare_part
from twirlscope.runtime.job import job
from twirlscope.storage import made_from

with job(snakemake):
    dataset = make_dataset(snakemake.params.job["dataset"])
    record = made_from.of_data(snakemake.params.job)
    prepare_part(dataset, int(snakemake.wildcards.part), Path(snakemake.output[0]), record)
