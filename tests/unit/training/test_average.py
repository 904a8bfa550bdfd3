"""The moving average of weights, and its reader of weights, beside those of torch."""

import torch

from twirlscope.training.average import averaged, weight_reader


class Model(torch.nn.Module):
    """Two layers with one weight, buffers of several kinds, and a buffer that is no part of the state."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)])
        self.layers[1].weight = self.layers[0].weight
        self.register_buffer("scale", torch.tensor(2.0))
        self.register_buffer("cache", torch.ones(4), persistent=False)
        self.gain = torch.nn.Parameter(torch.ones(3))


def test_weight_reader__reads_the_state_also_after_a_tensor_was_replaced():
    model = Model()
    read = weight_reader(model)
    model.scale = model.scale + 1
    model.layers[2](model.layers[0](torch.randn(5, 3)))
    found, expected = read(), model.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[k], expected[k]) and not found[k].requires_grad for k in expected)
    assert found["scale"] == 3


def test_averaged__is_the_lerp_of_each_tensor_bit_for_bit_and_copies_integers():
    model = Model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter)
    model.layers[2].num_batches_tracked += 3
    weights = weight_reader(model)()
    found = averaged(before, weights, 0.99)
    for name, value in weights.items():
        if value.is_floating_point():
            assert torch.equal(found[name], torch.lerp(value, before[name], 0.99))
        else:
            assert torch.equal(found[name], value)
            assert found[name].data_ptr() != value.data_ptr()
