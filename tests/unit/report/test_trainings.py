"""Choices among trainings."""

import synthetic

from twirlscope.report.trainings import Training, terms_of


def training(run="small", seed=0, **course):
    return Training(run, seed, synthetic.train(300, seed), synthetic.twirl(seed=seed, **course), synthetic.hessian())


def test_terms_of__puts_the_weighted_sum_first():
    assert terms_of([training()]) == ["weighted", "forces", "energy"]
