"""A real equivariant network through the whole measurement: the numerical floor, and a known error put on top of it."""

import design_spectrum
import numpy as np
import pytest
import torch
import toys
from e3nn import nn, o3

from twirlscope.contracts import Evaluation
from twirlscope.estimators import loss_split
from twirlscope.geometry.rotation_sets import randomised, rotation_set
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import measure, twisting
from twirlscope.twirling.heldout import heldout_of

SAMPLES, EPS, VECTOR = 12, 0.05, (2.0, -1.0, 2.0)
KNOWN = EPS**2 * sum(v * v for v in VECTOR) / 3  # a component


class InteractionBlock(torch.nn.Module):
    """Messages: tensor products of the neighbour with the spherical harmonics of the edge, then a gate."""

    def __init__(self, before: o3.Irreps, harmonics: o3.Irreps):
        super().__init__()
        silu, sigmoid = torch.nn.functional.silu, torch.sigmoid
        self.gate = nn.Gate("8x0e", [silu], "6x0e", [sigmoid], "3x1o+2x2e+1x1e")
        self.product = o3.FullyConnectedTensorProduct(before, harmonics, self.gate.irreps_in, shared_weights=False)
        self.radial = nn.FullyConnectedNet([6, 12, self.product.weight_numel], silu)
        self.own = o3.Linear(before, self.gate.irreps_in)

    def forward(self, x, harmonics, lengths, pairs, edge):
        """`pairs` [edge, 2] are receiver and sender, `edge` the weight of each."""
        message = self.product(x[pairs[:, 1]], harmonics, self.radial(lengths)) * edge
        return self.gate(self.own(x).index_add(0, pairs[:, 0], message))


class Equivariant(torch.nn.Module):
    """Two interaction blocks between all atoms of a molecule; forces and energy, equivariant by construction."""

    def __init__(self):
        super().__init__()
        harmonics, elements = o3.Irreps("0e+1o+2e"), o3.Irreps("4x0e")
        self.embed, self.harmonics = torch.nn.Embedding(7, 4), harmonics
        self.blocks = torch.nn.ModuleList([InteractionBlock(elements, harmonics)])
        self.blocks.append(InteractionBlock(self.blocks[0].gate.irreps_out, harmonics))
        self.readout = o3.Linear(self.blocks[1].gate.irreps_out, "1o+0e")

    def forward(self, inputs):
        numbers, positions = inputs["numbers"], inputs["positions"]
        real = numbers > 0
        place = torch.arange(numbers.numel()).reshape(numbers.shape)
        both = real[:, :, None] & real[:, None] & ~torch.eye(numbers.shape[1], dtype=torch.bool)
        sample, receiver, sender = both.nonzero(as_tuple=True)
        pairs = torch.stack([place[sample, receiver], place[sample, sender]], 1)
        vector = positions[sample, sender] - positions[sample, receiver]
        length = vector.norm(dim=1, keepdim=True)
        lengths = (-((length - torch.linspace(0.5, 4, 6).to(length)) ** 2)).exp()
        harmonics = o3.spherical_harmonics(self.harmonics, vector, True, "component")
        x = self.embed(numbers.flatten())
        for each in self.blocks:
            x = each(x, harmonics, lengths, pairs, (-length / 2).exp())
        out = self.readout(x).reshape(*numbers.shape, 4) * real[..., None]
        return {"forces": out[..., :3], "energy": out[..., 3].sum(1, keepdim=True) / real.sum(1, keepdim=True)}


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Equivariant().eval()


def leaning(model, eps=EPS):
    """The model with a fixed vector added to every force."""

    def predict(inputs):
        found = model(inputs)
        v = torch.tensor(VECTOR).to(found["forces"])
        return found | {"forces": found["forces"] + eps * v * (inputs["numbers"] > 0)[..., None]}

    return predict


def products(predict, dtype):
    """Inner products under three random orientations of O, and those orientations."""
    turns = randomised(rotation_set("O"), SAMPLES, 3, torch.Generator().manual_seed(0))
    task, index = toys.force_field(SAMPLES), np.arange(SAMPLES)
    found = twisting.inner_products(Evaluation(predict, task, dtype=dtype), index, turns.flatten(1, 2))
    return found, turns.numpy()


def split(predict, dtype):
    found, _ = products(predict, dtype)
    return loss_split.split(found["gram"], found["cross"], found["square"])


def test_equivariant_model__has_no_equivariance_error_in_double_precision(model):
    parts = split(model.double(), torch.float64)
    assert (parts.total.mean(1) > 0.1).all()
    assert (abs(parts.equiv.mean(1)) < 1e-14 * parts.total.mean(1)).all()  # rounding of |z|^2, not of z


def test_equivariant_model__is_at_the_rounding_error_of_single_precision(model):
    """The whole chain in single precision; its floor is the distance of single from double precision predictions."""
    task, index = toys.force_field(SAMPLES), np.arange(SAMPLES)
    found = measure.measure(model.float(), task, index, TwirlSettings(rotations=4))
    held = heldout_of(task, index, TwirlSettings(rotations=4))
    turns = held.quaternion[:, held.parity == 1]
    single = twisting.twisted_predictions(Evaluation(model.float(), task), index, turns)
    double = twisting.twisted_predictions(Evaluation(model.double(), task, dtype=torch.float64), index, turns)
    weights = task.batch(index).to("cpu", torch.float64).weights
    for term in ("forces", "energy"):
        error = (single[term].double() - double[term]).square().mean(-1)
        floor = (error * weights[term][:, None]).reshape(SAMPLES, 4, -1).sum(-1).mean()
        percent = found["percent_equiv"].sel(term=term).item()
        assert 0 < percent < 1e-8  # of the loss 1e-10
        assert found["loss_equiv"].sel(term=term).item() < 10 * floor
        assert floor < 1e-10


def test_equivariant_model__with_a_vector_of_the_lab_has_the_known_error(model):
    """All of it of degree 1, and the twirled prediction error is that of the model without the vector."""
    whole, plain = (split(each, torch.float64) for each in (leaning(model.double()), model.double()))
    found, turns = products(leaning(model.double()), torch.float64)
    design = found["gram"].reshape(2, SAMPLES, *turns.shape[1:3], *turns.shape[1:3])
    q = design_spectrum.spectrum_design(design, turns, 2, rotation_set("O").weight.numpy())[0]
    parts = loss_split.split_design(
        design, found["cross"].reshape(design.shape[:4]), found["square"], rotation_set("O").weight.numpy()
    )
    np.testing.assert_allclose(parts.equiv[0], KNOWN, rtol=1e-7)  # as exact as the shares of the atoms, 1/n
    np.testing.assert_allclose(parts.mean[0], plain.mean[0], rtol=1e-10)
    np.testing.assert_allclose(q[:, 1], parts.equiv[0], rtol=1e-10)
    np.testing.assert_allclose(q[:, 2], 0, atol=1e-10 * KNOWN)
    assert (whole.total[0] != plain.total[0]).all()
    np.testing.assert_allclose(whole.total[1], plain.total[1], rtol=1e-12)  # the energy knows nothing of it


def test_measure__of_a_vector_of_the_lab_on_an_equivariant_model_is_known(model):
    task = toys.force_field(80)
    found = measure.measure(leaning(model.float()), task, np.arange(80), TwirlSettings(rotations=8)).sel(term="forces")
    error = found["sample_loss_equiv"].std().item() / 80**0.5
    assert abs(found["loss_equiv"].item() - KNOWN) < 4 * error
    assert error < 0.1 * KNOWN
