import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project's package, whatever is installed

from twirlscope.runtime.job import job
from twirlscope.stages.train import train

with job(snakemake):
    processes = max(snakemake.resources.get("gpu", 1), 1)
    given = snakemake.params.job | {"processes": processes, "block": snakemake.params.block}
    train(Path(snakemake.input[0]), Path(snakemake.output[0]), **given)
