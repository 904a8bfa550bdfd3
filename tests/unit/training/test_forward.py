"""How a model runs in training: whatever saves memory or time leaves the numbers alone, but for what it must round."""

from functools import partial
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
import toys
from torch.utils.flop_counter import FlopCounterMode

from twirlscope import losses, plugins
from twirlscope.errors import UserError
from twirlscope.settings.train import TrainSettings
from twirlscope.training import batches, forward, optimisers
from twirlscope.training.loop import Loop

TOY = f"{Path(toys.__file__).with_name('toy_model.py')}:Mlp"
SMALL = {"width": 8, "layers": 2, "heads": 2}
DATA = {"frames": toys.frames, "molecules": toys.molecules, "backbones": toys.backbones}
CHOICES = {
    "vector_attention": [{}, {"forces": "conservative"}],
    "escaip": [{"dropout": 0.1}, {"forces": "conservative"}],
    "protein_transformer": [{}, {"self_conditioning": True, "pair_update_every": 1}],
    "voxel_unet": [{"dropout": 0.1}],
}
CASES = [(name, choice) for name in plugins.known("model") for choice in CHOICES.get(name, [{}])]
each_model = pytest.mark.parametrize(
    ("name", "choice"), CASES, ids=["-".join([n, *map(str, c.values())]) for n, c in CASES]
)


def loop_of(name, choice, double=False, **settings):
    """A training of a small model on toy data, that has made no update yet."""
    cls = plugins.find("model", name)
    section = {"name": name, **{k: v for k, v in SMALL.items() if k in cls.Settings.model_fields}, **choice}
    task = plugins.make_task({"name": cls.task}, DATA[plugins.find("task", cls.task).dataset_kind]())
    settings = TrainSettings(**{"steps": 20, "batch": 6, "warmup": 2, "device": "cpu", "prefetch": 0} | settings)
    loop = Loop(task, {"seed": 0, "model": section}, settings, np.arange(30))
    loop.model.train()
    if double:
        loop.model.double()
        loop.objective.double()
        loop.loader = batches.Loader(lambda u: loop.rows(u).to("cpu", torch.float64), 20, 0, "cpu")
    return loop


def trained(loop, updates):
    for _ in range(updates):
        loop.update()
    return loop.model.state_dict()


def distance(a, b):
    """The norm of the difference of all weights over that of the weights; some have no gradient but of rounding."""
    pairs = [(a[k].double(), b[k].double()) for k in a]
    return (sum((x - y).square().sum() for x, y in pairs) / sum(y.square().sum() for _, y in pairs)).sqrt().item()


