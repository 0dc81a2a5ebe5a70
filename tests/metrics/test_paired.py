"""Paired tests against scikit-learn, SciPy, brute force, and their promised error rates."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from sentinode.errors import InputError
from sentinode.metrics import contrast, delong, delong_test, holm, resampled_aucs, two_sided


def scored(seed: int, n: int = 120, networks: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    shared = rng.normal(labels * 1.2, 1.0)
    noise = rng.normal(0, 0.6, (networks, n))
    return labels, norm.cdf((shared + noise) / 2).round(2)


def structural(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placement values by comparing every pair, as DeLong wrote them down."""
    x, y = scores[labels == 1], scores[labels == 0]
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    return wins.mean(axis=1), wins.mean(axis=0)


def test_delong_of_two_is_what_all_pairs_give() -> None:
    labels, scores = scored(0)
    tumour, normal = zip(*(structural(labels, s) for s in scores[:2]), strict=True)
    variance = np.var(tumour[0] - tumour[1], ddof=1) / len(tumour[0])
    variance += np.var(normal[0] - normal[1], ddof=1) / len(normal[0])
    expected = roc_auc_score(labels, scores[0]) - roc_auc_score(labels, scores[1])
    difference, p = delong_test(labels, scores[0], scores[1])
    assert difference == pytest.approx(expected)
    assert p == pytest.approx(2 * norm.sf(abs(expected) / np.sqrt(variance)))
    assert delong_test(labels, scores[0], scores[0]) == (0.0, 1.0)
    assert np.isnan(delong_test([0, 1, 1], [0.1, 0.2, 0.3], [0.3, 0.1, 0.2])[1])


def test_draws_are_paired_and_are_those_of_scikit_learn() -> None:
    labels, scores = scored(1, n=60)
    units = np.arange(60) // 3
    drawn = resampled_aucs(labels, scores, units, resamples=50, seed=4)
    rng = np.random.default_rng(4)
    for row in drawn:
        counts = np.bincount(rng.integers(0, 20, 20), minlength=20)[units]
        expected = [roc_auc_score(labels, s, sample_weight=counts) for s in scores]
        np.testing.assert_allclose(row, expected)


def test_the_paired_interval_is_that_of_scipy() -> None:
    labels, scores = scored(2, n=200)
    drawn = resampled_aucs(labels, scores[:2], np.arange(200), resamples=2000, seed=0)
    ours = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])

    def difference(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return roc_auc_score(y, a) - roc_auc_score(y, b)

    theirs = scipy_bootstrap(
        (labels, scores[0], scores[1]),
        difference,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_holm_as_worked_by_hand() -> None:
    # 0.01 x 4, then 0.02 x 3, 0.03 x 2 no lower than that, 0.04 x 1 no lower than that.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with_gap = holm([0.01, float("nan"), 0.02])
    np.testing.assert_allclose(with_gap, [0.02, np.nan, 0.02])


def test_one_network_a_side_is_delongs_test() -> None:
    labels, scores = scored(3)
    aucs, covariance = delong(labels, scores)
    found = contrast(aucs, covariance, [0], [2])
    difference, p = delong_test(labels, scores[0], scores[2])
    assert found.value == pytest.approx(difference)
    assert found.patches_p == pytest.approx(p)
    assert (found.error, found.p) == (None, None)
    low, high = found.interval(0.95)
    assert high - low == pytest.approx(2 * 1.959964 * found.patches_error)


def seeds_of(rng: np.random.Generator, gap: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Two groups of three networks on 200 patches; a seed moves a network's quality."""
    labels = np.arange(200) % 2
    shared = rng.normal(0, 1.0, 200)
    quality = 1.2 + rng.normal(0, spread, 6) + np.repeat([gap, 0.0], 3)
    scores = labels * quality[:, None] + shared + rng.normal(0, 0.5, (6, 200))
    return labels, norm.cdf(scores / 2)


def test_seeds_alone_do_not_make_a_difference_real() -> None:
    rng = np.random.default_rng(8)
    patches, both = [], []
    for _ in range(400):
        aucs, covariance = delong(*seeds_of(rng, 0.0, 0.3))
        found = contrast(aucs, covariance, [0, 1, 2], [3, 4, 5])
        assert found.p is not None
        patches.append(found.patches_p < 0.05)
        both.append(found.p < 0.05)
    assert np.mean(patches) > 0.3  # these networks do differ, by chance of their seeds
    assert 0.005 < np.mean(both) < 0.075


def test_a_real_difference_is_found_and_lies_in_its_interval() -> None:
    rng = np.random.default_rng(9)
    found = [contrast(*delong(*seeds_of(rng, 0.6, 0.02)), [0, 1, 2], [3, 4, 5]) for _ in range(100)]
    true = norm.cdf(1.8 / np.sqrt(2.5)) - norm.cdf(1.2 / np.sqrt(2.5))
    assert np.mean([each.p is not None and each.p < 0.05 for each in found]) > 0.8
    ends = [each.interval(0.95) for each in found]
    assert np.mean([low <= true <= high for low, high in ends]) > 0.88


def test_degenerate_questions_are_answered() -> None:
    aucs, covariance = delong([0, 1, 0, 1], np.tile([0.1, 0.9, 0.2, 0.8], (4, 1)))
    same = contrast(aucs, covariance, [0, 1], [2, 3])
    assert (same.value, same.p, same.patches_p) == (0.0, 1.0, 1.0)
    assert two_sided(0.1, 0.0) == 0.0
    assert np.isnan(two_sided(0.1, float("nan")))
    one = delong([0, 1, 0, 0], np.array([[0.1, 0.9, 0.2, 0.8], [0.1, 0.2, 0.3, 0.4]]))
    with pytest.raises(InputError, match="covariance of the AUCs is not defined"):
        contrast(*one, [0], [1])
    with pytest.raises(InputError, match="at least one network"):
        resampled_aucs([0, 1], np.empty((0, 2)), np.arange(2), resamples=10, seed=0)


def test_groups_that_are_all_perfect_do_not_differ() -> None:
    for n in range(2, 8):
        aucs = np.ones(2 * n + 1)
        found = contrast(aucs, np.zeros((len(aucs), len(aucs))), range(n), range(n, 2 * n + 1))
        assert found.p == 1.0
        assert found.patches_p == 1.0
