"""Single eigenvalues against the stores."""

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
