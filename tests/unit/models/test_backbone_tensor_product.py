"""The tensor-product network of backbones: exactly equivariant under rotations, blind to shifts, not to reflections."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import plugins
from twirlscope.contracts import Evaluation
from twirlscope.curvature import derivative_check
from twirlscope.curvature.objective import Objective
from twirlscope.estimators import loss_split
from twirlscope.geometry import action, rotation_sets, so3
from twirlscope.models.backbone_tensor_product import links
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import lie_derivative, measure
from twirlscope.twirling.twisting import inner_products

SAMPLES = 8


def task():
    return plugins.make_task({"name": "flow_matching"}, toys.backbones(SAMPLES))


def model(**sizes):
    torch.manual_seed(0)
    sizes = {"width": 4, "layers": 2, "radial_width": 8, "neighbours": 3, "span": 2, **sizes}
    return plugins.make_model({"name": "backbone_tensor_product", **sizes}, {}).double().eval()


@pytest.mark.parametrize("l_max", [1, 2])
def test_backbone_tensor_product__has_no_equivariance_error_in_double_precision(l_max):
    quaternion = so3.haar(SAMPLES, 4, generator=torch.Generator().manual_seed(1))
    found = inner_products(Evaluation(model(l_max=l_max), task(), dtype=torch.float64), np.arange(SAMPLES), quaternion)
    parts = loss_split.split(found["gram"], found["cross"], found["square"])
    reach = np.diagonal(found["gram"], axis1=2, axis2=3).mean((1, 2))
    assert (reach > 1e-4).all()  # it does predict something
    assert (abs(parts.equiv.mean(1)) < 1e-14 * reach).all()


def test_measure__of_it_is_rounding_in_single_precision():
    found = measure.measure(model().float(), task(), np.arange(SAMPLES), TwirlSettings(rotations=4))
    assert (abs(found["loss_equiv"]) < 1e-10 * found["loss_total"]).all()


def test_backbone_tensor_product__has_no_lie_derivative_forwards():
    quaternion = so3.haar(2, 2, generator=torch.Generator().manual_seed(2))
    found = lie_derivative.lie_error(Evaluation(model(), task(), dtype=torch.float64), np.arange(2), quaternion)
    assert found.method == "forward"
    assert (found.values["velocity"] < 1e-20).all()


def test_backbone_tensor_product__tells_a_chain_from_its_mirror_image():
    inputs = task().batch(np.arange(SAMPLES)).to("cpu", torch.float64).inputs
    mirror = -torch.eye(3, dtype=torch.float64).expand(SAMPLES, 3, 3)
    here, there = (model()(i)["velocity"] for i in (inputs, inputs | {"positions": -inputs["positions"]}))
    assert (action.rotate("1o", mirror, here) - there).abs().max() > 1e-3


def test_backbone_tensor_product__does_not_see_where_the_chain_is():
    inputs = task().batch(np.arange(SAMPLES)).to("cpu", torch.float64).inputs
    moved = inputs | {"positions": inputs["positions"] + torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)}
    assert torch.allclose(model()(inputs)["velocity"], model()(moved)["velocity"], atol=1e-12)


def test_links__are_those_of_the_chain_and_the_nearest_others_up_to_the_first_left_out():
    positions, real = torch.randn(2, 12, 3, dtype=torch.float64), torch.ones(2, 12, dtype=torch.bool)
    real[1, 9:] = False
    sample, receiver, sender, limit = links(positions, real, 3, 2)
    distance = (positions[sample, receiver] - positions[sample, sender]).norm(dim=-1)
    along = (receiver - sender).abs() <= 2
    assert (distance < limit).all()
    assert (real[sample, receiver] & real[sample, sender] & (receiver != sender)).all()
    for s, count in ((0, 12), (1, 9)):
        for r in range(count):
            own = (sample == s) & (receiver == r)
            assert set(sender[own & along].tolist()) == {j for j in range(r - 2, r + 3) if 0 <= j < count and j != r}
            others = sorted((positions[s, r] - positions[s, j]).norm() for j in range(count) if abs(j - r) > 2)
            assert torch.allclose(distance[own & ~along].sort().values, torch.stack(others[:3]))
            if len(others) > 3:
                assert torch.allclose(limit[own & ~along], others[3])


def test_backbone_tensor_product__does_not_jump_where_the_nearest_residues_change():
    """A residue moves away until another one takes its place among the nearest."""
    line = torch.zeros(401, 6, 3, dtype=torch.float64)
    line[..., 0] = torch.arange(6) * 0.4
    line[:, 4, 1], line[:, 5, 1] = 0.9, -0.9
    line[:, 5, 0] += torch.linspace(-1.6, 0.4, 401)
    mask = torch.ones(401, 6, dtype=torch.long)
    inputs = {"time": torch.full((401,), 0.5, dtype=torch.float64), "mask": mask, "chain_break": 0 * mask}
    found = model(neighbours=1, span=1)(inputs | {"positions": line})["velocity"].detach()
    _, receiver, sender, _ = links(line, mask > 0, 1, 1)
    assert len(sender[(receiver == 5) & (sender < 4)].unique()) == 3  # the choice does change
    assert found.diff(dim=0).abs().max() < 0.03 * found.abs().max()


@pytest.mark.slow
def test_backbone_tensor_product__passes_the_certificate_of_curvature_in_forward_mode():
    few = task()
    objective = Objective(model(), few, few.batch(np.arange(1)), rotation_sets.sample_rotations("D2", 1, 0, 0))
    found = derivative_check.certify(objective, mode="dual")
    assert max(*found.error.values(), *found.gauss_newton.values()) < derivative_check.TOLERANCE


def test_backbone_tensor_product__has_by_default_the_parameters_of_its_counterpart_within_5_percent():
    names = ("backbone_tensor_product", "protein_transformer")
    found = [sum(p.numel() for p in plugins.make_model({"name": n}, {}).parameters()) for n in names]
    assert abs(found[0] / found[1] - 1) < 0.05
