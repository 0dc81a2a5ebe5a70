"""Whether acting on the probabilities does more good than harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.arrays import FloatArray, IntArray, checked, ratio

__all__ = ["DecisionCurve", "decision_curve", "negative_predictive_value", "precision_at"]


@final
@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over threshold probabilities (Vickers and Elkin, 2006).

    Attributes:
        threshold: float64 (T,), in 0..1.
        model: float64 (T,): of calling the patches at or above the threshold.
        error: float64 (T,): its standard error over units; NaN with one unit.
        everything: float64 (T,): of calling every patch tumour; calling none has 0.
    """

    threshold: FloatArray
    model: FloatArray
    error: FloatArray
    everything: FloatArray


def decision_curve(
    labels: ArrayLike, probabilities: ArrayLike, units: IntArray, thresholds: FloatArray
) -> DecisionCurve:
    """Return hits less false alarms, weighted by the odds of the threshold, over all patches.

    The threshold ``t`` says what a false alarm costs: ``t / (1 - t)`` of what a hit is worth.
    Net benefit is a mean over patches; its error is that of a mean of clusters. Probabilities and
    thresholds are compared as float32, in which predictions are stored: 0.9 reaches 0.9.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        units: int64 (N,), codes from 0 of what stays together.
        thresholds: float64 (T,), in 0..1, without the ends.
    """
    y, p = checked(labels, probabilities)
    n_units = int(units.max()) + 1
    sizes = np.bincount(units, minlength=n_units)
    stored, limits = p.astype(np.float32), thresholds.astype(np.float32)
    weight = thresholds / (1 - thresholds)
    model, error = np.empty(len(thresholds)), np.full(len(thresholds), np.nan)
    for i, (threshold, odds) in enumerate(zip(limits, weight, strict=True)):
        gain = np.where(stored >= threshold, np.where(y, 1.0, -odds), 0.0)
        model[i] = gain.mean()
        if n_units > 1:
            rest = np.bincount(units, gain, minlength=n_units) - model[i] * sizes
            error[i] = np.sqrt((rest**2).sum() * n_units / (n_units - 1)) / len(y)
    share = y.mean()
    return DecisionCurve(thresholds, model, error, share - (1 - share) * weight)


def precision_at(prevalence: float, sensitivity: FloatArray, specificity: FloatArray) -> FloatArray:
    """Return the precision where a share ``prevalence`` has tumour, by Bayes' rule.

    Sensitivity and specificity, float64 of one shape, are taken to be what they are here; NaN
    where they are, or where nothing is called tumour.
    """
    hits = prevalence * sensitivity
    return ratio(hits, hits + (1 - prevalence) * (1 - specificity))


def negative_predictive_value(
    prevalence: float, sensitivity: FloatArray, specificity: FloatArray
) -> FloatArray:
    """Return the share of normal among patches called normal; else as :func:`precision_at`."""
    right = (1 - prevalence) * specificity
    return ratio(right, right + prevalence * (1 - sensitivity))
