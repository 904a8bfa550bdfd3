"""The benchmark of the stages that measure, on a short training of a toy model."""

import json

import pytest
import short_trainings
import yaml

from bench import bench_stages
from twirlscope.stages import train


@pytest.mark.slow
def test_bench_stages__measures_a_stage_with_the_settings_of_the_config(tmp_path, capsys):
    run = short_trainings.run(steps=12)
    results, config = tmp_path / "results", tmp_path / "config.yaml"
    (results / "data").mkdir(parents=True)
    data, out = results / "data" / "well.zarr.zip", results / "runs" / "toy" / "seed0" / "train.zarr.zip"
    short_trainings.registry.save(short_trainings.toys.frames(), data)
    out.parent.mkdir(parents=True)
    train.train(data, out, run, "code")
    section = {name: run[name] for name in ("task", "model", "train")} | {
        "dataset": "well",
        "hessian": {"enabled": False},
    }
    gradient = {"batches": 3, "samples": 2, "checkpoints": 1}
    datasets = {"well": {"name": "xtb_molecules"}}
    config.write_text(yaml.safe_dump({"datasets": datasets, "runs": {"toy": section}, "gradient": gradient}))
    rows = tmp_path / "rows.json"
    arguments = ["--results", str(results), "--config", str(config), "--updates", "5", "--json", str(rows)]
    assert bench_stages.main([*arguments, "--stages", "train", "gradient", "hessian"]) in (0, 1)
    found = {row["stage"]: row["seconds"] for row in json.loads(rows.read_text())}
    assert set(found) == {"train", "gradient"}, "the Hessian is not wanted"
    assert all(seconds > 0.5 for seconds in found.values()), "the start of a process counts"
    assert "measuring over training" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"gradient of .*none"):
        bench_stages.seconds_of({"stage": "gradient", "train": "none", "data": str(data), "out": "o", "settings": {}})
