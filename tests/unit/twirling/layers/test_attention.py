"""Anisotropy of attention whose features are scalars and vectors, against its closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from twirlscope.twirling.layers import attention, generators
from twirlscope.twirling.lie_derivative import GENERATORS

SCALARS = 2


class Attention(nn.Module):
    """One head on features of two scalars and one vector."""

    def __init__(self, product):
        super().__init__()
        self.query, self.keys, self.heads = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False), 1
        with torch.no_grad():
            self.query.weight.copy_(torch.eye(5))
            self.keys.weight.copy_(torch.as_tensor(product))


def known():
    """Generators of two scalars and a vector, of unit variance."""
    matrix = np.zeros((3, 5, 5))
    matrix[:, SCALARS:, SCALARS:] = GENERATORS.numpy()
    return generators.Generators(np.zeros(5), np.zeros((3, 5)), matrix, np.eye(5), np.ones(5))


def measured(product):
    found = {attention.input_name("", layer): known() for layer in attention.NAMES}
    (value,), random = attention.anisotropies(Attention(product), "", found)
    return value, random


def test_anisotropy__is_zero_for_products_that_are_invariant():
    product = np.zeros((5, 5))
    product[:2, :2] = [[1.0, 2.0], [-0.5, 0.3]]
    product[2:, 2:] = 0.7 * np.eye(3)
    assert measured(product)[0] < 1e-12


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((0, 2), 2.0),  # scalar with vector: degree 1
        ((2, 0), 2.0),
        ((2, 3), 4.0),  # two axes: half of degree 1, half of degree 2
    ],
)
def test_anisotropy__is_the_casimir_of_the_product(place, value):
    product = np.zeros((5, 5))
    product[place] = 1.0
    assert measured(product)[0] == pytest.approx(value, rel=1e-6)


def test_anisotropy__of_random_products_is_the_sum_of_both_mean_casimirs():
    random = np.random.default_rng(0)
    values = [measured(random.normal(size=(5, 5)))[0] for _ in range(400)]
    expected = measured(np.eye(5))[1]
    assert expected == pytest.approx(2 * 3 * 2 / 5)
    assert np.mean(values) == pytest.approx(expected, rel=0.05)


def test_modules__with_queries_and_keys_are_found():
    assert attention.attention_modules(nn.ModuleDict({"a": Attention(np.eye(5)), "b": nn.Linear(2, 2)})) == ["a"]
