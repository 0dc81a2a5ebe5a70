"""Thresholds against a search over all cuts."""

import numpy as np
import pytest

from sentinode.metrics import choose_threshold, confusion_counts, count_metrics


def drawn(seed=0, n=300, levels=None):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    p = 1 / (1 + np.exp(-rng.normal(np.where(y, 0.6, -0.9), 1.0)))
    return y, np.round(p * levels) / levels if levels else p


def every_cut(p):
    return np.concatenate([np.unique(p), [np.nextafter(p.max(), 2)]])


GOALS = {
    "youden": lambda m, c: m["sensitivity"] + m["specificity"],
    "accuracy": lambda m, c: m["accuracy"],
    "cost": lambda m, c: -(5 * c[3] + c[1]),
}


@pytest.mark.parametrize("rule", list(GOALS))
@pytest.mark.parametrize("levels", [None, 10])
def test_no_other_cut_is_better(rule, levels):
    y, p = drawn(levels=levels)

    def worth(t):
        counts = confusion_counts(y, p, t)
        return float(GOALS[rule](count_metrics(counts), counts))

    chosen = choose_threshold(rule, y, p, miss_cost=5)
    assert worth(chosen) == pytest.approx(max(worth(t) for t in every_cut(p)))


def test_target_sensitivity_is_reached_and_the_next_cut_misses_it():
    y, p = drawn()
    chosen = choose_threshold("sensitivity", y, p, sensitivity=0.9)
    assert (p[y] >= chosen).mean() >= 0.9
    above = np.sort(p[p >= chosen])[0]
    assert (p[y] >= np.nextafter(above, 2)).mean() < 0.9


def test_threshold_lies_between_two_probabilities():
    assert choose_threshold("youden", [0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)


def test_nearest_to_half_among_equals():
    y, p = [0, 1, 0, 1], [0.1, 0.2, 0.5, 0.7]
    assert choose_threshold("youden", y, p) == pytest.approx(0.6)


def test_half_needs_nothing():
    assert choose_threshold("half", [1], [0.9]) == 0.5


@pytest.mark.parametrize("rule", ["youden", "accuracy", "sensitivity", "cost"])
def test_nothing_to_choose_on(rule):
    assert choose_threshold(rule, [1, 1], [0.2, 0.9]) is None
    assert choose_threshold(rule, [0, 1], [0.4, 0.4]) is None


def test_a_certain_false_alarm_can_be_left_out():
    chosen = choose_threshold("accuracy", [0, 0, 0, 1], [1.0, 1.0, 1.0, 0.2])
    assert chosen > 1


def test_works_on_stored_precision():
    y, p = drawn(n=2000)
    coarse = p.astype(np.float32)
    chosen = choose_threshold("youden", y, coarse)
    assert not (coarse.astype(float) == chosen).any()


def test_a_share_of_the_tumour_patches_is_not_a_digit_more():
    p = np.linspace(0.99, 0.01, 101)
    y = np.arange(101) < 100
    for target in (0.07, 0.14, 0.28, 0.55, 0.57, 0.95):
        hits = (p[:100] >= choose_threshold("sensitivity", y, p, sensitivity=target)).sum()
        assert hits == round(100 * target)
