"""Each mistake raises an error that names it and the remedy; right models and tasks pass."""

import dataclasses

import numpy as np
import pytest
import torch
import toys

from twirlscope.contracts import Term
from twirlscope.errors import UserError
from twirlscope.geometry import so3
from twirlscope.twirling import checks


def few(samples=6):
    task = toys.force_field()
    return task, task.batch(np.arange(samples)), rotation(samples)


def rotation(samples):
    return so3.matrix(so3.haar(samples, generator=torch.Generator().manual_seed(0))).float()


def refused(text, model=None, task=None, batch=None, R=None):
    default = few()
    task, batch, R = task or default[0], batch or default[1], default[2] if R is None else R
    with pytest.raises(UserError, match=text):
        checks.check_model_and_task(toys.Well() if model is None else model, task, batch, R)


class Changed(toys.Well):
    """Well whose output passes through a function."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, inputs):
        return self.change(super().forward(inputs))


class Through(toys.Well):
    """Well whose forces pass through a module."""

    def __init__(self, module):
        super().__init__()
        self.inner = torch.nn.Sequential(module)

    def forward(self, inputs):
        out = super().forward(inputs)
        return out | {"forces": self.inner(out["forces"].flatten(0, 1)).reshape(out["forces"].shape)}


def changed(**new):
    return Changed(lambda out: out | {k: f(out) for k, f in new.items()})


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


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Through(torch.nn.Dropout(0.5)), r"in training mode: inner\.0 \(Dropout\); call model\.eval\(\)"),
        (changed(forces=lambda out: out["forces"] + torch.randn(3)), r"look for functional dropout or sampling"),
    ],
)
def test_check_deterministic__refuses_a_random_model(model, text):
    refused(rf"term forces: expected the same prediction for the same batch, .* apart .*{text}", model)


def test_check_deterministic__names_no_module_for_a_functional_dropout():
    model = changed(forces=lambda out: torch.nn.functional.dropout(out["forces"], 0.5))
    refused("no dropout or batch norm is in training mode", model)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Through(torch.nn.BatchNorm1d(3)), r"apart .*in training mode: inner\.0 \(BatchNorm1d\); call model\.eval\(\)"),
        (changed(forces=lambda out: out["forces"] - out["forces"].abs().max()), "sums over the batch or unmasked"),
    ],
)
def test_check_samples_independent__refuses_a_model_that_mixes_samples(model, text):
    refused(rf"term forces: expected the same prediction for a sample alone .*{text}", model)


def test_check_samples_independent__refuses_a_model_that_fails_for_one_sample():
    """Batch norm of one value per sample has no variance to divide by."""

    class Normed(toys.Well):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(1)

        def forward(self, inputs):
            out = super().forward(inputs)
            return out | {"energy": self.norm(out["energy"])}

    refused(
        r"ValueError for a sample alone \(Expected more than 1 value.*norm \(BatchNorm1d\); call model\.eval", Normed()
    )


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


def test_check_model_and_task__asks_for_two_passes_and_a_sample_alone():
    task, batch, R = few()
    sizes = []

    def model(inputs):
        sizes.append(len(inputs["positions"]))
        return toys.Well()(inputs)

    checks.check_model_and_task(model, task, batch, R)
    assert sizes == [6, 6, 1]


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
