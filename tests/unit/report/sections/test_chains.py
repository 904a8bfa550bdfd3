"""Figures of flows and of datasets of chains, against the stores."""

import numpy as np
import pytest
import synthetic
import toys

from twirlscope import plugins
from twirlscope.datasets.protein import ca_statistics
from twirlscope.datasets.protein.backbones import Backbones
from twirlscope.report.sections import chains
from twirlscope.report.trainings import Training


def test_generated__gives_distances_of_neighbours_and_difference_of_histograms(measured):
    training, _ = measured
    figure = chains.generated([training, Training("b", 0, None, synthetic.twirl())])
    assert len(figure) == 1
    shares = training.twirl["distance_share"].values
    apart = 50 * np.abs(shares[0] - shares[1]).sum()
    assert f"those of the data in {apart:.3g} % of the pairs" in figure[0].alternative
    first = training.twirl["generated_positions"].values[: int(training.twirl["generated_atoms"][0])]
    assert len(figure[0].numbers) == training.twirl.sizes["distance"]
    assert np.linalg.norm(np.diff(first, axis=0), axis=1).mean() > 0.5  # not trained: no chain


class Walks(Backbones):
    """Random walks as a dataset."""

    def read(self, part):
        raise NotImplementedError


def test_compared__puts_a_dataset_beside_real_chains_of_its_lengths():
    settings = plugins.find("dataset", "synthetic_backbones").Settings(split_by="chain")
    data = toys.backbones(20).drop_vars(["split", "cluster"]).assign_coords(sample=np.arange(20))
    data = Walks(settings).finish(data)
    x = data["ca_positions"].values[: int(data["atoms"][0])].astype(float)
    assert float(data["radius_of_gyration"][0]) == pytest.approx(ca_statistics.radius_of_gyration(x))
    far = [(i, j) for i in range(len(x)) for j in range(i + 4, len(x))]
    contacts = sum(np.linalg.norm(x[i] - x[j]) < 0.8 for i, j in far) / len(x)
    assert float(data["contacts"][0]) == pytest.approx(contacts)
    longer = data.assign(atoms=data["atoms"] + 60)
    figures = chains.compared({"walks": longer, "molecules": toys.frames()})
    assert [f.name for f in figures] == ["chains_walks"]
    table = figures[0].numbers.data
    real = table[table["chains"] != "walks"]["residues"]
    assert len(real) > 5
    assert real.between(longer["atoms"].min().item(), longer["atoms"].max().item()).all()
    assert "walks" in figures[0].alternative
