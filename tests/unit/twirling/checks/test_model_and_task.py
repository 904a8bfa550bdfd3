"""Each mistake raises an error that names it and the remedy; right models and tasks pass."""

import dataclasses

import pytest
import torch
import toys
from refusals import Changed, Through, changed, few, refused, rotation

from twirlscope.contracts import Term
from twirlscope.errors import UserError
from twirlscope.twirling.checks import model_and_task as checks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("samples", [1, 6])
def test_check_model_and_task__passes_a_right_model(dtype, samples):
    task, batch, R = few(samples)
    checks.check_model_and_task(toys.Well(0.5, (0.3, -0.1, 0.2)).to(dtype), task, batch.to("cpu", dtype), R.to(dtype))


def test_check_model_and_task__passes_a_model_of_zeros_a_plain_function_and_modules_in_evaluation_mode():
    task, batch, R = few()
    checks.check_model_and_task(toys.Well(0.0), task, batch, R)
    checks.check_model_and_task(lambda inputs: toys.Well()(inputs), task, batch, R)
    for module in (torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3)):
        checks.check_model_and_task(Through(module).eval(), task, batch, R)


def test_check_model_and_task__passes_reflections():
    task, batch, R = few()
    checks.check_model_and_task(toys.Well(), task, batch, -R)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda R: 1.01 * R, r"off by 2\.0e-02"),
        (lambda R: R + torch.tensor([[0.0, 1e-3, 0.0], [0.0] * 3, [0.0] * 3]), "off by"),
        (lambda R: R * torch.nan, "not finite"),
        (lambda R: torch.zeros_like(R), r"off by 1\.0e\+00"),
    ],
)
def test_check_rotations__refuses_matrices_that_are_not_orthogonal(spoil, text):
    R = rotation(6)
    R[2:] = spoil(R[2:])
    refused(rf"rotations: .*4 of 6 that are not, the first is number 2.*{text}.*so3\.matrix", R=R)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Changed(lambda out: {"force": out["forces"]}), r"Changed: .*the term 'forces' \(1o\), got force$"),
        (Changed(lambda out: {}), "got nothing"),
        (Changed(lambda out: out["forces"]), "a dict of tensors by term, got Tensor"),
        (
            changed(energy=lambda out: out["energy"][:, 0]),
            r"energy: .*shape \[6, 1\].*0e.*found|got shape \[6\]; reshape",
        ),
        (
            changed(forces=lambda out: out["forces"].flatten(1)),
            r"forces: .*shape \[6, \d, 3\] .*1o.* got shape \[6, \d+\]",
        ),
        (changed(forces=lambda out: out["forces"].long()), "real floating-point numbers, got torch.int64"),
        (changed(forces=lambda out: out["forces"] + 0j), "real floating-point numbers, got torch.complex64"),
        (changed(energy=lambda out: 1.0), "real floating-point numbers, got float"),
    ],
)
def test_check_shapes__refuses_a_prediction_that_cannot_be_compared_with_the_target(model, text):
    refused(text, model)


def poisoned(rows, value=torch.nan):
    def energy(out):
        spoilt = out["energy"].clone()
        spoilt[rows[: len(spoilt)]] = value
        return spoilt

    return changed(energy=energy)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_check_finite__states_the_number_of_such_samples_and_the_first(value):
    refused(
        r"energy: expected finite numbers.* in 2 of 6 samples, the first is number 3 .*dtype", poisoned([3, 5], value)
    )


def test_check_finite__refuses_nan_on_padding_and_says_so():
    def forces(out):
        zero = (out["forces"] == 0).all(-1, keepdim=True)
        return out["forces"].masked_fill(zero, torch.nan)

    refused(r"forces: expected finite numbers.*on padding only: fill it with 0", changed(forces=forces))


def test_check_model_and_task__leaves_the_model_and_the_random_state_unchanged():
    task, batch, R = few()
    model = Through(torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5)))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    with pytest.raises(UserError):
        checks.check_model_and_task(model, task, batch, R)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.training


