"""Random models, and models that mix the samples of a batch, are refused with the modules that may cause it."""

import dataclasses

import numpy as np
import pytest
import torch
import toys
from refusals import Through, changed, few, refused

from twirlscope.twirling.checks.model_and_task import check_model_and_task


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Through(torch.nn.Dropout(0.5)), r"in training mode: inner\.0 \(Dropout\); call model\.eval\(\)"),
        (changed(forces=lambda out: out["forces"] + torch.randn(3)), r"look for functional dropout or sampling"),
    ],
)
def test_check_deterministic__refuses_a_random_model(model, text):
    refused(rf"term forces: expected the same prediction for the same batch, .* apart .*{text}", model)


def test_check_deterministic__says_that_no_module_is_in_training_mode_only_where_this_is_true():
    model = changed(forces=lambda out: torch.nn.functional.dropout(out["forces"], 0.5))
    refused(r"in training mode: the model itself \(Changed\); call model\.eval\(\) first, then look for f", model)
    refused("no module is in training mode: look for functional dropout", model.eval())
    refused(r"put the modules in this function into evaluation mode, with \.eval\(\), or", lambda inputs: model(inputs))


def test_check_deterministic__names_modules_with_a_dropout_of_their_own():
    class Attention(toys.Well):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(3, 1, dropout=0.5, batch_first=True)

        def forward(self, inputs):
            out = super().forward(inputs)
            return out | {"forces": out["forces"] + self.attention(*[inputs["positions"]] * 3)[0]}

    refused(r"in training mode: attention \(MultiheadAttention\); call model\.eval\(\) first", Attention())


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Through(torch.nn.BatchNorm1d(3)), r"apart .*in training mode: inner\.0 \(BatchNorm1d\); call model\.eval\(\)"),
        (changed(forces=lambda out: out["forces"] - out["forces"].abs().max()), "sums over the batch, unmasked"),
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
        r"ValueError for a sample alone as in a batch \(Expected more than 1 .*norm \(BatchNorm1d\); call model\.eval",
        Normed(),
    )


def previous(out):
    """Forces with a hundredth of those of the previous sample; the first sample is right."""
    return out["forces"] + 0.01 * torch.cat([torch.zeros_like(out["forces"][:1]), out["forces"][:-1]])


def seeded(out):
    """Forces with noise from a fixed seed: the same at every call, another one in each place of the batch."""
    noise = torch.randn(out["forces"].shape, generator=torch.Generator().manual_seed(0))
    return out["forces"] + 0.1 * noise


def by_size(out):
    """Forces that depend on the size of the batch, beyond six samples."""
    return out["forces"] * (1.1 if len(out["forces"]) > 6 else 1.0)


def reversed_only(out):
    """Forces that depend on the place in a batch of more than one sample, not at its ends."""
    n = len(out["forces"])
    place = torch.arange(n)[:, None, None]
    return out["forces"] * (1 + 0.1 * ((place == 1) & (n > 1)))


@pytest.mark.parametrize(
    ("forces", "text"),
    [
        (previous, "for a sample alone as in a batch"),
        (seeded, "for a sample alone as in a batch|wherever it is"),
        (reversed_only, "for a sample wherever it is in the batch"),
        (by_size, "for a sample in a batch of another size"),
    ],
)
def test_check_samples_independent__refuses_a_prediction_that_depends_on_the_place_in_the_batch(forces, text):
    refused(text, changed(forces=forces).eval(), rows=48)


def test_check_samples_independent__compares_with_the_predictions_outside_the_padding():
    """A large number on padding, which is ignored, does not hide a leak."""

    class Padded(toys.Well):
        def forward(self, inputs):
            out = super().forward(inputs)
            padding = (inputs["numbers"] == 0)[..., None]
            return out | {"forces": torch.where(padding, torch.full_like(out["forces"], 1e6), previous(out))}

    refused("forces: expected the same prediction for a sample alone", Padded().eval())


def test_check_padding_ignored__refuses_a_mean_over_padding():
    class Mean(toys.Well):
        def forward(self, inputs):
            out = super().forward(inputs)
            return out | {"energy": out["forces"].square().mean((1, 2))[:, None]}

    refused("energy: expected the same prediction for a sample with padding", Mean().eval(), index=np.arange(6))


def test_check_padding_ignored__refuses_a_task_whose_samples_depend_on_the_batch():
    task = toys.force_field()
    plain, calls = task.batch, []

    def batch(index):
        calls.append(len(index))
        found = plain(index)
        return dataclasses.replace(found, targets={k: v + 0.1 * len(calls) for k, v in found.targets.items()})

    task.batch = batch
    refused("the same target for a sample with padding", task=task, batch=batch(np.arange(6)), index=np.arange(6))


def test_check_samples_independent__passes_a_right_model_in_every_batch():
    task, batch, R = few()
    sizes = []

    def model(inputs):
        sizes.append(tuple(inputs["positions"].shape[:2]))
        return toys.Well()(inputs)

    check_model_and_task(model, task, batch, R, np.arange(6), 48)
    atoms = batch.inputs["numbers"].shape[1]
    least = int((batch.inputs["numbers"] > 0).sum(1).min())
    assert sizes == [(6, atoms), (6, atoms), (1, atoms), (1, atoms), (6, atoms), (48, atoms), (1, least)]
