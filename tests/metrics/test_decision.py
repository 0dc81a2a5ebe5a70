"""Decision curves and prevalence against counting and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import precision_score

from sentinode.metrics import decision_curve, negative_predictive_value, precision_at


def drawn(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(0, 2, n)))
    return rng.random(n) < p, p


def test_net_benefit_is_hits_less_weighted_false_alarms():
    y, p = drawn()
    thresholds = np.array([0.05, 0.2, 0.5, 0.9])
    found = decision_curve(y, p, np.arange(len(y)), thresholds)
    for t, benefit, everything in zip(thresholds, found.model, found.everything, strict=True):
        hits, alarms = ((p >= t) & y).sum(), ((p >= t) & ~y).sum()
        assert benefit == pytest.approx((hits - alarms * t / (1 - t)) / len(y))
        assert everything == pytest.approx(y.mean() - (~y).mean() * t / (1 - t))


def test_its_error_is_what_resampling_slides_gives():
    y, p = drawn(3000)
    slides = np.random.default_rng(1).integers(0, 40, len(y))
    p = np.clip(p + np.random.default_rng(2).normal(0, 0.1, 40)[slides], 0, 1)
    found = decision_curve(y, p, slides, np.array([0.3]))
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(slides == s) for s in rng.integers(0, 40, 40)])
        called = p[rows] >= 0.3
        draws.append(np.where(called, np.where(y[rows], 1, -3 / 7), 0).mean())
    assert found.error[0] == pytest.approx(np.std(draws), rel=0.12)


def test_one_slide_has_no_error():
    y, p = drawn(50)
    assert np.isnan(decision_curve(y, p, np.zeros(50, int), np.array([0.3])).error).all()


@pytest.mark.parametrize("prevalence", [0.01, 0.05, 0.4])
def test_precision_is_that_of_patches_weighted_to_the_prevalence(prevalence):
    y, p = drawn()
    called = p >= 0.4
    weight = np.where(y, prevalence / y.mean(), (1 - prevalence) / (~y).mean())
    sensitivity, specificity = np.array(called[y].mean()), np.array((~called[~y]).mean())
    expected = precision_score(y, called, sample_weight=weight)
    assert float(precision_at(prevalence, sensitivity, specificity)) == pytest.approx(expected)
    expected = precision_score(~y, ~called, sample_weight=weight)
    found = negative_predictive_value(prevalence, sensitivity, specificity)
    assert float(found) == pytest.approx(expected)


def test_where_nothing_is_called_precision_is_undefined():
    assert np.isnan(precision_at(0.1, np.array(0.0), np.array(1.0)))
    assert np.isnan(negative_predictive_value(0.1, np.array(1.0), np.array(0.0)))


def test_what_is_stored_as_the_threshold_reaches_it():
    thresholds = np.arange(1, 100) / 100
    y, stored = np.ones(99, int), thresholds.astype(np.float32)
    found = decision_curve(y, stored, np.arange(99), thresholds)
    np.testing.assert_allclose(found.model, np.arange(99, 0, -1) / 99)
    again = decision_curve(y, thresholds, np.arange(99), thresholds)
    np.testing.assert_array_equal(again.model, found.model)
