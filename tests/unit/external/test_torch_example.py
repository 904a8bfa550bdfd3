"""The example of a factory and a batch function for files of torch, run by a worker."""

import importlib.util
from pathlib import Path

import calculators
import numpy as np
import pytest

from twirlscope.external.client import Failure, Spec, Worker

EXAMPLE = Path(__file__).parents[3] / "config" / "external" / "torch_model.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same network as TorchScript, exported program and state dict, and its forces."""
    import torch

    folder, default = tmp_path_factory.mktemp("models"), torch.get_default_dtype()
    spec = importlib.util.spec_from_file_location("torch_example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    try:
        torch.manual_seed(0)
        model = example.PairModel().eval()
        torch.jit.save(torch.jit.script(model), folder / "script.pt")
        torch.save(model.state_dict(), folder / "state.pt")
        size, atoms = torch.export.Dim("size", min=1), torch.export.Dim("atoms", min=2)
        inputs = (torch.randn(3, 4, 3), torch.ones(3, 4))
        dynamic = ({0: size, 1: atoms}, {0: size, 1: atoms})
        torch.export.save(torch.export.export(model, inputs, dynamic_shapes=dynamic), folder / "export.pt2")
        frames = calculators.structures(4) + calculators.structures(2, atoms=4)
        forces = [r["forces"] for r in example.batch(example.TorchCalculator(model), frames, ("forces",))]
    finally:
        torch.set_default_dtype(default)
    return folder, frames, forces


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "file"), [("from_script", "script.pt"), ("from_export", "export.pt2"), ("from_state_dict", "state.pt")]
)
def test_example__gives_the_forces_of_the_network_one_by_one_and_in_a_batch(files, factory, file):
    folder, frames, forces = files
    for batched in ("", f"{EXAMPLE}:batch"):
        spec = Spec(f"{EXAMPLE}:{factory}", {"path": str(folder / file)}, batched=batched)
        with Worker(spec) as worker:
            found = worker.evaluate(frames, ("energy", "forces"))
        assert not [r for r in found if isinstance(r, Failure)]
        for one, other in zip(found, forces, strict=True):
            np.testing.assert_allclose(one["forces"], other, rtol=1e-9, atol=1e-12)
