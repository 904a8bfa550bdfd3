import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.curvature import derivative_check
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.unsafe_modules import unsafe_modules
from twirlscope.geometry import so3
from twirlscope.models import protein_transformer
from twirlscope.models.layers.norms import layer_norm
from twirlscope.models.layers.pairs import Affine
from twirlscope.models.protein_transformer import SIZES, ProteinTransformer, gather_rows

SMALL = {"width": 16, "heads": 2, "layers": 2}
PUBLISHED = {  # parameters, those of the trunk and pairs, without the embeddings of 1,520 fold labels
    "170k": 167_840,
    "1.0M": 1.02e6,
    "4.8M": 4.8e6,
    "16.7M": 16.7e6,
    "65M": 65.0e6,
    "191M": 191.1e6,
    "398M": 397.6e6,
}


@pytest.fixture(scope="module")
def task():
    torch.set_num_threads(1)
    return plugins.make_task({"name": "flow_matching"}, toys.backbones())


def model_of(task, seed=0, **settings):
    torch.manual_seed(seed)
    given = {"name": "protein_transformer", **({} if "size" in settings else SMALL), **settings}
    return plugins.make_model(given, task.constants).double().eval()


def opened(model):
    """The model with gates that are open and depend on the time, as after some training."""
    torch.manual_seed(5)
    for block in model.blocks:
        for gate in (block.gate, block.gate_update):
            torch.nn.init.normal_(gate.weight, std=0.3)
            torch.nn.init.zeros_(gate.bias)
    return model