@pytest.fixture
def unchecked():
    """Without run-time checks of shapes, which a compiler cannot look through."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("name", "choice", "cut"),
    [("vector_attention", {}, 4), ("protein_transformer", {"self_conditioning": True}, 1)],
)
def test_passes__of_parts_of_a_batch_add_up_to_the_pass_of_the_whole(name, choice, cut):
    whole, parts = (loop_of(name, choice, double=True, micro_batch=m) for m in (0, cut))
    start = {k: v.clone() for k, v in whole.model.state_dict().items()}
    ends = [trained(loop, 20) for loop in (parts, whole)]
    assert distance(*ends) < 1e-9
    assert distance(start, ends[1]) > 1e-3
    np.testing.assert_allclose(parts.curve.loss, whole.curve.loss, rtol=1e-9)


def test_passes__of_parts_of_a_batch_add_up_in_float32_too():
    ends = [trained(loop_of(TOY, {}, micro_batch=m, learning_rate=1e-2), 20) for m in (4, 0)]
    assert distance(*ends) < 1e-6


@each_model
def test_recompute__changes_no_gradient_and_computes_more(name, choice):
    found, flops = [], []
    for on in (False, True):
        loop = loop_of(name, choice, activation_checkpointing=on)
        with FlopCounterMode(display=False) as counter:
            loop.update()
        found.append({n: p.grad for n, p in loop.model.named_parameters()})
        flops.append(counter.get_total_flops())
        assert list(loop.model.state_dict()) == list(loop_of(name, choice).model.state_dict())
    assert all(g is found[1][n] or torch.equal(found[1][n], g) for n, g in found[0].items())
    assert flops[1] > flops[0]


def test_recompute__says_what_a_model_without_blocks_lacks():
    with pytest.raises(UserError, match="ModuleList named `blocks`, got Linear"):
        forward.recompute(torch.nn.Linear(2, 2))


@each_model
def test_bf16__trains_weights_in_float32_and_comes_near(name, choice):
    rounded, exact = (loop_of(name, choice, precision=p) for p in ("bf16", "float32"))
    seen = set()
    linear = next(m for m in rounded.model.modules() if type(m).__name__ in ("Linear", "Conv3d", "Convolution"))
    linear.register_forward_hook(lambda _m, _i, out: seen.add(out.dtype))
    state, _ = (trained(loop, 4) for loop in (rounded, exact))
    assert seen == {torch.bfloat16}
    assert all(v.dtype == torch.float32 for v in state.values() if v.is_floating_point())
    np.testing.assert_allclose(rounded.curve.loss, exact.curve.loss, rtol=0.03)
    assert rounded.curve.loss != exact.curve.loss


def test_compile__keeps_the_names_of_weights_and_the_numbers(monkeypatch, unchecked):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    on, off = (loop_of(TOY, {}, compile=c) for c in ("always", "never"))
    ends = [trained(loop, 3) for loop in (on, off)]
    assert list(ends[0]) == list(ends[1])
    assert distance(*ends) < 1e-6
    assert on.running.model is not on.model


def test_compile__that_fails_is_a_mistake_in_the_settings(monkeypatch, unchecked):
    def backend(*_):
        raise OSError("no C++ compiler found")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    with pytest.raises(UserError, match=r"train\.compile: expected a model and a machine .*no C\+\+ compiler found"):
        loop_of(TOY, {}, compile="always").update()


def test_mistakes__of_others_are_not_blamed_on_the_compiler():
    with pytest.raises(RuntimeError, match="mine"), forward.compile_errors(True):
        raise RuntimeError("mine")


@pytest.mark.parametrize(("device", "fused"), [("cuda", True), ("cuda:1", True), ("cpu", None), ("mps", None)])
def test_optimiser__is_fused_on_a_gpu_alone(device, fused):
    made = optimisers.optimiser(toys.Well(), TrainSettings(), device)
    assert [group["fused"] for group in made.param_groups] == [fused, fused]


def test_weights__that_take_no_part_are_refused_where_several_processes_train():
    model = torch.nn.ModuleDict({"used": torch.nn.Linear(2, 1), "idle": torch.nn.Linear(2, 1)})
    model["used"](torch.ones(1, 2)).sum().backward()
    with pytest.raises(UserError, match=r"got \['idle.weight', 'idle.bias'\]"):
        forward.require_gradients(model)
    forward.require_gradients(model["used"])


@pytest.mark.parametrize("micro_batch", [0, 4])
def test_update__of_a_term_without_some_targets_has_the_loss_of_the_samples_that_have_one(micro_batch):
    task, _ = toys.partly_labelled(40)
    task.terms = task.terms[:1]
    section = {"name": TOY, "width": 8}
    settings = TrainSettings(
        steps=5, warmup=0, batch=30, micro_batch=micro_batch, objective={"name": "none"}, device="cpu", prefetch=0
    )
    loop = Loop(task, {"seed": 0, "model": section}, settings, np.arange(30))
    some = task.batch(np.arange(0, 30, 4))  # a batch of 30 is the whole split
    expected = losses.weighted_loss(task, loop.model(some.inputs), some).item()
    loop.update()
    assert loop.curve.loss[0] == pytest.approx(expected, rel=1e-5)
