"""twirlscope: how fast, how completely and why neural networks learn 3D rotational symmetry.

In a notebook: `twirlscope.open_store("results/runs/.../twirl.zarr.zip")` gives an xarray Dataset;
`twirlscope.measure(predict, twirlscope.FixedBatchTask(batch, ...))` measures a model of your own;
`twirlscope.twirl_calculator(calculator, frames)` measures any calculator of ASE.
"""

from importlib import import_module

_PUBLIC = {
    "open_store": "storage.store",
    "load": "storage.store",
    "save": "storage.registry",
    "twisted": "twirling.twisting",
    "measure": "twirling.measure",
    "measure_layers": "twirling.layers.measure",
    "twirl_calculator": "twirling.potentials.calculator",
    "FixedBatchTask": "twirling.twisting",
    "twirled": "twirling.averaging",
    "frame_averaged": "twirling.frame_averaging",
    "inner_products": "twirling.twisting",
    "rotation_set": "geometry.rotation_sets",
    "smallest": "geometry.rotation_sets",
    "spectrum_fit": "estimators.degree_spectrum",
    "split": "estimators.loss_split",
    "percent": "estimators.loss_split",
    "Trained": "training.checkpoints",
    "split_index": "sources",
    "Batch": "contracts",
    "Evaluation": "contracts",
    "Term": "contracts",
    "Task": "contracts",
    "Model": "contracts",
    "Objective": "objective",
    "Rows": "objective",
    "single_views": "objectives.common.views",
    "several_views": "objectives.common.views",
    "weighted_loss": "losses",
    "Dataset": "sources",
    "Part": "sources",
    "Reject": "sources",
    "LayersSettings": "settings.layers",
    "Settings": "settings.base",
    "DatasetSettings": "settings.prepare",
    "key": "settings.base",
    "LayerNorm": "models.layers.norms",
    "UserError": "errors",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    """Public names are imported on first use: importing the package is instant."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'twirlscope' has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
