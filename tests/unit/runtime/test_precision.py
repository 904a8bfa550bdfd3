"""TensorFloat-32 is a setting: stored with the results, and restored afterwards."""

from types import SimpleNamespace

import pytest
import torch

from twirlscope.runtime import precision


def flags():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_float32__sets_products_and_convolutions_and_puts_them_back(tf32):
    before = flags()
    with precision.float32(tf32):
        assert flags() == (tf32, tf32)
    assert flags() == before


def test_float32__of_a_decorated_function_is_exact_by_default():
    before = flags()
    assert precision.float32()(flags)() == (False, False)
    assert flags() == before


def test_attributes__say_what_is_set_and_that_only_gpus_round(monkeypatch):
    monkeypatch.setattr(precision, "hardware", lambda device: device)
    for tf32 in (False, True):
        with precision.float32(tf32):
            assert precision.attributes("float32", "cuda:1") == {"dtype": "float32", "tf32": tf32, "device": "cuda:1"}
            assert precision.attributes("float64", "cpu") == {"dtype": "float64", "tf32": False, "device": "cpu"}


def test_differentiable__restores_what_it_changed(monkeypatch):
    flags = SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", flags)
    with torch.no_grad(), precision.differentiable():
        assert not flags.allow_tf32
        assert torch.is_grad_enabled()
    assert flags.allow_tf32
