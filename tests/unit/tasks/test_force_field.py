"""The force-field task against its data."""

import numpy as np
import torch
import toys

from twirlscope.geometry import so3
from twirlscope.sources import split_index
from twirlscope.tasks.force_field import ForceField


def test_batch__holds_each_molecule_and_nothing_of_its_neighbours():
    task, data = toys.force_field(), toys.frames()
    index = np.array([5, 0, 17])
    batch = task.batch(index)
    ends = np.cumsum(data["atoms"].values)
    for row, sample in enumerate(index):
        atoms = slice(ends[sample] - data["atoms"].values[sample], ends[sample])
        n = atoms.stop - atoms.start
        np.testing.assert_allclose(batch.targets["forces"][row, :n], data["forces"].values[atoms], atol=1e-7)
        np.testing.assert_array_equal(batch.inputs["numbers"][row, :n], data["numbers"].values[atoms])
        assert not batch.inputs["numbers"][row, n:].any()
        assert not batch.targets["forces"][row, n:].any()


def test_batch__is_centred_and_weights_sum_to_one():
    batch = toys.force_field().batch(np.arange(10))
    assert batch.inputs["positions"].sum(1).abs().max() < 1e-5
    for weights in batch.weights.values():
        torch.testing.assert_close(weights.reshape(10, -1).sum(1), torch.ones(10))


def test_batch__energy_is_that_of_an_atom_less_references():
    data = toys.frames()
    data["reference_energy"][:] = [1.5, -2.0]
    data["energy_scale"] = 2.0

    found = ForceField(ForceField.Settings(), data).batch(np.array([3])).targets["energy"].item()
    first = data["atoms"].values[:3].sum()
    numbers = data["numbers"].values[first : first + data["atoms"].values[3]]
    reference = sum({1: 1.5, 6: -2.0}[z] for z in numbers)
    np.testing.assert_allclose(found, (data["energy"].values[3] - reference) / len(numbers) / 2, rtol=1e-6)


def test_repeat__keeps_copies_of_a_sample_together():
    batch = toys.force_field().batch(np.arange(3)).repeat(2)
    assert len(batch) == 6
    torch.testing.assert_close(batch.inputs["positions"][0], batch.inputs["positions"][1])


def test_rotate__turns_positions_and_forces_and_not_elements_and_energies():
    task = toys.force_field()
    batch = task.batch(np.arange(4))
    R = so3.matrix(so3.haar(4, generator=torch.Generator().manual_seed(0))).float()
    turned = task.rotate(batch, R)
    expected = torch.einsum("sij,saj->sai", R, batch.inputs["positions"])
    torch.testing.assert_close(turned.inputs["positions"], expected)
    expected = torch.einsum("sij,saj->sai", R, batch.targets["forces"])
    torch.testing.assert_close(turned.targets["forces"], expected)
    assert torch.equal(turned.inputs["numbers"], batch.inputs["numbers"])
    assert torch.equal(turned.targets["energy"], batch.targets["energy"])


def test_split_index__partitions_the_samples():
    data = toys.frames()
    both = np.concatenate([split_index(data, "train"), split_index(data, "test")])
    np.testing.assert_array_equal(np.sort(both), np.arange(data.sizes["sample"]))


def test_batch__takes_element_references_by_name_not_by_place():
    data = toys.frames()
    data["reference_energy"].values[:] = [-13.6, -1030.0]
    a, b = (ForceField(ForceField.Settings(), d).batch(np.arange(9)) for d in (data, data.isel(element=[1, 0])))
    assert torch.equal(a.targets["energy"], b.targets["energy"])
    count = (a.inputs["numbers"][..., None] == torch.tensor([1, 6])).sum(1)
    energy = data["energy"].values[:9] - count.numpy() @ np.array([-13.6, -1030.0])
    np.testing.assert_allclose(a.targets["energy"][:, 0], energy / data["atoms"].values[:9], rtol=1e-6)
