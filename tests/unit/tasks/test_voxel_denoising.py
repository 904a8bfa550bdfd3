"""The task on grids against atoms that are put there by hand, and models whose split is known."""

import numpy as np
import pytest
import torch
import toys

from twirlscope import contracts, plugins
from twirlscope.errors import UserError
from twirlscope.geometry import action, rotation_sets, so3, voxels
from twirlscope.settings import train
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.training.loop import Loop
from twirlscope.twirling import measure

SMALL = {"size": 8, "resolution": 1.0}
GROUP = rotation_sets.rotation_set("O").quaternion


def make(**settings):
    return plugins.make_task({"name": "voxel_denoising", **SMALL, **settings}, toys.molecules())


def haar(samples, seed=0):
    return so3.matrix(so3.haar(samples, generator=torch.Generator().manual_seed(seed))).float()


def test_batch__is_the_clean_grid_plus_white_noise_of_the_given_size():
    task, index = make(sigma=0.7), np.arange(40)
    batch = task.batch(index)
    noise = (batch.inputs["grid"] - batch.targets["density"]).double()
    count = noise.numel() ** 0.5
    assert abs(noise.mean().item()) < 4 * 0.7 / count
    assert abs(noise.std().item() / 0.7 - 1) < 4 / (2**0.5 * count)
    flat = noise.flatten(1)
    overlap = (flat @ flat.T)[~torch.eye(40, dtype=torch.bool)] / 0.49 / flat.shape[1] ** 0.5
    assert overlap.abs().max() < 5  # independent between samples
    assert torch.equal(task.batch(index[3:5]).inputs["grid"], batch.inputs["grid"][3:5])


def test_batch__does_not_know_its_neighbours_and_puts_atoms_where_they_are():
    task = make(sigma=0.0, shift=0.0)
    batch, data = task.batch(np.array([7])), toys.molecules()
    ends = np.cumsum(data["atoms"].values)
    atoms = slice(ends[6], ends[7])
    positions = torch.from_numpy(data["positions"].values[atoms])
    random = np.random.default_rng([0x70CE1, 7])
    turn = so3.matrix(torch.from_numpy(random.normal(size=4))).float()
    numbers = torch.from_numpy(data["numbers"].values[atoms].astype(np.int64))
    expected = voxels.voxelise(((positions - positions.mean(0)) @ turn.T)[None], numbers[None], task.grid)
    torch.testing.assert_close(batch.targets["density"], expected, atol=1e-6, rtol=0)
    assert torch.equal(batch.inputs["grid"], batch.targets["density"])


def test_training_batch__turns_atoms_by_any_rotation_before_they_are_put_on_the_grid():
    task, index, rotation = make(sigma=0.0, shift=0.0), np.arange(4), haar(4)
    numbers, positions = (torch.from_numpy(a) for a in task._atoms(index))
    found = task.training_batch(index, np.random.default_rng(0), rotation, "cpu")
    expected = voxels.voxelise(positions @ rotation.mT, numbers, task.grid)
    torch.testing.assert_close(found.targets["density"], expected, atol=1e-6, rtol=0)
    plain = task.training_batch(index, np.random.default_rng(0), None, "cpu")
    torch.testing.assert_close(plain.targets["density"], voxels.voxelise(positions, numbers, task.grid))


def test_training_batch__draws_shift_and_noise_anew_at_every_visit_and_again_from_the_same_seed():
    task, index = make(), np.arange(4)
    first, second, again = (task.training_batch(index, np.random.default_rng(s), None, "cpu") for s in (0, 1, 0))
    assert torch.equal(first.inputs["grid"], again.inputs["grid"])
    for batch in (first, second):
        noise = batch.inputs["grid"] - batch.targets["density"]
        assert abs(noise.std().item() / 0.9 - 1) < 0.05
    assert not torch.allclose(first.targets["density"], second.targets["density"], atol=1e-3)


