"""Gradient statistics: unbiased over many simulations, equal to closed forms, with errors that cover the noise."""

import numpy as np
import pytest

from twirlscope.estimators.gradient_statistics import (
    Batches,
    above_noise,
    gradient_statistics,
    positive,
    product_between_batches,
    statistics,
    update_statistics,
    with_errors,
)

TRUTH = np.array([[2.0, -1.0, 0.5, 0.0], [0.5, 1.0, 0.0, -0.5]])  # gradients of mean and equiv
SPREAD = np.array([[3.0, 0.5, 1.0, 2.0], [0.2, 1.0, 0.7, 0.1]])  # standard deviations of a sample's gradient


def draws(count, batches, size, seed=0):
    """Gram matrices of `count` experiments: gradients of a sample are Gaussian around the truth."""
    noise = np.random.default_rng(seed).normal(size=(count, 2, batches, 4)) * SPREAD[:, None] / size**0.5
    rows = TRUTH[:, None] + noise
    return np.einsum("xpbn,xqcn->xpqbc", rows, rows), rows


def batch_of(gram, size=4, seed=1):
    random = np.random.default_rng(seed)
    count = gram.shape[-1]
    return Batches(gram, random.uniform(1, 2, (2, count)), random.normal(-1, 0.1, (*gram.shape[:-4], 2, count)), size)


def within_three_errors(values, truth):
    error = values.std(0) / len(values) ** 0.5
    np.testing.assert_array_less(np.abs(values.mean(0) - truth), 3 * error)


@pytest.mark.parametrize("batches", [2, 3, 8])
def test_statistics__are_unbiased_over_many_draws(batches):
    found = gradient_statistics(draws(20000, batches, 4)[0], 4)
    total = TRUTH.sum(0)
    squares = [TRUTH[0] @ TRUTH[0], TRUTH[1] @ TRUTH[1], total @ total]
    within_three_errors(found["gradient_square"], squares)
    within_three_errors(found["gradient_inner"], TRUTH[0] @ TRUTH[1])
    traces = [*(SPREAD**2).sum(1), (SPREAD**2).sum()]
    within_three_errors(found["gradient_variance"], traces)


def test_statistics__of_gradients_without_noise_are_the_exact_ones():
    rows = np.repeat(TRUTH[:, None], 3, 1)
    found = gradient_statistics(np.einsum("pbn,qcn->pqbc", rows, rows), 4)
    mean, equiv = (np.linalg.norm(g) for g in TRUTH)
    assert found["gradient_cosine"] == pytest.approx(TRUTH[0] @ TRUTH[1] / mean / equiv)
    assert found["gradient_norm_ratio"] == pytest.approx(equiv / mean)
    assert found["gradient_square_ratio"] == pytest.approx((equiv / mean) ** 2)
    np.testing.assert_allclose(found["noise_scale"], 0, atol=1e-12)


def test_between__is_the_mean_over_pairs_and_refuses_a_single_batch():
    gram = draws(1, 5, 4)[0][0, 0, 1]
    pairs = [gram[b, c] for b in range(5) for c in range(5) if b != c]
    assert product_between_batches(gram) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="need two"):
        product_between_batches(gram[:1, :1])


def test_negative_squares__are_kept_and_what_divides_by_them_is_nan():
    gram = np.zeros((2, 2, 2, 2))
    gram[0, 0] = [[1.0, -0.5], [-0.5, 1.0]]
    gram[1, 1] = np.ones((2, 2))
    found = gradient_statistics(gram, 4)
    assert found["gradient_square"][0] == -0.5
    for name in ("gradient_cosine", "gradient_norm_ratio", "gradient_square_ratio"):
        assert np.isnan(found[name]), name
    assert np.isnan(found["noise_scale"][0])
    assert found["noise_scale"][1] == 0


def test_negative_equiv__keeps_its_ratio_of_squares_but_has_no_ratio_of_norms():
    gram = np.zeros((2, 2, 2, 2))
    gram[0, 0], gram[1, 1] = 1.0, [[1.0, -0.5], [-0.5, 1.0]]
    found = gradient_statistics(gram, 4)
    assert found["gradient_square_ratio"] == -0.5
    assert np.isnan(found["gradient_norm_ratio"])


def test_jackknife__of_a_mean_is_its_standard_error():
    batches = batch_of(draws(1, 8, 4)[0][0])
    found = with_errors(batches)
    expected = batches.update.std(-1, ddof=1) / 8**0.5
    np.testing.assert_allclose(found["update_change_error"][:2], expected)
    assert set(found) == {n + e for n in statistics(batches) for e in ("", "_error")}


@pytest.mark.slow
def test_jackknife__says_how_much_estimates_scatter():
    gram = draws(400, 12, 4)[0]
    found = [with_errors(batch_of(g)) for g in gram]
    for name in ("gradient_square", "gradient_inner", "gradient_cosine"):
        values = np.array([f[name] for f in found])
        errors = np.array([f[f"{name}_error"] for f in found])
        scatter = values.std(0)
        np.testing.assert_allclose(np.sqrt((errors**2).mean(0)), scatter, rtol=0.25, err_msg=name)


def test_jackknife__of_two_batches_gives_no_errors():
    found = with_errors(batch_of(draws(1, 2, 4)[0][0]))
    assert np.isfinite(found["gradient_square"]).all()
    assert np.isnan(found["gradient_square_error"]).all()


