"""Errors by irrep against their stores."""

from synthetic import field

from twirlscope.report.sections.fields import metrics, slices
from twirlscope.report.sections.spectrum import irreps


def test_figures__are_none_where_nothing_was_measured():
    plain = field(fields=False)
    assert slices(plain) is metrics([plain]) is None
    assert irreps.irreps([plain], "forces") is None


def test_irreps__words_give_shares_of_the_error():
    one = field()
    figure = irreps.irreps([one, field(seed=1)], "forces")
    assert len(figure.numbers) == 2 * one.twirl.sizes["step"] * 4
    last = one.twirl.sel(term="forces").isel(step=-1)
    share = 100 * last["irrep_spectrum"].sel(irrep="T1") / last["panel_loss_equiv"]
    assert f"{float(share):.3g} % (T1, " in figure.alternative
    assert "24 rotations" in figure.caption
