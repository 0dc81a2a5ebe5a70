"""Whether two networks differ on the same patches, or would with other patches and other seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from sentinode.errors import InputError
from sentinode.metrics.arrays import FloatArray, IntArray
from sentinode.metrics.ranking import Ranking, ResampledAreas

__all__ = ["Contrast", "contrast", "holm", "resampled_aucs", "two_sided"]

ROUNDING = 1e-9


@final
@dataclass(frozen=True)
class Contrast:
    """The difference of the mean AUCs of two groups of networks, the first less the second.

    Attributes:
        value: The difference.
        patches_error: Its standard error over patches (or slides), for these very networks.
        patches_p: Two-sided p-value of no difference between these very networks.
        error: Standard error over patches and seeds together; None where a group has one network.
        degrees: Degrees of freedom of ``error``.
        p: Two-sided p-value of no difference between networks of other seeds.
    """

    value: float
    patches_error: float
    patches_p: float
    error: float | None
    degrees: float | None
    p: float | None

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval over patches and seeds, over patches alone where that is all."""
        if self.error is None or self.degrees is None:
            reach = norm.ppf((1 + confidence) / 2) * self.patches_error
        else:
            reach = t.ppf((1 + confidence) / 2, self.degrees) * self.error
        return self.value - float(reach), self.value + float(reach)


def contrast(
    aucs: FloatArray, covariance: FloatArray, first: Sequence[int], second: Sequence[int]
) -> Contrast:
    """Compare two groups of networks, seeds being readers and patches being cases.

    Obuchowski and Rockette, 1995, with readers nested in the groups: the variance of the
    difference is that of the seeds' means plus the covariances within the groups less twice the
    one between them; degrees of freedom as of Hillis, 2007. It is not let fall below the variance
    over patches alone, since the spread of few seeds may come out too small by chance.

    Args:
        aucs: float64 (M,).
        covariance: float64 (M, M), of the AUCs over patches or slides (`delong`, or draws).
        first: Places of the first group's networks among the M.
        second: Of the second's, none of them in both.

    Raises:
        InputError: The covariance is not defined, as with one patch of a class.
    """
    if not np.isfinite(covariance).all():
        raise InputError(
            "the covariance of the AUCs is not defined; two patches (or slides) of each class or "
            "more are needed"
        )
    weights = np.zeros(len(aucs))
    weights[list(first)] = 1 / len(first)
    weights[list(second)] = -1 / len(second)
    value = float(weights @ aucs)
    patches = math.sqrt(max(0.0, float(weights @ covariance @ weights)))
    patches_p = two_sided(value, patches)
    if min(len(first), len(second)) < 2:
        return Contrast(value, patches, patches_p, None, None, None)
    parts = [float(np.var(aucs[list(g)], ddof=1)) / len(g) for g in (first, second)]
    shared = _within(covariance, first) + _within(covariance, second)
    shared -= 2 * float(covariance[np.ix_(list(first), list(second))].mean())
    total = max(sum(parts) + max(0.0, shared), patches * patches)
    spread = sum(
        part * part / (len(group) - 1) for part, group in zip(parts, (first, second), strict=True)
    )
    degrees = total * total / spread if spread > 0 else float("inf")
    error = math.sqrt(total)
    p = float(2 * t.sf(abs(value) / error, degrees)) if error > 0 else _certain(value)
    return Contrast(value, patches, patches_p, error, float(degrees), p)


def _within(covariance: FloatArray, group: Sequence[int]) -> float:
    """Return the mean covariance between different networks of a group."""
    block = covariance[np.ix_(list(group), list(group))]
    return float((block.sum() - np.trace(block)) / (len(group) * (len(group) - 1)))


def two_sided(value: float, error: float) -> float:
    """Return the p-value of a normal estimate of 0; 1 or 0 where its error is 0."""
    if np.isnan(error):
        return float("nan")
    return float(2 * norm.sf(abs(value) / error)) if error > 0 else _certain(value)


def _certain(value: float) -> float:
    """Return the p-value of an estimate without error; what is 0 but for rounding is 0."""
    return float(abs(value) < ROUNDING)


def resampled_aucs(
    labels: ArrayLike,
    scores: ArrayLike,
    units: IntArray,
    *,
    resamples: int,
    seed: int,
    on_done: Callable[[int], None] | None = None,
) -> FloatArray:
    """Return the AUC of every network in every draw, each draw the same for all of them.

    Args:
        labels: 0 or 1, shape (N,).
        scores: Probabilities of M networks, shape (M, N), in 0..1.
        units: int64 (N,), codes 0..U-1: the slide of each patch, or the patch itself.
        resamples: Number of draws of units with replacement.
        seed: Seed of the draws.
        on_done: Told the number of draws finished since it was last told.

    Returns:
        float64 (R, M), NaN in draws of one class only.
    """
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or not len(s):
        raise InputError(f"expected scores (M, N) of at least one network, got {s.shape}")
    areas = [_areas_of(Ranking.of(labels, each), units) for each in s]
    rng, n_units = np.random.default_rng(seed), int(units.max()) + 1
    drawn_aucs = np.empty((resamples, len(s)))
    for row in drawn_aucs:
        drawn = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
        row[:] = [area.of(drawn)[0] for area in areas]
        if on_done is not None:
            on_done(1)
    return drawn_aucs


def _areas_of(ranking: Ranking, units: IntArray) -> ResampledAreas:
    return ResampledAreas(ranking, units[ranking.order])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, 1979), NaN left out and kept."""
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    rising = known[np.argsort(p[known], kind="stable")]
    steps = p[rising] * np.arange(len(rising), 0, -1)
    corrected[rising] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(rising) else steps
    return corrected.tolist()
