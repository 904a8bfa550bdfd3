"""The base class of atom models: which terms a model outputs, and how per-atom outputs become a prediction."""

import pytest
import torch

from twirlscope.models.layers.atom_model import AtomModel, by_term
from twirlscope.models.vector_attention import VectorAttention

REAL = torch.tensor([[True, True, True], [True, False, False]])


def outputs(columns):
    """Per-atom outputs, 0 on padding."""
    values = torch.randn(2, 3, columns, generator=torch.Generator().manual_seed(0))
    return values * REAL[..., None]


def test_atom_model__is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        AtomModel(VectorAttention.Settings(), {"elements": [1]})


@pytest.mark.parametrize("terms", [("forces", "stress", "energy"), ("forces", "energy", "stress"), ("energy",)])
def test_by_term__leaves_forces_and_averages_the_others_over_real_atoms_in_any_order_of_columns(terms):
    sizes = {"forces": 3, "energy": 1, "stress": 6}
    given = outputs(sum(sizes[term] for term in terms))
    found = by_term(given, REAL, terms)
    assert list(found) == [term for term in sizes if term in terms]
    for term, columns in zip(terms, given.split([sizes[term] for term in terms], -1), strict=True):
        mean = torch.stack([columns[0].mean(0), columns[1, 0]])
        torch.testing.assert_close(found[term], columns if term == "forces" else mean)


@pytest.mark.parametrize(
    ("forces", "constants", "expected"),
    [
        ("direct", {}, ("forces",)),
        ("direct", {"stress_scale": 1.0}, ("forces", "stress")),
        ("conservative", {"stress_scale": 1.0}, ()),
    ],
)
def test_direct_terms__are_those_that_the_network_outputs_besides_the_energy(forces, constants, expected):
    with torch.device("meta"):
        model = VectorAttention(VectorAttention.Settings(forces=forces), {"elements": [1]} | constants)
    assert model.direct_terms == expected
