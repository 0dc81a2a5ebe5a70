"""Every metric against scikit-learn, ties and weights included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from sentinode.errors import InputError
from sentinode.metrics import (
    Ranking,
    average_precision,
    brier_terms,
    confusion_counts,
    count_metrics,
    log_loss_terms,
    outcomes,
    pr_curve,
    roc_auc,
    roc_curve,
)


def drawn(n=500, *, levels=None, seed=0, dtype=np.float32):
    """Labels and probabilities; few levels make many ties."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.35
    p = 1 / (1 + np.exp(-rng.normal(np.where(y, 0.7, -0.7), 1.3)))
    if levels:
        p = np.round(p * levels) / levels
    return y.astype(np.int8), p.astype(dtype)


@pytest.mark.parametrize("levels", [None, 3, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_areas_agree_with_scikit_learn(levels, weighted):
    y, p = drawn(levels=levels)
    w = np.random.default_rng(1).integers(0, 4, len(y)) if weighted else None
    assert roc_auc(y, p, w) == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    expected = sk.average_precision_score(y, p, sample_weight=w)
    assert average_precision(y, p, w) == pytest.approx(expected, abs=1e-12)


def test_areas_take_fractional_weights():
    y, p = drawn(levels=10)
    w = np.random.default_rng(2).random(len(y))
    assert roc_auc(y, p, w) == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    expected = sk.average_precision_score(y, p, sample_weight=w)
    assert average_precision(y, p, w) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=40
    )
)
def test_weighted_areas_agree_on_any_small_input(rows):
    y = np.array([r[0] for r in rows])
    p = np.array([r[1] for r in rows]) / 6
    w = np.array([r[2] for r in rows])
    both = (w[y] > 0).any() and (w[~y] > 0).any()
    if not both:
        assert np.isnan(roc_auc(y, p, w))
        return
    assert roc_auc(y, p, w) == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    expected = sk.average_precision_score(y, p, sample_weight=w)
    assert average_precision(y, p, w) == pytest.approx(expected, abs=1e-12)


def test_areas_without_a_class():
    p = np.array([0.1, 0.4, 0.4])
    assert np.isnan(roc_auc([0, 0, 0], p))
    assert np.isnan(average_precision([0, 0, 0], p))
    assert np.isnan(roc_auc([1, 1, 1], p))
    assert average_precision([1, 1, 1], p) == 1


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.83])
def test_count_metrics_agree_with_scikit_learn(threshold):
    y, p = drawn()
    called = p >= threshold
    found = count_metrics(confusion_counts(y, p, threshold))
    expected = {
        "accuracy": sk.accuracy_score(y, called),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called),
        "sensitivity": sk.recall_score(y, called),
        "specificity": sk.recall_score(y, called, pos_label=0),
        "precision": sk.precision_score(y, called),
        "f1": sk.f1_score(y, called),
        "mcc": sk.matthews_corrcoef(y, called),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, abs=1e-12), name


def test_confusion_counts_agree_with_scikit_learn():
    y, p = drawn()
    tn, fp, fn, tp = sk.confusion_matrix(y, p >= 0.5).ravel()
    assert confusion_counts(y, p, 0.5).tolist() == [tp, fp, tn, fn]


def test_a_patch_at_the_threshold_is_called_tumour():
    assert outcomes([1, 0, 0, 1], [0.5, 0.5, 0.4, 0.4], 0.5).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        ([0, 0, 5, 0], {"balanced_accuracy", "sensitivity", "precision", "f1", "mcc"}),
        ([5, 0, 0, 0], {"balanced_accuracy", "specificity", "mcc"}),
        ([0, 0, 3, 4], {"precision", "mcc"}),
        ([0, 0, 0, 0], set(count_metrics([1, 1, 1, 1]))),
    ],
)
def test_undefined_count_metrics_are_nan(counts, undefined):
    found = count_metrics(counts)
    assert {name for name, value in found.items() if np.isnan(value)} == undefined


def test_count_metrics_take_many_at_once():
    many = np.random.default_rng(0).integers(1, 50, (7, 3, 4))
    found = count_metrics(many)
    for name, values in found.items():
        assert values.shape == (7, 3)
        assert float(values[4, 1]) == float(count_metrics(many[4, 1])[name])


def test_losses_agree_with_scikit_learn():
    y, p = drawn()
    assert brier_terms(y, p).mean() == pytest.approx(sk.brier_score_loss(y, p), rel=1e-6)
    assert log_loss_terms(y, p).mean() == pytest.approx(sk.log_loss(y, p), rel=1e-6)


def test_log_loss_of_certain_probabilities_agrees_with_scikit_learn_in_float32():
    y, p = np.array([1, 0, 0, 1]), np.array([0, 1, 0, 1], dtype=np.float32)
    assert log_loss_terms(y, p).mean() == pytest.approx(sk.log_loss(y, p), rel=1e-6)


@pytest.mark.parametrize("levels", [None, 8])
def test_curves_agree_with_scikit_learn(levels):
    y, p = drawn(levels=levels, dtype=np.float64)
    ranking = Ranking.of(y, p)
    fpr, tpr, thresholds = sk.roc_curve(y, p, drop_intermediate=False)
    ours = roc_curve(ranking)
    np.testing.assert_allclose([ours.x, ours.y], [fpr, tpr], atol=1e-12)
    np.testing.assert_array_equal(ours.threshold, thresholds)
    precision, recall, thresholds = sk.precision_recall_curve(y, p)
    ours = pr_curve(ranking)
    np.testing.assert_allclose(ours.x[::-1], recall[:-1], atol=1e-12)
    np.testing.assert_allclose(ours.y[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_array_equal(ours.threshold[::-1], thresholds)


def test_thinned_curve_keeps_its_ends_and_its_shape():
    y, p = drawn(20_000)
    curve = roc_curve(Ranking.of(y, p))
    thin = curve.thinned(300)
    assert 250 < len(thin.x) <= 300
    for at in (0, -1):
        assert (thin.x[at], thin.y[at]) == (curve.x[at], curve.y[at])
    error = np.abs(np.interp(curve.x, thin.x, thin.y) - curve.y)
    assert error.max() < 0.01


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [0.5], "as many labels"),
        ([], [], "at least one"),
        ([0, 2], [0.1, 0.2], "not 0 or 1"),
        ([0, 1], [0.1, 1.2], "0..1"),
        ([0, 1], [0.1, np.nan], "0..1"),
    ],
)
def test_unusable_input_is_refused(labels, probabilities, message):
    with pytest.raises(InputError, match=message):
        roc_auc(labels, probabilities)
