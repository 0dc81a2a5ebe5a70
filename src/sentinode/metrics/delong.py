"""DeLong's covariance of ROC AUCs, in the time of a sort."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from sentinode.errors import InputError
from sentinode.metrics.arrays import FloatArray

__all__ = ["delong", "delong_interval", "delong_test"]


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the AUCs of M scores on the same patches, and their covariance.

    DeLong, DeLong and Clarke-Pearson, 1988, by mid-ranks (Sun and Xu, 2014); patches count as
    independent of each other.

    Args:
        labels: 0 or 1, shape (N,).
        scores: Higher for tumour, shape (M, N).

    Returns:
        float64 (M,) and float64 (M, M); the covariance is NaN with one patch of a class.

    Raises:
        InputError: The shapes do not fit, or there is one class only.
    """
    y = np.asarray(labels, dtype=np.bool_)
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or y.shape != s.shape[1:]:
        raise InputError(f"expected labels (N,) and scores (M, N), got {y.shape} and {s.shape}")
    m, n = int(y.sum()), int((~y).sum())
    if not (m and n):
        raise InputError("AUC needs patches of both classes, got one class only")
    among_all = rankdata(s, axis=1)
    tumour = (among_all[:, y] - rankdata(s[:, y], axis=1)) / n
    normal = 1 - (among_all[:, ~y] - rankdata(s[:, ~y], axis=1)) / m
    covariance = _covariance(tumour) / m + _covariance(normal) / n
    return tumour.mean(axis=1), covariance


def _covariance(components: FloatArray) -> FloatArray:
    if components.shape[1] < 2:
        return np.full((len(components), len(components)), np.nan)
    return np.atleast_2d(np.cov(components))


def delong_interval(
    labels: ArrayLike, probabilities: ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """Return DeLong's interval of one AUC, kept in 0..1; arguments as of :func:`delong`."""
    auc, covariance = delong(labels, np.asarray(probabilities)[None])
    reach = norm.ppf((1 + confidence) / 2) * np.sqrt(covariance[0, 0])
    low, high = np.clip([auc[0] - reach, auc[0] + reach], 0.0, 1.0)
    return float(low), float(high)


def delong_test(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """Return the difference of two AUCs on the same patches and its two-sided p-value.

    Args:
        labels: 0 or 1, shape (N,).
        first: Scores, shape (N,).
        second: Scores to subtract, shape (N,).

    Returns:
        The first AUC less the second, and the p-value of no difference; the p-value is NaN with
        one patch of a class.
    """
    auc, covariance = delong(labels, np.stack([np.asarray(first), np.asarray(second)]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    difference = float(auc[0] - auc[1])
    if np.isnan(variance):
        return difference, float("nan")
    if variance <= 0:
        return difference, float(difference == 0)
    return difference, float(2 * norm.sf(abs(difference) / np.sqrt(variance)))
