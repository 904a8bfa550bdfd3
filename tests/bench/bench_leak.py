"""What held-out samples that are in the train split too do to loss and equivariance error of the voxel run.

    python tests/bench/bench_leak.py [seeds [steps [geometries]]]

Networks are trained on the train split of the default geometries, or on some of it. Each is measured on two test sets:
molecules that it has never seen, and twins, which are training samples at random orientations.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow")]

from twirlscope import plugins
from twirlscope.geometry import so3
from twirlscope.settings.train import TrainSettings, checkpoint_steps
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.stages.gather import Share
from twirlscope.stages.prepare import prepare, prepare_part
from twirlscope.stages.train import train
from twirlscope.stages.twirl import twirl
from twirlscope.storage import store
from twirlscope.storage.arrays.data import DATA

SAMPLES = 100  # of each test set


def with_twins(data: xr.Dataset) -> xr.Dataset:
    """The data with a third split: copies of random training samples, each turned at random."""
    atoms, ends = data["atoms"].values, np.cumsum(data["atoms"].values)
    chosen = np.random.default_rng(0).choice(np.flatnonzero(data["split"].values == 0), SAMPLES)
    copies = data.isel(sample=chosen, atom=np.concatenate([np.arange(ends[i] - atoms[i], ends[i]) for i in chosen]))
    turn = so3.matrix(so3.haar(SAMPLES, generator=torch.Generator().manual_seed(0))).numpy()
    turned = np.einsum("aij,aj->ai", np.repeat(turn, atoms[chosen], 0), copies["positions"].values)
    new = {"positions": turned.astype(np.float32), "split": np.full(SAMPLES, 2, np.int8)}
    both = {
        name: (v.dims, np.concatenate([v.values, new.get(name, copies[name].values)]))
        for name, v in data.data_vars.items()
        if v.dims and v.dims[0] in ("sample", "atom")
    }
    both["split"] = (*both["split"], {"flag_values": [0, 1, 2], "flag_meanings": "train test twins"})
    rest = data.drop_dims(["sample", "atom"])
    return rest.assign(both).assign_coords(sample=np.arange(data.sizes["sample"] + SAMPLES))


def fewer(data: xr.Dataset, count: int) -> xr.Dataset:
    """The data with `count` random samples in the train split."""
    train = np.flatnonzero(data["split"].values == 0)
    kept = np.random.default_rng(1).choice(train, count, replace=False)
    left = np.flatnonzero((data["split"].values != 0) | np.isin(np.arange(data.sizes["sample"]), kept))
    atoms = np.flatnonzero(np.isin(np.repeat(np.arange(data.sizes["sample"]), data["atoms"].values), left))
    return data.isel(sample=left, atom=atoms).assign_coords(sample=np.arange(len(left)))


def main(seeds: int = 3, steps: int = 850, geometries: int = 0) -> None:
    """Print loss, learned fraction and percentage of both test sets, seed by seed."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = plugins.make_dataset(config["datasets"]["geometries"])
        prepare_part(dataset, 0, folder / "part.zarr.zip")
        prepare(dataset, [folder / "part.zarr.zip"], folder / "prepared.zarr.zip")
        data = store.load(folder / "prepared.zarr.zip")
        data = with_twins(fewer(data, geometries) if geometries else data)
        store.save(data, folder / "data.zarr.zip", DATA)
        print(f"{np.bincount(data['split'].values)} samples in train, test and twins", flush=True)
        run = {k: config["runs"]["voxels"][k] for k in ("dataset", "task", "model", "train")}
        settings = TrainSettings(**run["train"] | {"steps": steps, "checkpoints_per_decade": 1})
        count = len(checkpoint_steps(settings))
        for seed in range(seeds):
            out = folder / f"{seed}" / "train.zarr.zip"
            train(folder / "data.zarr.zip", out, run | {"train": settings.model_dump(), "seed": seed}, "")
            for split in ("test", "twins"):
                measure = TwirlSettings(split=split, samples=SAMPLES, panel=0, chunk=96)
                twirl(out, folder / "data.zarr.zip", folder / "twirl.zarr.zip", measure, Share(count - 1, count))
                last = store.load(folder / "twirl.zarr.zip").isel(step=-1, term=0)
                words = (f"{k} {float(last[k]):.4g}" for k in ("loss_total", "loss_mean", "learned_fraction"))
                value, low, high = (
                    float(last[k]) for k in ("percent_equiv", "percent_equiv_low", "percent_equiv_high")
                )
                print(f"seed {seed} {split}: {', '.join(words)}, {value:.3g} % ({low:.3g} to {high:.3g})", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
