"""Figures of fields against their stores."""

import numpy as np
import synthetic

from twirlscope.report import headline
from twirlscope.report.sections import contents
from twirlscope.report.sections.fields import merits, slices
from twirlscope.report.sections.spectrum import irreps
from twirlscope.report.trainings import Training
from twirlscope.settings.report import ReportSettings
from twirlscope.twirling import panel_octahedral, prediction_metrics


def training(run="a", seed=0, fields=True):
    data = synthetic.twirl(seed=seed)
    if fields:
        random, shape = np.random.default_rng(seed), data["loss_equiv"].shape
        data["irrep_spectrum"] = ((*data["loss_equiv"].dims, "irrep"), random.uniform(0.1, 1, (*shape, 5)))
        data["irrep_spectrum_error"] = 0.1 * data["irrep_spectrum"]
        data["panel_loss_equiv"] = data["irrep_spectrum"][..., 1:].sum("irrep")
        data["merit_value"] = (("step", "merit"), random.uniform(0, 1, (shape[0], 2)))
        data["slice_value"] = (("look", "view", "row", "column"), random.normal(size=(1, 4, 5, 5)).astype(np.float32))
        names = {
            "irrep": list(panel_octahedral.IRREPS),
            "merit": ["atoms found", "atoms made up"],
            "view": prediction_metrics.VIEWS,
        }
        data = data.assign_coords({k: np.array(v, object) for k, v in names.items()})
    return Training(run, seed, synthetic.train(50, seed), data)


def test_figures__are_none_where_nothing_was_measured():
    plain = training(fields=False)
    assert slices(plain) is merits([plain]) is None
    assert irreps.irreps([plain], "forces") is None


def test_slices__table_holds_every_value_and_words_the_distance_to_the_target():
    one = training()
    figure = slices(one)
    values = one.twirl["slice_value"].values[0]
    np.testing.assert_array_equal(figure.table["slice_value [1]"], values.ravel())
    assert f"prediction {np.sqrt(((values[1] - values[3]) ** 2).mean()):.3g}" in figure.alternative


def test_irreps__words_give_shares_of_the_error_that_sum_to_it():
    one = training()
    figure = irreps.irreps([one, training(seed=1)], "forces")
    assert len(figure.table) == 2 * one.twirl.sizes["step"] * 4
    last = one.twirl.sel(term="forces").isel(step=-1)
    share = 100 * last["irrep_spectrum"].sel(irrep="T1") / last["panel_loss_equiv"]
    assert f"T1 {float(share):.3g} %" in figure.alternative
    assert "lower bound" in figure.caption


def test_merits__words_are_those_of_the_last_step():
    one = training()
    figure = merits([one])
    assert f"atoms found {one.twirl['merit_value'].values[-1, 0]:.3g}" in figure.alternative
    assert len(figure.table) == 2 * one.twirl.sizes["step"]


def test_sections__show_fields_only_where_there_are_some():
    made = [[training(fields=f)] for f in (True, False)]
    names = [[s.anchor for s in contents.contents(m, ReportSettings(), {}, m, {})] for m in made]
    assert "fields" in names[0]
    assert "fields" not in names[1]


def test_sentence__of_a_field_says_what_it_is_relative_to_and_what_interpolation_makes():
    one = training()
    one.twirl.attrs["group"] = "octahedral"
    assert "24 rotations of a cube: a lower bound" in headline.sentence(headline.headline(one, "forces", 2.0), 2.0)
    other = training()
    other.twirl["loss_equiv_floor"][:] = 0.001 * other.twirl["loss_total"]
    text = headline.sentence(headline.headline(other, "forces", 2.0), 2.0)
    assert "Turning fields by interpolation makes 0.1 % of its own." in text
    assert "lower bound" not in text