def test_update_share__is_that_of_plain_gradient_descent_in_closed_form():
    """u = -rate G_total: the share is <G_total, G_equiv> / |G_total|^2."""
    total = TRUTH.sum(0)
    found = update_statistics((TRUTH @ (-0.1 * total))[:, None].repeat(3, 1))
    assert found["update_share"] == pytest.approx(total @ TRUTH[1] / (total @ total))
    np.testing.assert_allclose(found["update_change"], -0.1 * np.array([*(TRUTH @ total), total @ total]))


def test_update_share__of_no_update_is_nan():
    assert np.isnan(update_statistics(np.zeros((2, 3)))["update_share"])


def test_layers__add_up_to_the_whole():
    _, rows = draws(1, 5, 4)
    split = [rows[0][..., :1], rows[0][..., 1:]]
    grams = [np.einsum("pbn,qcn->pqbc", r, r) for r in (*split, rows[0])]
    first, second, whole = (gradient_statistics(g, 4) for g in grams)
    for name in ("gradient_square", "gradient_inner", "gradient_variance"):
        np.testing.assert_allclose(first[name] + second[name], whole[name], atol=1e-12)


def by_hand(rows, loss, update, size):
    """The statistics of gradients `[part, batch, parameter]`, pair by pair."""
    total = rows.sum(0)
    parts, n = [rows[0], rows[1], total], rows.shape[1]
    pairs = [(b, c) for b in range(n) for c in range(n) if b != c]
    square = np.array([np.mean([p[b] @ p[c] for b, c in pairs]) for p in parts])
    own = np.array([np.mean([p[b] @ p[b] for b in range(n)]) for p in parts])
    inner = np.mean([rows[0, b] @ rows[1, c] for b, c in pairs])
    losses = [loss[0].mean(), loss[1].mean(), loss[0].mean() + loss[1].mean()]
    change = [np.mean(rows[0] @ update), np.mean(rows[1] @ update), np.mean(total @ update)]
    return {
        "gradient_square": square,
        "gradient_inner": inner,
        "gradient_cosine": inner / (square[0] * square[1]) ** 0.5,
        "gradient_square_ratio": square[1] / square[0],
        "gradient_norm_ratio": (square[1] / square[0]) ** 0.5,
        "gradient_variance": size * (own - square),
        "noise_scale": size * (own / square - 1),
        "gradient_loss": losses,
        "relative_equiv": losses[1] / losses[2],
        "update_change": change,
        "update_share": change[1] / change[2],
    }


def test_with_errors__are_those_of_batches_left_out_by_hand():
    rows = draws(1, 6, 400, seed=2)[1][0]
    random = np.random.default_rng(3)
    loss, update = random.uniform(1, 2, (2, 6)), np.array([-1.0, 0.5, 0.2, 0.3])
    found = with_errors(Batches(np.einsum("pbn,qcn->pqbc", rows, rows), loss, rows @ update, 400))
    whole = by_hand(rows, loss, update, 400)
    kept = [[b for b in range(6) if b != k] for k in range(6)]
    without = [by_hand(rows[:, k], loss[:, k], update, 400) for k in kept]
    assert set(found) == {n + e for n in whole for e in ("", "_error")}
    for name, value in whole.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)
        each = np.array([w[name] for w in without])
        error = np.sqrt(5 / 6 * ((each - each.mean(0)) ** 2).sum(0))
        np.testing.assert_allclose(found[f"{name}_error"], error, rtol=1e-7, err_msg=name)


def test_with_errors__of_three_batches_are_known_and_leading_dimensions_are_free():
    gram, _ = draws(2, 3, 400, seed=5)
    random = np.random.default_rng(3)
    loss, update = random.uniform(1, 2, (2, 3)), random.normal(-1, 0.1, (2, 2, 3))
    both = with_errors(Batches(gram, loss, update, 400))
    assert np.isfinite(both["gradient_square_error"]).all()
    for k in range(2):
        alone = with_errors(Batches(gram[k], loss, update[k], 400))
        for name in alone:
            each = both[name] if "loss" in name or "relative" in name else both[name][k]
            np.testing.assert_allclose(each, alone[name], rtol=1e-9, err_msg=name)


def test_with_errors__of_a_function_of_its_own_are_of_its_names():
    found = with_errors(batch_of(draws(1, 4, 4)[0][0]), lambda b: {"first": b.loss[0].mean(-1)})
    assert set(found) == {"first", "first_error"}


@pytest.mark.filterwarnings("error")
def test_ratios__of_nothing_are_not_a_number_without_a_warning():
    found = gradient_statistics(np.zeros((2, 2, 3, 3)), 4)
    for name in ("gradient_cosine", "gradient_square_ratio", "gradient_norm_ratio", "noise_scale"):
        assert np.isnan(found[name]).all(), name
    np.testing.assert_array_equal(positive(np.array([2.0, 0.0, -1.0])), [2, np.nan, np.nan])
    gram = np.zeros((2, 2, 2, 2))
    gram[0, 0] = 1.0
    assert gradient_statistics(gram, 4)["gradient_norm_ratio"] == 0


def test_above_noise__is_more_than_two_standard_errors():
    np.testing.assert_array_equal(above_noise(np.array([1.9, 2.0, 2.1]), 1.0), [False, False, True])
    assert above_noise(4.1, 2.0)
    assert not above_noise(1.0, np.nan)


def test_between__names_the_number_of_batches_that_it_refuses():
    with pytest.raises(ValueError, match=r"^1 batch\(es\): products of different batches need two$"):
        product_between_batches(np.ones((1, 1)))
    assert product_between_batches(np.array([[1.0, 2.0], [4.0, 8.0]])) == 3
