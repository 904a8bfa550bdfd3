"""Notes on few clusters, and on held-out samples of one molecule."""

import numpy as np
import synthetic
import xarray as xr

from twirlscope.report.clusters import cluster_notes
from twirlscope.report.trainings import Training


def trained(clusters, run="a", panel=None, **more):
    """A training whose 40 held-out samples are in so many clusters."""
    data = synthetic.twirl().assign(cluster=("sample", np.arange(40, dtype=np.int32) % clusters), **more)
    if panel is not None:
        data["panel_cluster"] = ("panel", np.array(panel, np.int32))
    return Training(run, 0, None, data, dataset="md")


def test_cluster_notes__say_once_per_dataset_where_clusters_are_few():
    (note,) = cluster_notes([trained(19, "a"), trained(19, "b")], {})
    assert note.startswith("Intervals and standard errors over samples are approximate")
    assert note.endswith("such as molecules: dataset md 19 (held-out samples).")
    (note,) = cluster_notes([trained(19, "a"), trained(7, "b")], {})
    assert note.endswith(": dataset md 7 to 19 (held-out samples).")
    assert cluster_notes([trained(20)], {}) == []
    (note,) = cluster_notes([trained(30, panel=[0, 0, 1, 2])], {})
    assert note.endswith(": dataset md 3 (panel).")


def test_cluster_notes__count_every_test_set_once():
    sets = {
        "set_cluster": ("set_sample", np.arange(60, dtype=np.int32) % 30 // 6),
        "set_number": ("set_sample", np.repeat([0, 1], 30).astype(np.int16)),
        "test_set": np.array(["test", "far"], object),
    }
    (note,) = cluster_notes([trained(20, **sets)], {})
    assert note.endswith(": dataset md 5 (test set far).")


def test_cluster_notes__say_where_all_held_out_samples_are_of_one_molecule():
    molecule = xr.Dataset({"molecule": ("sample", np.zeros(40, np.int32))})
    (note,) = cluster_notes([trained(40)], {"md": molecule})
    assert note.startswith("Dataset md: all held-out samples are of one molecule.")
    molecule["molecule"][3] = 1
    assert cluster_notes([trained(40)], {"md": molecule}) == []
    assert cluster_notes([trained(40)], {"md": molecule.drop_vars("molecule")}) == []