def test_shift__moves_molecules_by_up_to_its_value_along_every_axis():
    shifted, still = make(sigma=0.0, shift=0.5, size=16, resolution=0.5), make(sigma=0.0, shift=0.0, size=16)
    index = np.arange(40)
    axis = shifted.grid.centres(torch.zeros(()))

    def centre(batch):
        mass = batch.targets["density"].sum(-1)
        along = [mass.sum(dim=[d for d in (1, 2, 3) if d != k]) @ axis / mass.sum((1, 2, 3)) for k in (1, 2, 3)]
        return torch.stack(along, -1)

    moved = centre(shifted.batch(index)) - centre(make(sigma=0.0, shift=0.0, size=16, resolution=0.5).batch(index))
    assert still.settings.shift == 0
    assert moved.abs().max() < 0.51
    assert moved.abs().max() > 0.4
    assert moved.mean(0).abs().max() < 4 * 0.5 / 3**0.5 / 40**0.5


def test_rotate__of_the_group_is_that_of_the_atoms_and_of_nothing_else():
    task, index = make(sigma=0.0, shift=0.0), np.arange(24)
    batch, rotation = task.batch(index), so3.matrix(GROUP).float()
    turned = task.rotate(batch, rotation)
    numbers, positions = (torch.from_numpy(a) for a in task._atoms(index))
    own = torch.stack([so3.matrix(torch.from_numpy(np.random.default_rng([0x70CE1, i]).normal(size=4))) for i in index])
    expected = voxels.voxelise(positions @ (rotation @ own.float()).mT, numbers, task.grid)
    torch.testing.assert_close(turned.targets["density"], expected, atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="24 rotations of a cube"):
        task.rotate(batch, haar(24))


class Symmetric(contracts.Model):
    """A convolution network made exactly equivariant: its mean over the group, or filters that are symmetric."""

    task = "voxel_denoising"

    def __init__(self, channels, averaged):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv3d(channels, 4, 3, padding=1)
        self.last = torch.nn.Conv3d(4, channels, 3, padding=1)
        self.averaged = averaged
        if not averaged:
            rotation = so3.matrix(GROUP).float()
            with torch.no_grad():
                for layer in (self.first, self.last):
                    fields = layer.weight.flatten(0, 1)[..., None]
                    turned = [action.rotate("grid 0e", r.expand(len(fields), 3, 3), fields) for r in rotation]
                    layer.weight.copy_(torch.stack(turned).mean(0)[..., 0].reshape(layer.weight.shape))

    def net(self, grid):
        return self.last(torch.tanh(self.first(grid.movedim(-1, 1)))).movedim(1, -1)

    def forward(self, inputs):
        grid, total = inputs["grid"], 0
        if not self.averaged:
            return {"density": self.net(grid)}
        for r in so3.matrix(GROUP).to(grid):
            r = r.expand(len(grid), 3, 3)
            total = total + action.twist("grid 0e", r, self.net(action.rotate("grid 0e", r, grid))) / 24
        return {"density": total}


@pytest.mark.parametrize("averaged", [True, False])
def test_measure__of_an_exactly_equivariant_network_is_zero_to_floating_point(averaged):
    task = make()
    model = Symmetric(len(task.grid.channels), averaged)
    found = measure.measure(model, task, np.arange(6), TwirlSettings(rotations=4))
    assert found["loss_equiv"].max() < 1e-12 * found["loss_total"].min()
    plain = Symmetric(len(task.grid.channels), True)
    plain.averaged = False
    assert measure.measure(plain, task, np.arange(6))["percent_equiv"].min() > 0.1


def test_measure__from_a_few_rotations_agrees_with_the_whole_group():
    task = make()
    model = Symmetric(len(task.grid.channels), True)
    model.averaged = False
    index = np.arange(30)
    found = measure.measure(model, task, index, TwirlSettings(rotations=8, losses=[]))["sample_loss_equiv"]
    whole = []
    for i in index:
        batch = task.batch(np.array([i])).repeat(24)
        rotation = so3.matrix(GROUP).float()
        with torch.no_grad():
            z = action.twist("grid 0e", rotation, model(task.rotate(batch, rotation).inputs)["density"]).double()
        whole.append(z.var(0, unbiased=False).mean().item())
    apart = found.sel(term="density").values - np.array(whole)
    assert abs(apart.mean()) < 3 * apart.std(ddof=1) / len(index) ** 0.5
    assert apart.std() > 0


