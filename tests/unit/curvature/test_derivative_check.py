"""The certificate accepts right products and refuses every known kind of wrong one; each kind is built here."""

import copy

import pytest
import torch
from small_models import MODELS, Attention, Clouds, Conservative, Direct, Equivariant, case
from torch import nn

from twirlscope.curvature import operators
from twirlscope.curvature.derivative_check import TOLERANCE, certify
from twirlscope.curvature.gradient_check import DIRECTIONS, FIRST, certify_gradient
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.operators import MODES
from twirlscope.errors import UserError
from twirlscope.runtime import precision


def certified(model, **keys):
    _, (module, batch, quaternion) = case(model, kind="D2", dtype=torch.float32)
    return certify(Objective(module, Clouds(), batch, quaternion), **keys)


@pytest.mark.parametrize("model", [*MODELS, Equivariant])
def test_certify__accepts_a_model_whose_derivatives_are_right(model):
    found = certified(model)
    assert max(*found.gradient.values(), *found.error.values(), *found.gauss_newton.values()) < TOLERANCE
    assert max(*found.symmetry.values(), found.split) < 1e-12
    assert 1e-9 < max(found.precision.values()) < 1e-4
    assert found.mode == "cached"


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_certify__accepts_every_mode(mode):
    found = certified(Attention, mode=mode)
    assert max(*found.error.values(), *found.gauss_newton.values()) < TOLERANCE
    assert found.split < 1e-10
    assert found.mode == mode


def test_certify__leaves_the_model_unchanged():
    _, (module, batch, quaternion) = case(Direct, dtype=torch.float32)
    before = copy.deepcopy(module.state_dict())
    certify(Objective(module.train(), Clouds(), batch, quaternion))
    assert module.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


class Wrong:
    """Factory of operators; a function of (loss, parameters, vector) computes their products with the Hessian.

    With `only`, products with the other parts of the loss are right.
    """

    def __init__(self, product, only=None):
        self.product, self.only, self.calls = product, only, 0

    def __call__(self, objective, part, curvature="hessian", mode="auto"):
        if curvature == "gauss_newton":
            return operators.operator(objective, part, curvature, "cached")
        chunk, made = objective.chunks[0], {}
        product = self.product if self.only in (None, part) else right

        def multiply(block):
            self.calls += 1
            at = objective.parameters.detach()
            with precision.differentiable():
                columns = [product(lambda p: objective.losses(p, chunk)[part], at, v, made) for v in block.T]
            return torch.stack(columns, 1).detach()

        return multiply


def right(loss, at, vector, made):
    return torch.func.jvp(torch.func.grad(loss), (at,), (vector,))[1]


def forward_over_jacrev(loss, at, vector, made):
    """As in curvlinops 3.0.1."""
    return torch.func.jvp(torch.func.jacrev(loss), (at,), (vector,))[1]


def reverse_over_forward(loss, at, vector, made):
    return torch.func.grad(lambda p: torch.func.jvp(loss, (p,), (vector,))[1])(at)


def linearized(loss, at, vector, made):
    """Linearises once, then uses the result for every vector, as intended."""
    if not made:
        made["push"] = torch.func.linearize(torch.func.grad(loss), at)[1]
    return made["push"](vector)


def refused(model, *names, **keys):
    """Text of the error that the certificate raises; it names these modules."""
    try:
        certified(model, **keys)
    except UserError as error:
        text = str(error)
    else:
        pytest.skip("this version of torch makes the product right: nothing to refuse")
    assert [name for name in names if name not in text] == []
    return text


def test_certify__accepts_right_products_of_another_factory_and_calls_it_often_enough():
    factory = Wrong(right)
    found = certified(Direct, factory=factory)
    assert max(found.error.values()) < TOLERANCE
    assert factory.calls >= 3 * DIRECTIONS >= 9


class Fused(Conservative):
    """Conservative force through a layer norm of torch."""

    def __init__(self):
        super().__init__(nn.LayerNorm)


