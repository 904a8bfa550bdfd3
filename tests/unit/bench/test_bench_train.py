"""The benchmark of training runs as it would on a GPU, on models of a few hundred weights."""

import numpy as np
import pytest

from bench import bench_train


@pytest.mark.parametrize("name", ["tiny_molecules", "tiny_backbones", "tiny_voxels"])
def test_bench_train__fills_its_table(name, capsys):
    assert bench_train.main(["--models", name, "--compile", "never", "--updates", "2", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "CPU" in lines[0]
    head, _, row = (line for line in lines if line.startswith("|"))  # a slow machine prints lines of progress, too
    cells = dict(zip(head.strip("| ").split(" | "), row.strip("| ").split(" | "), strict=True))
    assert cells["model"] == name
    assert cells["precision"] == "bf16"
    assert cells["MFU [%]"] == "-", "the peak of a processor is not known"
    numbers = (
        "updates/s",
        "samples/s",
        "TFLOP/s",
        "twirl [ms/pass of a sample]",
        "Hessian product [ms/column and sample]",
    )
    assert all(float(cells[n]) > 0 for n in numbers)
    assert 0 <= float(cells["waits for data [%]"]) <= 100


def test_flops__are_those_of_an_update_of_the_whole_batch():
    case = bench_train.CASES["tiny_backbones"]
    data = bench_train.samples(case, 8)
    loop = bench_train.loop_of(case, data, prefetch=0, device="cpu")
    with bench_train.FlopCounterMode(display=False) as counter:
        loop.update()
    np.testing.assert_allclose(bench_train.flops_of(case, data, "cpu"), counter.get_total_flops(), rtol=1e-12)


def test_peak__depends_on_device_and_precision(monkeypatch):
    monkeypatch.setattr(bench_train, "hardware", lambda _: "NVIDIA H100 80GB HBM3")
    found = [bench_train.peak("cuda", *way) for way in (("bf16", False), ("float32", True), ("float32", False))]
    assert found == [989e12, 495e12, 67e12]
    assert bench_train.peak("cpu", "bf16", False) is None
