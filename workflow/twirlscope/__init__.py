"""twirlscope: how fast, how completely and why neural networks learn 3D rotational symmetry.

In a notebook: `twirlscope.open_store("results/runs/.../twirl.zarr.zip")` gives an xarray Dataset;
`twirlscope.measure(predict, twirlscope.Given(batch, ...))` measures a model of your own.
"""

from importlib import import_module

_PUBLIC = {
    "open_store": "store",
    "load": "store",
    "save": "store",
    "twisted": "twirling",
    "measure": "twirl",
    "Given": "twirling",
    "twirled": "averaging",
    "frame_averaged": "frame_averaging",
    "inner_products": "twirling",
    "rotation_set": "rotation_sets",
    "smallest": "rotation_sets",
    "spectrum_fit": "spectrum",
    "split": "estimators",
    "percent": "estimators",
    "Trained": "checkpoints",
    "split_index": "contracts",
    "Batch": "contracts",
    "Term": "contracts",
    "Task": "contracts",
    "Model": "contracts",
    "Dataset": "contracts",
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
