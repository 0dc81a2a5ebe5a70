"""Intervals: DeLong by brute force, bootstrap resample by resample and by its coverage."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from sentinode.errors import InputError
from sentinode.metrics import bootstrap, delong, delong_interval, roc_auc, spread


def drawn(rng, n, *, slides=None, effect=0.0, separation=1.2):
    """Labels, probabilities and slides; ``effect`` shifts a whole slide's scores."""
    y = rng.random(n) < 0.4
    units = np.arange(n) if slides is None else rng.integers(0, slides, n)
    units = np.unique(units, return_inverse=True)[1]
    shift = rng.normal(0, effect, units.max() + 1)[units]
    # whole slides carry more or less tumour, as real ones do
    if slides is not None:
        y = rng.random(n) < norm.cdf(rng.normal(-0.25, effect, units.max() + 1))[units]
    score = rng.normal(np.where(y, separation, 0.0), 1.0) + shift
    return y, 1 / (1 + np.exp(-score)), units


def structural_components(y, s):
    """DeLong's own definition, pair by pair."""
    compare = (s[y][:, None] > s[~y]) + 0.5 * (s[y][:, None] == s[~y])
    return compare.mean(1), compare.mean(0)


@pytest.mark.parametrize("levels", [None, 5])
def test_delong_agrees_with_the_definition(levels):
    rng = np.random.default_rng(0)
    y, p, _ = drawn(rng, 120)
    scores = np.stack([p, np.clip(p + rng.normal(0, 0.2, 120), 0, 1), rng.random(120)])
    if levels:
        scores = np.round(scores * levels)
    parts = [structural_components(y, s) for s in scores]
    expected = np.cov([t for t, _ in parts]) / y.sum() + np.cov([n for _, n in parts]) / (~y).sum()
    aucs, covariance = delong(y, scores)
    np.testing.assert_allclose(covariance, expected, rtol=1e-10)
    np.testing.assert_allclose(aucs, [roc_auc_score(y, s) for s in scores], rtol=1e-12)


def test_delong_of_a_certain_size_is_quick_and_narrow():
    y, p, _ = drawn(np.random.default_rng(0), 200_000)
    low, high = delong_interval(y, p)
    assert low < roc_auc(y, p) < high
    assert high - low < 0.005


def test_delong_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match="both classes"):
        delong([1, 1], [[0.1, 0.2]])
    with pytest.raises(InputError, match=r"\(M, N\)"):
        delong([1, 0], [0.1, 0.2])
    assert np.isnan(delong_interval([1, 0, 0], [0.9, 0.2, 0.1])).all()


def test_each_resample_agrees_with_scikit_learn():
    rng = np.random.default_rng(3)
    y, p, units = drawn(rng, 400, slides=12, effect=0.5)
    p = np.round(p, 2)
    draws = bootstrap(y, p, units, {"a": 0.3, "b": 0.6}, resamples=100, seed=7)
    again = np.random.default_rng(7)
    ranked = list(dict.fromkeys(units[np.argsort(-p, kind="stable")]))
    for r in range(100):
        drawn_units = np.array(ranked)[again.integers(0, 12, 12)]
        w = np.bincount(drawn_units, minlength=12)[units]
        many = np.repeat(np.arange(len(y)), w)
        yr, pr = y[many], p[many]
        assert draws.overall["roc_auc"][r] == pytest.approx(roc_auc_score(yr, pr), abs=1e-12)
        expected = average_precision_score(yr, pr)
        assert draws.overall["pr_auc"][r] == pytest.approx(expected, abs=1e-12)
        assert draws.overall["brier"][r] == pytest.approx(((pr - yr) ** 2).mean(), abs=1e-12)
        for name, t in (("a", 0.3), ("b", 0.6)):
            assert draws.at[name]["f1"][r] == pytest.approx(f1_score(yr, pr >= t), abs=1e-12)
            accuracy = ((pr >= t) == yr).mean()
            assert draws.at[name]["accuracy"][r] == pytest.approx(accuracy, abs=1e-12)