def batch_of(task, count=4):
    return task.batch(np.arange(count)).to("cpu", torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_sizes__have_the_number_of_parameters_that_they_are_called_by(size):
    with torch.device("meta"):
        model = ProteinTransformer(ProteinTransformer.Settings(size=size), {})
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(PUBLISHED[size], rel=0.01)


def test_settings__of_a_named_size_survive_being_written_out_and_refuse_another_width():
    made = ProteinTransformer.Settings(size="4.8M", self_conditioning=True)
    assert ProteinTransformer.Settings(**made.model_dump()) == made
    assert made.width == 192
    _, errors = plugins.settings_of("model", {"name": "protein_transformer", "size": "4.8M", "width": 64}, "model")
    assert "whose width is 192" in str(errors[0])
    smallest = ProteinTransformer.Settings(size="170k")
    assert ProteinTransformer.Settings() == smallest.model_copy(update={"size": ""})


def test_affine__folds_into_the_next_layer_as_layer_norm_has_it():
    x = torch.randn(5, 7, 12, dtype=torch.float64)
    normed = layer_norm(x, (12,))
    torch.testing.assert_close(normed, torch.nn.functional.layer_norm(x, (12,)))
    affine, norm = Affine(12).double(), torch.nn.LayerNorm(12).double()
    torch.nn.init.normal_(affine.weight)
    torch.nn.init.normal_(affine.bias)
    norm.load_state_dict(affine.state_dict())
    layer = torch.nn.Linear(12, 3, bias=False).double()
    torch.testing.assert_close(affine.folded(normed, layer), layer(norm(x)))


def test_forward__changes_under_rotation_and_its_pair_features_do_not(task):
    batch, R = batch_of(task), so3.matrix(so3.haar(4, generator=torch.Generator().manual_seed(0)))
    turned = task.rotate(batch, R)
    model = opened(model_of(task))
    before, after = model(batch.inputs)["velocity"], model(turned.inputs)["velocity"]
    assert (after - before @ R.mT).norm() > 0.1 * before.norm()
    c = torch.zeros(4, 48, dtype=torch.float64)
    none = torch.zeros_like(batch.inputs["positions"])
    pairs = [gather_rows(*model.pairs(b.inputs["positions"], none, c)) for b in (batch, turned)]
    torch.testing.assert_close(*pairs)


def test_forward__without_distances_sees_positions_only_through_the_dense_layer(task):
    batch = batch_of(task)
    model = opened(model_of(task, distances=False))
    moved = {**batch.inputs, "positions": 2 * batch.inputs["positions"]}
    assert not torch.equal(model(moved)["velocity"], model(batch.inputs)["velocity"])
    torch.nn.init.zeros_(model.coordinates.weight)
    torch.testing.assert_close(model(moved)["velocity"], model(batch.inputs)["velocity"], rtol=0, atol=0)
    seeing = opened(model_of(task))
    torch.nn.init.zeros_(seeing.coordinates.weight)
    assert not torch.equal(seeing(moved)["velocity"], seeing(batch.inputs)["velocity"])


def test_forward__knows_the_time_the_order_of_the_chain_and_its_breaks(task):
    batch, model = batch_of(task), opened(model_of(task))
    out = model(batch.inputs)["velocity"]
    for name, value in (("time", batch.inputs["time"] / 2), ("chain_break", 1 - batch.inputs["chain_break"])):
        assert not torch.allclose(model({**batch.inputs, name: value})["velocity"], out)
    flipped = model({**batch.inputs, "positions": batch.inputs["positions"].flip(1)})["velocity"].flip(1)
    whole = (batch.inputs["mask"] == 1).all(1)
    assert whole.any()
    assert not torch.allclose(flipped[whole], out[whole])


def test_pairs__by_class_are_those_counted_pair_by_pair(task):
    """One row a class against one-hot classes of every pair."""
    batch, model = batch_of(task), model_of(task)
    x, c, pairs = batch.inputs["positions"], torch.randn(4, 48, dtype=torch.float64), model.pairs
    place = torch.arange(x.shape[1])
    separation = torch.nn.functional.one_hot((place[:, None] - place).clamp(-16, 16) + 16, 33).double()
    distance = torch.nn.functional.one_hot(protein_transformer.distance_class(x, 24), 24).double()
    both = separation @ pairs.separation.weight + distance @ pairs.distance.weight
    expected = pairs.adapt(pairs.norm(both).flatten(1, 2), c[:, None]).unflatten(1, separation.shape[:2])
    torch.testing.assert_close(gather_rows(*pairs(x, torch.zeros_like(x), c)), expected)


def test_attention__is_that_of_the_formula_pair_by_pair(task):
    """A bias for every pair of residues, none for registers, and no attention to padding."""
    attention, registers, residues = model_of(task).blocks[-1].attention, protein_transformer.REGISTERS, 5
    width, heads, features = attention.query.in_features, attention.heads, attention.bias.in_features
    x = torch.randn(2, registers + residues, width, dtype=torch.float64)
    pair, row = torch.randn(2, 7, features, dtype=torch.float64), torch.randint(7, (2, residues, residues))
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    found = attention(x, pair, protein_transformer.rows_of_biases(row, 7, mask))
    normed = attention.norm(x)
    q = attention.query_norm(attention.query(normed)).unflatten(-1, (heads, -1))
    k = attention.key_norm(attention.keys(normed)).unflatten(-1, (heads, -1))
    v = attention.values(normed).unflatten(-1, (heads, -1))
    logit = torch.einsum("sihd,sjhd->shij", q, k) / (width / heads) ** 0.5
    bias = attention.bias(attention.pair_norm(pair))
    for sample in range(2):
        for i in range(residues):
            for j in range(residues):
                logit[sample, :, registers + i, registers + j] += bias[sample, row[sample, i, j]]
    logit[1, :, :, registers + 3 :] = -torch.inf
    mixed = torch.einsum("shij,sjhd->sihd", logit.softmax(-1), v).flatten(2)
    torch.testing.assert_close(found, attention.out(mixed * attention.gate(normed).sigmoid()))


def test_distance_class__puts_distances_into_bins_from_a_tenth_of_a_nanometre_to_three():
    x = torch.tensor([[[0.0, 0, 0], [0.05, 0, 0], [1.05, 0, 0], [9.0, 0, 0]]])
    found = protein_transformer.distance_class(x, 31)[0, 0]  # 30 edges, 0.1 nm apart
    assert found.tolist() == [0, 0, 10, 30]


def test_self_conditioning__guesses_half_of_the_time_in_training_and_never_in_evaluation(task):
    batch = batch_of(task, 32)
    model = opened(model_of(task, self_conditioning=True))
    none = model(batch.inputs)["velocity"]
    torch.testing.assert_close(model(batch.inputs)["velocity"], none, rtol=0, atol=0)
    t = batch.inputs["time"][:, None, None]
    clean = batch.inputs["positions"] + (1 - t) * none
    guessed = model({**batch.inputs, "clean": clean})["velocity"]
    assert not torch.allclose(guessed, none)
    chance = torch.rand(32, generator=torch.Generator().manual_seed(0))
    trained = model.train()({**batch.inputs, "chance": chance})["velocity"]
    is_none = (trained - none).abs().amax((1, 2)) < 1e-9
    is_guess = (trained - guessed).abs().amax((1, 2)) < 1e-9
    assert (is_none ^ is_guess).all()
    assert torch.equal(is_guess, chance < 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"distances": False}, {"pair_update_every": 1}, {"self_conditioning": True}],
    ids=["plain", "without distances", "triangles", "self-conditioning"],
)
def test_certificate__says_that_both_hessians_are_right(task, settings):
    model = opened(model_of(task, **settings))
    batch = task.batch(np.arange(2)).to("cpu", torch.float64)
    quaternion = so3.haar(2, 4, generator=torch.Generator().manual_seed(0))
    found = derivative_check.certify(Objective(model, task, batch, quaternion))
    assert max(found.error.values()) < 1e-6
    assert not unsafe_modules(model, batch.inputs)


@pytest.mark.parametrize("settings", [{"pair_update_every": 1}, {"self_conditioning": True}], ids=["triangles", "self"])
def test_forward__with_options_does_not_see_padding(task, settings):
    batch, model = batch_of(task), opened(model_of(task, **settings))
    size = batch.inputs["mask"].shape[1]
    wide = {k: torch.cat([v, 0 * v[:, :3]], 1) if v.ndim > 1 else v for k, v in batch.inputs.items()}
    torch.testing.assert_close(model(wide)["velocity"][:, :size], model(batch.inputs)["velocity"], atol=1e-12, rtol=0)
