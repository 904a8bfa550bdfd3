"""The example of a factory and a batch function for files of torch, run by a worker."""

import importlib.util
from pathlib import Path

import calculators
import numpy as np
import pytest

from twirlscope.external.client import Failure, Local, Spec, Worker

EXAMPLE = Path(__file__).parents[3] / "config" / "external" / "torch_model.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same network as TorchScript, exported program and state dict, the example, and the forces of some structures.

    The example computes in float64 by default, and so does this process until the tests are done.
    """
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
        yield folder, example, frames, forces
    finally:
        torch.set_default_dtype(default)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "file"), [("from_script", "script.pt"), ("from_export", "export.pt2"), ("from_state_dict", "state.pt")]
)
def test_example__gives_the_forces_of_the_network_one_by_one_and_in_a_batch(files, factory, file):
    folder, example, frames, forces = files
    spec = Spec(f"{EXAMPLE}:{factory}", {"path": str(folder / file)}, batched=f"{EXAMPLE}:batch")
    with Worker(spec) as worker:
        batched = worker.evaluate(frames, ("energy", "forces"))
    single = Local(getattr(example, factory)(str(folder / file))).evaluate(frames, ("energy", "forces"))
    for found in (batched, single):
        assert not [r for r in found if isinstance(r, Failure)]
        for one, other in zip(found, forces, strict=True):
            np.testing.assert_allclose(one["forces"], other, rtol=1e-9, atol=1e-12)
