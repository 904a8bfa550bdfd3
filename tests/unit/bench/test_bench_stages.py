"""The benchmark of the stages that measure, on a short training of a toy model."""

import json

import pytest
import short_trainings
import yaml
from performance import Given

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


@pytest.mark.parametrize(("twirl", "exceeded"), [(10.0, []), (70.0, ["measuring takes 0.70 of training, at most 0.6"])])
def test_section__adds_the_seeds_of_a_run_and_names_the_limit_that_is_exceeded(monkeypatch, twirl, exceeded):
    found = [("a", 0, "train", 60.0), ("a", 0, "twirl", twirl), ("a", 1, "train", 30.0), ("b", 0, "train", 20.0)]
    found += [("a", 1, "gradient", 5.0), ("b", 0, "hessian", 2.0)]
    monkeypatch.setattr(bench_stages, "rows", lambda args: iter(found))
    made = bench_stages.section(Given())
    assert f"| a | 90.0 | {twirl} | 5.0 | - | {(twirl + 5) / 90:.2f} |\n| b | 20.0 | - | - | 2.0 | 0.10 |" in made.text
    assert made.text.splitlines()[-1] == f"| all | 110.0 | {twirl} | 5.0 | 2.0 | {(twirl + 7) / 110:.2f} |"
    assert made.exceeded == exceeded
