"""Single eigenvalues against the stores."""

import pytest
import synthetic

from twirlscope.report.sections.curvature import eigenvalues
from twirlscope.report.trainings import Training


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_eigenvalues__table_holds_the_numbers_of_the_store():
    one = training()
    table = eigenvalues.eigenvalues([one]).numbers.data
    row = table[(table["step"] == 100) & (table["part"] == "equiv") & (table["rank"] == 1)]
    row = row[row["curvature"] == "hessian"]
    assert (
        row["eigenvalue_top"].item()
        == one.hessian["eigenvalue_top"].sel(step=100, part="equiv", curvature="hessian")[0]
    )


def test_eigenvalues__draws_what_has_not_converged_hollow():
    one = training()
    hessian = one.hessian.sel(curvature="hessian")
    doubtful = sum(int((~hessian[f"{end}_converged"]).sum()) for end in eigenvalues.SIGNS)
    lines = [line for ax in eigenvalues.eigenvalues([one]).wide.axes for line in ax.lines]
    assert sum(len(line.get_xdata()) for line in lines if line.get_markerfacecolor() == "white") == doubtful


@pytest.mark.slow
def test_eigenvalues__draws_nothing_that_its_bound_does_not_tell_from_zero():
    one = training()
    zero = one.hessian.copy(deep=True)
    zero["eigenvalue_bottom"][:], zero["eigenvalue_bottom_error"][:] = -1e-18, 1e-15
    figure = eigenvalues.eigenvalues([Training("small", 0, one.train, one.twirl, zero)])
    bottom = [ax for ax in figure.wide.axes if "most negative" in ax.get_title(loc="left")]
    drawn = [y for ax in bottom for line in ax.lines for y in line.get_ydata() if len(line.get_xdata()) and y > 0]
    assert bottom
    assert not [y for y in drawn if y < 1e-10]
    assert min(ax.get_ylim()[0] for ax in bottom) > 1e-15