class Functional(Conservative):
    """The same with the function instead of the module."""

    def __init__(self):
        super().__init__(nn.Identity)

    def body_of(self, positions):
        return self.body[3](nn.functional.silu(nn.functional.layer_norm(self.body[0](positions), (6,))))

    def forward(self, inputs):
        positions = inputs["positions"].detach().requires_grad_()
        energy = self.body_of(positions)[..., 3].mean(1, keepdim=True)
        return {"forces": -torch.autograd.grad(energy.sum(), positions, create_graph=True)[0], "energy": energy}


@pytest.mark.parametrize("mode", ["auto", "rebuilt", "dual"])
def test_certify__refuses_a_layer_norm_in_a_conservative_force(mode):
    text = refused(Fused, "body.1 (LayerNorm: layer_norm)", "twirlscope.LayerNorm", mode=mode)
    assert "hessian, model Fused" in text
    assert "0.0e+00 in the gradient" not in text


def test_certify__names_the_module_that_calls_the_function():
    refused(Functional, "the model itself (Functional: layer_norm")


def test_certify__accepts_differences_where_only_the_third_derivative_is_wrong():
    found = certified(Fused, mode="difference")
    assert max(*found.gradient.values(), *found.error.values()) < TOLERANCE


class Normed(Direct):
    """Layer norm of torch outside of a derivative; all operations have a batching rule."""

    def __init__(self):
        super().__init__(nn.LayerNorm)
        self.body[2] = nn.Tanh()


def test_certify__refuses_forward_mode_over_jacrev_with_a_layer_norm():
    assert max(certified(Normed, factory=Wrong(right)).error.values()) < TOLERANCE
    refused(Normed, "body.1 (LayerNorm: layer_norm)", factory=Wrong(forward_over_jacrev))


def test_certify__refuses_reverse_over_forward_mode_with_a_layer_norm():
    refused(Normed, "body.1 (LayerNorm: layer_norm)", factory=Wrong(reverse_over_forward))


class Slices(nn.Module):
    """Writes both halves into an empty tensor, as gates of e3nn do."""

    def forward(self, x):
        out = torch.zeros_like(x)
        out[..., :3] = torch.tanh(x[..., :3])
        out[..., 3:] = torch.sin(x[..., 3:])
        return out


class Sliced(Direct):
    def __init__(self):
        super().__init__()
        self.body[2] = Slices()


@pytest.mark.slow
def test_certify__refuses_linearize_with_operations_in_place():
    assert max(certified(Sliced, factory=Wrong(right)).error.values()) < TOLERANCE
    refused(Sliced, "body.2 (Slices: copy_ in place)", factory=Wrong(linearized, only="equiv"))


class Scripted(nn.Module):
    """Two interaction blocks with radial weights, from modules of e3nn that TorchScript compiles."""

    def __init__(self):
        import e3nn
        from e3nn import nn as equivariant
        from e3nn import o3

        super().__init__()
        before = e3nn.get_optimization_defaults()["jit_mode"]
        e3nn.set_optimization_defaults(jit_mode="script")
        try:
            self.harmonics = o3.SphericalHarmonics("0e+1o+2e", normalize=True, normalization="component")
            self.gate = equivariant.Gate("4x0e", [torch.nn.functional.silu], "2x0e", [torch.sigmoid], "2x1o")
            self.embed = o3.Linear("0e+1o", self.gate.irreps_out)
            sizes = self.gate.irreps_out, self.harmonics.irreps_out, self.gate.irreps_in
            self.first = o3.FullyConnectedTensorProduct(*sizes, shared_weights=False)
            self.second = o3.FullyConnectedTensorProduct(*sizes)
            self.radial = equivariant.FullyConnectedNet([1, 4, self.first.weight_numel], torch.nn.functional.silu)
            self.out = o3.Linear(self.gate.irreps_out, "0e+1o")
        finally:
            e3nn.set_optimization_defaults(jit_mode=before)

    def forward(self, inputs):
        positions = inputs["positions"]
        count = positions.shape[1]
        pairs = positions[:, :, None] - positions[:, None] + torch.tensor([0.3, 0.0, -0.2]).to(positions)
        harmonics, weights = self.harmonics(pairs), self.radial(pairs.norm(dim=-1, keepdim=True))
        atoms = self.embed(torch.cat([torch.ones_like(positions[..., :1]), positions], -1))
        atoms = self.gate(self.first(atoms[:, None].expand(-1, count, -1, -1), harmonics, weights).sum(2))
        atoms = self.gate(self.second(atoms[:, None].expand(-1, count, -1, -1), harmonics).sum(2))
        out = self.out(atoms)
        return {"forces": out[..., 1:], "energy": out[..., :1].mean(1)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["vmap", "dual"])