def test_same_seed_same_draws_and_blocks_do_not_matter(monkeypatch):
    y, p, units = drawn(np.random.default_rng(1), 300, slides=20)
    first = bootstrap(y, p, units, {"a": 0.5}, resamples=50, seed=1)
    monkeypatch.setattr("sentinode.metrics.intervals.VALUES_AT_ONCE", 65)
    told = []
    second = bootstrap(y, p, units, {"a": 0.5}, resamples=50, seed=1, on_done=told.append)
    np.testing.assert_array_equal(first.overall["roc_auc"], second.overall["roc_auc"])
    np.testing.assert_array_equal(first.at["a"]["mcc"], second.at["a"]["mcc"])
    assert sum(told) == 50
    other = bootstrap(y, p, units, {"a": 0.5}, resamples=50, seed=2)
    assert (other.overall["roc_auc"] != first.overall["roc_auc"]).any()


def test_patches_drawn_alone_give_the_interval_of_delong():
    y, p, units = drawn(np.random.default_rng(5), 3000)
    draws = bootstrap(y, p, units, {}, resamples=1500, seed=0)
    found = spread(draws.overall["roc_auc"], 0.95)
    assert (found.low, found.high) == pytest.approx(delong_interval(y, p), abs=0.003)


def test_coverage_over_patches():
    rng = np.random.default_rng(11)
    truth = norm.cdf(1.2 / np.sqrt(2))
    hits = 0
    for repeat in range(200):
        y, p, units = drawn(rng, 250)
        draws = bootstrap(y, p, units, {}, resamples=200, seed=repeat)
        found = spread(draws.overall["roc_auc"], 0.9)
        hits += found.low <= truth <= found.high
    assert 0.84 <= hits / 200 <= 0.96


def test_slides_cover_where_patches_do_not():
    rng = np.random.default_rng(12)
    y, p, _ = drawn(np.random.default_rng(99), 200_000, slides=10_000, effect=1.0)
    truth = roc_auc(y, p)
    hits = {"slides": 0, "patches": 0}
    for repeat in range(120):
        y, p, slides = drawn(rng, 1200, slides=30, effect=1.0)
        for unit, codes in (("slides", slides), ("patches", np.arange(1200))):
            draws = bootstrap(y, p, codes, {}, resamples=150, seed=repeat)
            found = spread(draws.overall["roc_auc"], 0.95)
            hits[unit] += found.low <= truth <= found.high
    assert hits["slides"] / 120 > 0.85
    assert hits["patches"] / 120 < 0.7


def test_undefined_resamples_are_left_out_and_counted():
    y, p = np.array([1, 0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.3, 0.4])
    draws = bootstrap(y, p, np.arange(5), {"a": 0.5}, resamples=500, seed=0)
    found = spread(draws.overall["roc_auc"], 0.95)
    without_tumour = 0.8**5
    assert found.defined == pytest.approx(1 - without_tumour, abs=0.06)
    assert spread(np.full(10, np.nan), 0.95) is None


def test_further_terms_are_summed_over_the_patches_drawn():
    y, p, units = drawn(np.random.default_rng(6), 200, slides=15)
    term = np.random.default_rng(7).random(200)
    kept = y & (p > 0.4)
    draws = bootstrap(
        y, p, units, {"a": 0.4}, resamples=60, seed=3, terms={"t": term, "hits": kept}
    )
    again = np.random.default_rng(3)
    ranked = list(dict.fromkeys(units[np.argsort(-p, kind="stable")]))
    for r in range(60):
        chosen = np.array(ranked)[again.integers(0, 15, 15)]
        w = np.bincount(chosen, minlength=15)[units]
        assert draws.sums["t"][r] == pytest.approx((w * term).sum())
        assert draws.sums["hits"][r] == pytest.approx(w[kept].sum())