def test_task__refuses_a_molecule_that_leaves_the_grid():
    with pytest.raises(UserError, match=r"fit into the grid of 4 Å in every orientation.*raise size or resolution"):
        make(size=8, resolution=0.5)


def test_train__takes_a_step_and_comes_down():
    task = make()
    run = {"model": {"name": "voxel_unet"}, "seed": 0}
    settings = train.TrainSettings(steps=6, batch=4, warmup=0, learning_rate=5e-3)
    loop = Loop(task, run, settings, np.arange(30))
    for _ in range(6):
        loop.update()
    assert loop.curve.loss[-1] < loop.curve.loss[0]


@pytest.mark.parametrize("kind", ["atoms", "trilinear"])
def test_rotate__of_all_rotations_puts_turned_atoms_on_the_grid_again(kind):
    task, index, rotation = make(action=kind, size=16, resolution=0.5), np.arange(6), haar(6)
    batch = task.batch(index)
    turned = task.rotate(batch, rotation)
    positions = batch.inputs["positions"] @ rotation.mT
    expected = voxels.voxelise(positions, batch.inputs["numbers"], task.grid)
    torch.testing.assert_close(turned.targets["density"], expected, atol=1e-5, rtol=0)
    noise = turned.inputs["grid"] - expected
    assert abs(noise.std().item() / 0.9 - 1) < 0.02 if kind == "atoms" else noise.std() < 0.6
    plain = make(size=16, resolution=0.5).batch(index)  # the same samples whatever turns them
    assert torch.equal(plain.inputs["grid"], batch.inputs["grid"])


class Smooth(contracts.Model):
    """A round blur within a sphere: equivariant under all rotations, but for the grid."""

    task = "voxel_denoising"

    def forward(self, inputs):
        line = torch.exp(-(torch.arange(-4.0, 5.0) ** 2) / (2 * 1.5**2)).to(inputs["grid"])
        field = inputs["grid"].movedim(-1, 1)
        shape, channels = [1, 1, 1], field.shape[1]
        for axis in range(3):
            kernel = (line / line.sum()).reshape([*shape[:axis], 9, *shape[axis + 1 :]])
            weight = kernel.expand(channels, 1, *kernel.shape)
            field = torch.nn.functional.conv3d(field, weight, padding="same", groups=channels)
        axis = torch.arange(16.0) - 7.5
        inside = torch.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 2 / 2.5**2)
        return {"density": (field * inside).movedim(1, -1)}


def test_measure__of_a_round_blur_is_next_to_nothing_with_turned_atoms_and_more_by_trilinear_interpolation():
    index, settings = np.arange(12), TwirlSettings(rotations=4, losses=[])
    percent = {}
    for kind in ("octahedral", "atoms", "trilinear"):
        task = make(action=kind, size=16, resolution=0.5)
        percent[kind] = measure.measure(Smooth(), task, index, settings)["percent_equiv"].sel(term="density").item()
    assert abs(percent["octahedral"]) < 1e-6
    assert 0 < percent["atoms"] < 0.01
    assert percent["trilinear"] > 5 * percent["atoms"]


def test_metrics__of_clean_grids_find_all_atoms_and_of_noise_none():
    task, index = make(size=16, resolution=0.5, sigma=0.0), np.arange(20)
    clean = task.metrics(index, task.batch(index).targets)
    assert clean["atoms found"].mean() > 0.8  # random molecules, whose atoms may overlap
    assert clean["atoms made up"].mean() < 0.2
    nothing = task.metrics(index, {"density": torch.zeros_like(task.batch(index).targets["density"])})
    assert not nothing["atoms found"].any()
    assert not nothing["atoms made up"].any()
