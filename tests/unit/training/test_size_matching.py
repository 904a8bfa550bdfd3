"""Models of one size: the width that is nearest, in parameters or in cost, and what is refused."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.errors import UserError
from twirlscope.training import size_matching

OTHER = {"name": "vector_attention", "width": 32, "layers": 1, "heads": 4}


def section(by, **own):
    return {"name": "tensor_product", **own, "match": {"model": OTHER, "by": by}}


def test_resolved__has_the_parameters_of_the_other_within_5_percent():
    task = toys.force_field()
    found = size_matching.resolved(section("parameters", layers=2, radial_width=16), task)
    assert found.keys() == {"name", "layers", "radial_width", "width"}
    size, wanted = (size_matching.parameters(s, task) for s in (found, OTHER))
    assert abs(size / wanted - 1) < 0.05
    assert wanted == sum(p.numel() for p in plugins.make_model(OTHER, task.constants).parameters())


def test_resolved__has_the_cost_of_the_other_as_nearly_as_widths_allow():
    task = toys.force_field()
    found = size_matching.resolved(section("cost", layers=1, radial_width=8), task)
    wanted = size_matching.flops(OTHER, task)
    at = {w: size_matching.flops(found | {"width": w}, task) / wanted for w in (found["width"] + d for d in (-1, 0, 1))}
    assert min(at, key=lambda w: max(at[w], 1 / at[w])) == found["width"]
    assert 0.9 < at[found["width"]] < 1.1


class Dense(torch.nn.Linear):
    """A matrix, called like a model."""

    def forward(self, inputs):
        out = super().forward(inputs["positions"])
        return {"forces": out, "energy": out.sum((1, 2))[:, None]}


def test_flops__of_a_dense_layer_are_those_of_its_matrix_products(monkeypatch):
    monkeypatch.setattr(plugins, "make_model", lambda section, constants: Dense(3, 3))
    task = toys.force_field()
    atoms = task.batch(np.arange(size_matching.SAMPLES)).inputs["positions"].shape[1]
    forward = 2 * size_matching.SAMPLES * atoms * 3 * 3
    assert size_matching.flops({}, task) == 2 * forward  # backwards as much: the weights alone need a gradient


def test_resolved__skips_widths_that_a_model_cannot_have():
    task = toys.force_field()
    own = {"name": "vector_attention", "heads": 8, "layers": 1}
    found = size_matching.resolved(own | {"match": {"model": OTHER, "by": "parameters"}}, task)
    assert found["width"] % 8 == 0


def test_resolved__leaves_random_numbers_and_plain_sections_alone():
    task = toys.force_field()
    assert size_matching.resolved(OTHER, task) is OTHER
    before = torch.random.get_rng_state()
    size_matching.resolved(section("parameters", layers=1, radial_width=8), task)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("wanted", "expected"), [(1, 1), (99, 3), (145, 4), (150, 4), (1000, 10)])
def test_nearest__is_the_nearest_in_ratio(wanted, expected):
    assert size_matching.nearest(lambda w: 10 * w * w, list(range(1, 11)), wanted) == expected


def test_nearest__refuses_what_no_width_reaches():
    with pytest.raises(UserError, match="width up to 10 reaches"):
        size_matching.nearest(lambda w: w, list(range(1, 11)), 11)


def test_settings__hold_the_defaults_of_both_models_and_no_width():
    found, errors = size_matching.settings_of({"name": "tensor_product", "match": {"model": {"name": "escaip"}}}, "m")
    assert not errors
    assert found["match"]["by"] == "parameters"
    assert found["match"]["model"]["layers"] == plugins.find("model", "escaip").Settings().layers
    assert "width" not in found
    assert found["l_max"] == 1
    assert size_matching.plugin_names(found) == ["tensor_product", "escaip"]
    plain, _ = size_matching.settings_of({"name": "tensor_product"}, "m")
    assert plain["width"] == 54


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"width": 3}, "m.width: expected no width beside `match`"),
        ({"match": {"model": {"name": "voxel_unet"}}}, "m.match.model.name: expected a model for force_field"),
        ({"match": {"model": {"name": "escap"}}}, "escap"),
        ({"match": {"model": {"name": "escaip", "widht": 3}}}, "m.match.model.widht"),
        ({"match": {"model": OTHER, "by": "flops"}}, "m.match.by"),
        ({"match": {}}, "m.match.model"),
        ({"layerz": 1}, "m.layerz"),
        ({"name": "voxel_unet", "layers": 1}, "m.layers"),
    ],
)
def test_settings__name_every_mistake(changed, words):
    _, errors = size_matching.settings_of(section("parameters") | changed, "m")
    assert words in "; ".join(map(str, errors))


def test_settings__want_a_model_with_a_width():
    other = {"name": "steerable_unet"}
    errors = size_matching.settings_of({"name": "voxel_unet", "match": {"model": other}}, "m")[1]
    assert "m.match: expected a model with a setting `width`" in str(errors[0])
