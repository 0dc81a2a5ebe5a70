"""Risk-coverage against its definition, conformal sets by their coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinode.metrics import certainty, conformal_rule, risk_coverage


def drawn(rng, n, *, levels=None):
    """Labels drawn by their own probabilities."""
    p = 1 / (1 + np.exp(-rng.normal(0, 2, n)))
    p = np.round(p * levels) / levels if levels else p
    return rng.random(n) < p, p


def area_by_definition(y, p, threshold, orders=4000):
    """The mean, over random orders of equal certainties, of each prefix's share of wrong calls."""
    wrong = (p >= threshold) != y
    sure = np.round(certainty(p, threshold), 9)
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(orders):
        order = np.lexsort((rng.random(len(y)), -sure))
        areas.append((np.cumsum(wrong[order]) / np.arange(1, len(y) + 1)).mean())
    return np.mean(areas)


@pytest.mark.parametrize("levels", [None, 6])
def test_area_is_the_mean_risk_over_all_coverages(levels):
    y, p = drawn(np.random.default_rng(1), 60, levels=levels)
    found = risk_coverage(y, p, 0.4)
    orders = 4000 if levels else 1
    assert found.area == pytest.approx(area_by_definition(y, p, 0.4, orders), abs=0.003)


def test_points_are_the_shares_of_wrong_calls():
    y, p = drawn(np.random.default_rng(2), 500, levels=20)
    found = risk_coverage(y, p, 0.3)
    sure = certainty(p, 0.3)
    wrong = (p >= 0.3) != y
    for coverage, risk, least in zip(found.coverage, found.risk, found.certainty, strict=True):
        answered = sure >= least
        assert answered.mean() == pytest.approx(coverage)
        assert wrong[answered].mean() == pytest.approx(risk)
    assert found.coverage[-1] == 1
    assert found.risk[-1] == pytest.approx(wrong.mean())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=40))
def test_no_order_has_less_area_than_the_perfect_one(rows):
    y, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 10
    found = risk_coverage(y, p, 0.5)
    wrong = np.sort((p >= 0.5) != y)
    perfect = (np.cumsum(wrong) / np.arange(1, len(y) + 1)).mean()
    assert found.least_area == pytest.approx(perfect)
    assert found.area >= found.least_area - 1e-12


def test_equal_probabilities_make_one_point():
    found = risk_coverage([0, 1, 1, 1], [0.4] * 4, 0.5)
    assert found.coverage.tolist() == [1]
    assert found.area == pytest.approx(0.75)


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_hold_the_label_as_often_as_stated(by_class, coverage):
    rng = np.random.default_rng(5)
    held, of_tumour = [], []
    for _ in range(300):
        y, p = drawn(rng, 150)
        rule = conformal_rule(y, p, coverage, by_class=by_class)
        assert rule is not None
        y, p = drawn(rng, 150)
        tumour, normal = rule.sets(p)
        held.append(np.where(y, tumour, normal).mean())
        of_tumour.append(tumour[y].mean())
    # split conformal covers at least as stated, and by less than 1 / (n + 1) more
    assert coverage - 0.01 < np.mean(held) < coverage + 0.025
    if by_class:
        assert coverage - 0.01 < np.mean(of_tumour) < coverage + 0.025


def test_the_limit_is_the_stated_order_statistic():
    y = np.ones(19, int)
    p = np.linspace(0.05, 0.95, 19)
    rule = conformal_rule(y, p, 0.95, by_class=False)
    assert rule is not None
    assert rule.tumour == pytest.approx(0.95)  # the 19th of 19: 20 * 0.95 is 19
    assert conformal_rule(y, p, 0.96, by_class=False) is None


def test_too_few_of_a_class_promise_nothing():
    y = [1] * 3 + [0] * 100
    p = np.linspace(0.9, 0.1, 103)
    assert conformal_rule(y, p, 0.9, by_class=True) is None
    assert conformal_rule(y, p, 0.9, by_class=False) is not None
