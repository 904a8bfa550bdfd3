"""Figures and tables of flows: what they say, against what the stores hold."""

import numpy as np
import pytest
import synthetic
import torch
import toys

from twirlscope import plugins
from twirlscope.datasets.protein import ca_statistics
from twirlscope.datasets.protein.backbones import Backbones
from twirlscope.models.protein_transformer import ProteinTransformer
from twirlscope.report.sections import chains, loss_parts
from twirlscope.report.trainings import Training
from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import measure


@pytest.fixture(scope="module")
def measured():
    """A flow on random walks, measured without training."""
    torch.set_num_threads(1)
    task = plugins.make_task({"name": "flow_matching", "generate": 4, "generate_steps": 2}, toys.backbones(60))
    torch.manual_seed(0)
    model = ProteinTransformer(ProteinTransformer.Settings(width=8, heads=2, layers=1), {}).eval()
    one = measure.measure(model, task, np.arange(60), TwirlSettings())
    data = one.expand_dims("step").assign(sample_covariate=one["sample_covariate"])
    data = data.merge(task.generate(model, "cpu")).assign_attrs(covariate=task.covariate[1])
    return Training("flow", 0, None, data, dataset="walks"), task


def test_covariate__is_the_time_of_each_sample(measured):
    training, task = measured
    times = task.batch(np.arange(60)).inputs["time"].numpy()
    np.testing.assert_array_equal(training.twirl["sample_covariate"], times.astype(np.float64))


def test_by_covariate__bins_add_up_to_the_whole_and_are_in_order(measured):
    training, _ = measured
    figure = loss_parts.by_covariate([training], "velocity")
    table, last = figure.table, training.twirl.sel(term="velocity").isel(step=-1)
    assert table["samples [1]"].sum() == 60
    assert (table["low [1]"].to_numpy()[1:] >= table["high [1]"].to_numpy()[:-1]).all()
    for part in ("total", "mean", "equiv"):
        mean = np.average(table[f"loss_{part} [1]"], weights=table["samples [1]"])
        assert mean == pytest.approx(float(last[f"loss_{part}"]))
    chosen = last["sample_covariate"].values <= table["high [1]"][0]
    equiv = last["sample_loss_equiv"].values[chosen].mean() / last["sample_loss_total"].values[chosen].mean()
    assert table["percent_equiv [percent]"][0] == pytest.approx(100 * equiv)
    assert "time on the path" in figure.title
    assert "random walks" not in figure.alternative


def test_by_covariate__is_left_out_where_the_loss_depends_on_no_number():
    assert loss_parts.by_covariate([Training("a", 0, None, synthetic.twirl())], "forces") is None


def test_generated__says_how_far_neighbours_and_histograms_are_apart(measured):
    training, _ = measured
    figure = chains.generated([training, Training("b", 0, None, synthetic.twirl())])
    assert len(figure) == 1
    shares = training.twirl["distance_share"].values
    apart = 50 * np.abs(shares[0] - shares[1]).sum()
    assert f"differ in {apart:.3g} %" in figure[0].alternative
    first = training.twirl["generated_positions"].values[: int(training.twirl["generated_atoms"][0])]
    assert len(figure[0].table) == training.twirl.sizes["distance"]
    assert np.linalg.norm(np.diff(first, axis=0), axis=1).mean() > 0.5  # not trained: no chain
    assert "SO(3)" in figure[0].caption


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
    table = figures[0].table
    real = table[table["chains"] != "walks"]["residues [1]"]
    assert len(real) > 5
    assert real.between(longer["atoms"].min().item(), longer["atoms"].max().item()).all()
    assert "random walks (synthetic)" in figures[0].caption


def test_excess__is_counted_from_the_best_run_on_the_same_dataset():
    store = synthetic.twirl(steps=(0, 10, 100), trivial=[True, False, False])
    first = store.assign(sample_covariate=("sample", np.zeros(store.sizes["sample"])))
    second = first.assign(loss_total=first["loss_total"] + 0.5)
    runs = [Training("a", 0, None, first, dataset="d"), Training("b", 0, None, second, dataset="d")]
    frame = loss_parts.excess_table(runs).frame.set_index(["run", "step [1]"])
    total = first.sel(term="weighted")["loss_total"].values
    assert len(frame) == 4
    assert frame.loc[("b", 10), "excess over the best loss [1]"] == pytest.approx(total[1] + 0.5 - total.min())
    equiv = float(second.sel(term="weighted", step=10)["loss_equiv"])
    expected = 100 * equiv / (total[1] + 0.5 - total.min())
    assert frame.loc[("b", 10), "equivariance error [% of the excess]"] == pytest.approx(expected)
    assert np.isnan(frame["equivariance error [% of the excess]"].loc[("a", 100)])
    assert loss_parts.excess_table([Training("a", 0, None, store)]) is None
