"""Whether a probability of 0.8 means eight in ten: bins, expected error and recalibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize
from scipy.special import expit

from sentinode.metrics.arrays import EPSILON, FloatArray, IntArray, checked, logit

__all__ = [
    "Binning",
    "Estimate",
    "Recalibration",
    "ReliabilityBins",
    "brier_terms",
    "expected_calibration_error",
    "log_loss_terms",
    "recalibration",
    "reliability",
]

Binning = Literal["width", "mass"]


@final
@dataclass(frozen=True)
class ReliabilityBins:
    """Patches binned by probability; empty bins are left out.

    Attributes:
        low: float64 (B,): least probability of each bin.
        high: float64 (B,): largest.
        count: int64 (B,): patches in it.
        tumour: int64 (B,): those of them with tumour.
        mean_probability: float64 (B,).
    """

    low: FloatArray
    high: FloatArray
    count: IntArray
    tumour: IntArray
    mean_probability: FloatArray

    @property
    def share(self) -> FloatArray:
        """Share of tumour in each bin, float64 (B,)."""
        return self.tumour / self.count


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, binning: Binning = "width", bins: int = 15
) -> ReliabilityBins:
    """Bin patches by probability, by equal width or by equal mass.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        binning: ``width`` for bins of equal width over 0..1, ``mass`` for bins of as equal a
            number of patches as ties allow.
        bins: Number of bins.
    """
    y, p = checked(labels, probabilities)
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    edges = inner if binning == "width" else np.unique(np.quantile(p, inner))
    place = np.searchsorted(edges, p, side="left")
    count = np.bincount(place, minlength=len(edges) + 1)
    used = count > 0
    sums = np.bincount(place, weights=p, minlength=len(count))
    tumour = np.bincount(place, weights=y, minlength=len(count)).astype(np.int64)
    low, high = np.append(0.0, edges), np.append(edges, 1.0)
    return ReliabilityBins(
        low[used], high[used], count[used], tumour[used], (sums / np.maximum(count, 1))[used]
    )


def expected_calibration_error(bins: ReliabilityBins) -> float:
    """Return the mean distance of probability and share of tumour, weighted by patches.

    Naeini, Cooper and Hauskrecht, 2015, for the probability of tumour.
    """
    gaps = np.abs(bins.mean_probability - bins.share)
    return float((bins.count * gaps).sum() / bins.count.sum())


def brier_terms(labels: ArrayLike, probabilities: ArrayLike) -> FloatArray:
    """Return the squared error of each probability, float64 (N,); their mean is Brier's score."""
    y, p = checked(labels, probabilities)
    return np.square(p - y)


def log_loss_terms(labels: ArrayLike, probabilities: ArrayLike) -> FloatArray:
    """Return the natural log-loss of each probability, float64 (N,); their mean is the log-loss.

    Probabilities are kept one float32 resolution away from 0 and 1.
    """
    y, p = checked(labels, probabilities)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return -np.where(y, np.log(p), np.log1p(-p))


@final
@dataclass(frozen=True)
class Estimate:
    """A fitted number and its standard error; NaN error where there are too few units."""

    value: float
    error: float


@final
@dataclass(frozen=True)
class Recalibration:
    """How the logits would have to be moved to be calibrated; slope 1 and intercept 0 are ideal.

    Attributes:
        slope: Below 1 the probabilities are too extreme, above 1 too timid.
        intercept: Fitted together with the slope.
        in_the_large: The intercept with the slope held at 1; below 0 the probabilities are too
            high on the whole.
    """

    slope: Estimate
    intercept: Estimate
    in_the_large: Estimate


def recalibration(
    labels: ArrayLike, probabilities: ArrayLike, units: IntArray
) -> Recalibration | None:
    """Fit the logistic recalibration ``logit P(tumour) = intercept + slope * logit(p)``.

    Cox, 1958; standard errors by the sandwich estimator over units (Liang and Zeger, 1986).

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        units: int64 (N,), codes from 0: what stays together, a slide or a patch.

    Returns:
        None where no finite fit exists: one class only, all probabilities equal, or the two
        classes told apart without overlap.
    """
    y, p = checked(labels, probabilities)
    x = logit(p)
    if y.all() or not y.any() or not _overlap(x[y], x[~y]):
        return None
    beta = _fit(x, y.astype(np.float64))
    design = np.stack([np.ones_like(x), x], axis=1)
    errors = _sandwich(design, y, expit(design @ beta), units)
    shift = float(brentq(lambda a: float((expit(x + a) - y).sum()), -60.0, 60.0))
    shift_error = _sandwich(design[:, :1], y, expit(x + shift), units)[0]
    return Recalibration(
        Estimate(float(beta[1]), float(errors[1])),
        Estimate(float(beta[0]), float(errors[0])),
        Estimate(shift, float(shift_error)),
    )


def _overlap(tumour: FloatArray, normal: FloatArray) -> bool:
    return bool(tumour.min() < normal.max() and normal.min() < tumour.max())


def _fit(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return intercept and slope of the likeliest logistic regression of ``y`` on ``x``."""
    design = np.stack([np.ones_like(x), x], axis=1)

    def loss(beta: FloatArray) -> float:
        z = design @ beta
        return float((np.logaddexp(0.0, z) - y * z).mean())

    def gradient(beta: FloatArray) -> FloatArray:
        return np.asarray(design.T @ (expit(design @ beta) - y) / len(y))

    def hessian(beta: FloatArray) -> FloatArray:
        p = expit(design @ beta)
        return np.asarray((design.T * (p * (1 - p))) @ design / len(y))

    start = np.array([0.0, 1.0])
    found = minimize(
        loss, start, method="trust-exact", jac=gradient, hess=hessian, options={"gtol": 1e-9}
    )
    return np.asarray(found.x, dtype=np.float64)


def _sandwich(design: FloatArray, y: np.ndarray, p: FloatArray, units: IntArray) -> FloatArray:
    n_units = int(units.max()) + 1
    if n_units < 2:
        return np.full(design.shape[1], np.nan)
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
    scores = design * (y - p)[:, None]
    per_unit = np.stack([np.bincount(units, s, minlength=n_units) for s in scores.T], axis=1)
    covariance = bread @ (per_unit.T @ per_unit) @ bread * n_units / (n_units - 1)
    return np.sqrt(np.diag(covariance))