def test_certify__refuses_scripted_modules_in_forward_mode(mode):
    refused(Scripted, "(RecursiveScriptModule: compiled)", mode=mode)


def test_certify__accepts_scripted_modules_in_reverse():
    assert max(certified(Scripted, mode="cached").error.values()) < TOLERANCE


class Once(torch.autograd.Function):
    """Square whose derivative cuts the graph, as a compiled kernel may."""

    @staticmethod
    def forward(x):
        return x.square()

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context, slope):
        return 2 * context.saved_tensors[0].detach() * slope


class Cut(Direct):
    def forward(self, inputs):
        return {name: Once.apply(value) for name, value in super().forward(inputs).items()}


def test_certify__refuses_a_derivative_that_is_treated_as_constant():
    refused(Cut, "in Hessian of L_mean", mode="cached")
    assert max(certified(Cut, mode="difference").error.values()) < TOLERANCE


class Slope(torch.autograd.Function):
    """Square with a wrong first derivative."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(context, slope):
        return 2.1 * context.saved_tensors[0] * slope


class Mistaken(Direct):
    def forward(self, inputs):
        return {name: Slope.apply(value) for name, value in super().forward(inputs).items()}


@pytest.mark.parametrize("mode", ["cached", "difference"])
def test_certify__refuses_a_wrong_gradient(mode):
    with pytest.raises(UserError, match=r"e-0[12] in the gradient"):
        certified(Mistaken, mode=mode)


def test_certify__refuses_an_operator_that_is_right_in_all_but_its_last_call():
    tired = Wrong(lambda *args: right(*args) * (1 + 1e-3 * (tired.calls % DIRECTIONS == 0)))
    refused(Direct, factory=tired)


def test_certify__refuses_numbers_that_are_not_finite():
    _, (module, batch, quaternion) = case()
    with torch.no_grad():
        module.body[0].weight[0, 0] = torch.nan
    with pytest.raises(UserError, match="nan"):
        certify(Objective(module, Clouds(), batch, quaternion))


def gradient_errors(model):
    _, (module, batch, quaternion) = case(model, kind="D2", dtype=torch.float32)
    return certify_gradient(Objective(module, Clouds(), batch, quaternion, unbiased=True))


@pytest.mark.parametrize("model", [*MODELS, Equivariant])
def test_certify_gradient__accepts_a_model_whose_first_derivatives_are_right(model):
    assert max(gradient_errors(model).values()) < 1e-7


class Kinked(Direct):
    """ReLU in place of the smooth activations: the gradient is right, the Hessian is not defined everywhere."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        for name, module in list(self.named_modules()):
            if isinstance(module, nn.SiLU | nn.Tanh | nn.GELU):
                parent = self.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], nn.ReLU())


def test_certify_gradient__accepts_kinks():
    assert max(gradient_errors(Kinked).values()) < FIRST


class Ungraphed(Conservative):
    """Forces are detached where the model is not in training mode."""

    def forward(self, inputs):
        out = super().forward(inputs)
        return {k: v if self.training else v.detach() for k, v in out.items()}


def test_certify_gradient__refuses_forces_without_a_graph():
    with pytest.raises(UserError, match=r"in L_mean, .* no graph: take forces with create_graph"):
        gradient_errors(Ungraphed)
