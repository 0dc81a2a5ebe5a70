"""What is gained by not answering where a network is least certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.arrays import BoolArray, FloatArray, checked, logit

__all__ = ["RiskCoverage", "certainty", "risk_coverage"]


@final
@dataclass(frozen=True)
class RiskCoverage:
    """Share of wrong calls among the most certain patches.

    Patches that are equally certain are answered together, so that the curve has one point for
    each distinct certainty.

    Attributes:
        coverage: float64 (K,), rising to 1: share of patches that are answered.
        risk: float64 (K,): share of them called wrongly.
        certainty: float64 (K,), falling: the least that is answered.
        area: Mean risk over the coverages 1/N, 2/N, ..., 1 (Geifman and El-Yaniv, 2017; as AURC
            in Geifman, Uziel and El-Yaniv, 2019); among equally certain patches, of a random
            order.
        least_area: The same of a perfect order with as many wrong calls.
    """

    coverage: FloatArray
    risk: FloatArray
    certainty: FloatArray
    area: float
    least_area: float


def certainty(probabilities: ArrayLike, threshold: float) -> FloatArray:
    """Return how far each probability lies from the threshold in log odds, float64 (N,), >= 0.

    Args:
        probabilities: Of tumour, shape (N,), in 0..1.
        threshold: In 0..1; a patch at or above it is called tumour.
    """
    z = logit(np.asarray(probabilities, dtype=np.float64))
    sure: FloatArray = np.abs(z - logit(np.array([threshold]))[0])
    return sure


def risk_coverage(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> RiskCoverage:
    """Take the calls of the most certain patches only, for every share of patches.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        threshold: Patches at or above it are called tumour.
    """
    y, p = checked(labels, probabilities)
    wrong = (p >= threshold) != y
    sure = certainty(p, threshold)
    order = np.argsort(-sure, kind="stable")
    wrong, sure = wrong[order], sure[order]
    ends = np.flatnonzero(np.append(np.diff(sure) != 0, True))
    answered = (ends + 1).astype(np.float64)
    errors = np.cumsum(wrong)[ends].astype(np.float64)
    return RiskCoverage(
        coverage=answered / len(y),
        risk=errors / answered,
        certainty=sure[ends],
        area=_area(answered, errors),
        least_area=_least_area(wrong),
    )


def _area(answered: FloatArray, errors: FloatArray) -> float:
    """Return the mean over k = 1..N of the errors expected among the first k, over k."""
    n = int(answered[-1])
    k = np.arange(1, n + 1)
    expected = np.interp(k, np.append(0.0, answered), np.append(0.0, errors))
    return float((expected / k).mean())


def _least_area(wrong: BoolArray) -> float:
    n, errors = len(wrong), int(wrong.sum())
    k = np.arange(n - errors + 1, n + 1)
    return float(((k - (n - errors)) / k).sum() / n)