@pytest.mark.parametrize(
    ("irreps", "text"),
    [
        ("2e", r"term forces: expected a target whose last axis has the dimension 5 .*'2e', got shape \[6, \d, 3\]"),
        ("0e+2e", "dimension 6 of its irreps '0e\\+2e'"),
        ("vector", "expected irreps such as '0e', '1o' or '0e\\+2e', got 'vector'"),
    ],
)
def test_check_irreps__refuses_a_term_that_does_not_fit(irreps, text):
    task = toys.force_field()
    task.terms = (Term("forces", irreps), task.terms[1])
    refused(text, task=task)


def test_check_irreps__refuses_inputs_that_do_not_fit_or_do_not_exist():
    task, batch, R = few()
    task.irreps_in = {"position": "1o"}
    refused("irreps_in: expected the name of an input, got 'position'; did you mean 'positions'", task=task)
    task.irreps_in = {"positions": "2e"}
    refused("input positions: expected an input whose last axis has the dimension 5", task=task)
    task.irreps_in = {"positions": "1o"}
    flat = dataclasses.replace(batch, inputs=batch.inputs | {"positions": batch.inputs["positions"].flatten(1)})
    with pytest.raises(UserError, match="order the components along the last axis"):
        checks.check_model_and_task(toys.Well(), task, flat, R)


class Careless(toys.Well):
    """Well that does something to its inputs first."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, inputs):
        given = dict(inputs)
        self.what(inputs)
        return super().forward(given)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (lambda i: i.pop("numbers"), "removes 'numbers'"),
        (lambda i: i.update(mask=1), "adds 'mask'"),
        (lambda i: i.update(positions=2 * i["positions"]), "replaces 'positions'"),
        (lambda i: i["numbers"].clamp_(max=1), "overwrites 'numbers' in place"),
    ],
)
def test_checked_pass__refuses_a_model_that_changes_its_inputs(what, text):
    refused(f"a model that leaves its inputs as they are, got one that {text}; begin forward with", Careless(what))


def test_checked_pass__names_the_remedy_for_forces_without_enable_grad():
    class Conservative(toys.Well):
        def forward(self, inputs):
            x = inputs["positions"].detach().requires_grad_()
            energy = super().forward(inputs | {"positions": x})["energy"]
            return {"energy": energy, "forces": -torch.autograd.grad(energy.sum(), x)[0]}

    refused(r"predicts within torch\.no_grad, .*put them into `with torch\.enable_grad\(\):`", Conservative())


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (lambda w: (w > 0).float(), r"sum to 1 over a sample, .* got 6 of 6 .* of sum \d; for a plain mean divide"),
        (lambda w: w - 0.01, "weights of at least 0"),
        (lambda w: w * torch.nan, "finite weights"),
        (lambda w: w[:, :1], "one weight for each vector"),
    ],
)
def test_check_batch__refuses_weights_that_are_no_shares(weights, text):
    batch = few()[1]
    spoilt = dataclasses.replace(batch, weights=batch.weights | {"forces": weights(batch.weights["forces"])})
    refused(f"weights of forces: .*{text}", batch=spoilt)


def test_check_batch__refuses_targets_that_are_not_finite_and_passes_weights_below_one():
    task, batch, R = few()
    spoilt = dataclasses.replace(batch, targets=batch.targets | {"energy": batch.targets["energy"] * torch.nan})
    refused("target of energy: expected finite numbers, got NaN or infinity in 6 of 6", batch=spoilt)
    half = dataclasses.replace(batch, weights={k: 0.5 * v for k, v in batch.weights.items()})
    checks.check_model_and_task(toys.Well(), task, half, R)


def test_check_irreps__refuses_integers_that_would_turn():
    batch = few()[1]
    spoilt = dataclasses.replace(batch, targets=batch.targets | {"forces": batch.targets["forces"].long()})
    refused(r"term forces: expected a floating-point tensor, as '1o' is rotated, got torch\.int64", batch=spoilt)
    spoilt = dataclasses.replace(batch, inputs=batch.inputs | {"positions": batch.inputs["positions"].long()})
    refused("input positions: expected a floating-point tensor", batch=spoilt)
