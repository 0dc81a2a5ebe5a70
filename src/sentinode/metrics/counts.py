"""The confusion counts at a threshold, and every metric that follows from them alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.arrays import FloatArray, IntArray, checked, ratio

__all__ = ["COUNT_METRICS", "confusion_counts", "count_metrics", "outcomes"]

COUNT_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "f1",
    "mcc",
)


def outcomes(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> IntArray:
    """Return what became of each patch: 0 hit, 1 false alarm, 2 rightly normal, 3 miss.

    A patch is called tumour when its probability is at least the threshold.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        threshold: In 0..1.
    """
    y, p = checked(labels, probabilities)
    called = p >= threshold
    return np.where(called, np.where(y, 0, 1), np.where(y, 3, 2)).astype(np.int64)


def confusion_counts(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> IntArray:
    """Return int64 (4,): hits, false alarms, rightly normal, misses (TP, FP, TN, FN)."""
    return np.bincount(outcomes(labels, probabilities, threshold), minlength=4).astype(np.int64)


def count_metrics(counts: ArrayLike) -> dict[str, FloatArray]:
    """Return each of ``COUNT_METRICS`` for counts of shape (..., 4), as float64 (...).

    A metric is NaN where it is undefined, such as sensitivity without a tumour patch. MCC is the
    correlation of label and call (Matthews, 1975).
    """
    tp, fp, tn, fn = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    sensitivity = ratio(tp, tp + fn)
    specificity = ratio(tn, tn + fp)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "accuracy": ratio(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": ratio(tp, tp + fp),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": ratio(tp * tn - fp * fn, np.sqrt(spread)),
    }
