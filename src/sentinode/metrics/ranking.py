"""How well probabilities put tumour above normal: ROC and precision-recall, weighted or not.

The scores are sorted once; each resample of a bootstrap is then two cumulative sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.metrics.arrays import BoolArray, FloatArray, IntArray, checked

__all__ = [
    "CurvePoints",
    "Ranking",
    "ResampledAreas",
    "average_precision",
    "pr_curve",
    "roc_auc",
    "roc_curve",
]

_Weights = NDArray[Any]


@final
@dataclass(frozen=True)
class CurvePoints:
    """A curve over falling thresholds.

    Attributes:
        x: float64 (K,).
        y: float64 (K,).
        threshold: float64 (K,): a patch at or above it is called tumour; infinite where none is.
    """

    x: FloatArray
    y: FloatArray
    threshold: FloatArray

    def thinned(self, n: int) -> CurvePoints:
        """Return at most ``n`` of the points, evenly along the curve, both ends among them."""
        if len(self.x) <= n:
            return self
        steps = np.abs(np.diff(self.x)) + np.abs(np.diff(self.y))
        way = np.concatenate([[0.0], np.cumsum(steps)])
        wanted = np.linspace(0.0, way[-1], n)
        keep = np.unique(np.searchsorted(way, wanted).clip(0, len(way) - 1))
        keep[-1] = len(way) - 1
        return CurvePoints(self.x[keep], self.y[keep], self.threshold[keep])


@final
@dataclass(frozen=True)
class Ranking:
    """Patches in falling order of probability, N of them, P with tumour.

    A tie is a run of ranks with one probability; ``first`` and ``last`` bound it.

    Attributes:
        order: int64 (N,): the patch at each rank.
        tumour: bool (N,): the label at each rank.
        score: float64 (N,): the probability at each rank, falling.
        first: int64 (P,): for each tumour patch by rank, how many patches rank above its tie.
        last: int64 (P,): and how many do so or stand in its tie.
        tumour_first: int64 (P,): as ``first``, counting tumour patches only.
        tumour_last: int64 (P,): as ``last``, counting tumour patches only.
    """

    order: IntArray
    tumour: BoolArray
    score: FloatArray
    first: IntArray
    last: IntArray
    tumour_first: IntArray
    tumour_last: IntArray

    @classmethod
    def of(cls, labels: ArrayLike, probabilities: ArrayLike) -> Ranking:
        """Rank labels 0 or 1 (N,) by probabilities (N,) in 0..1."""
        y, p = checked(labels, probabilities)
        order = np.argsort(-p, kind="stable").astype(np.int64)
        tumour, score = y[order], p[order]
        rising = -score
        first = np.searchsorted(rising, rising[tumour], side="left")
        last = np.searchsorted(rising, rising[tumour], side="right")
        above = np.concatenate([[0], np.cumsum(tumour)])
        return cls(order, tumour, score, first, last, above[first], above[last])

    def areas(self, ranked_weights: IntArray | FloatArray) -> tuple[float, float]:
        """Return ROC AUC and average precision with a weight for each patch.

        AUC is the weighted share of pairs, one of each class, that stand in the right order, a
        tie counting half (Mann and Whitney, 1947). Average precision is the mean precision at
        the tumour patches. Both are NaN where a class they need has no weight.

        Args:
            ranked_weights: Of the patches in the order of rank, shape (N,), at least 0; exact
                where they are integers.
        """
        weights = ranked_weights[self.tumour]
        every = _from_zero(ranked_weights)
        tumours = _from_zero(weights)
        positive, negative = tumours[-1], every[-1] - tumours[-1]
        if positive <= 0:
            return np.nan, np.nan
        at_or_above, tumour_at_or_above = every[self.last], tumours[self.tumour_last]
        precision = tumour_at_or_above / np.where(at_or_above > 0, at_or_above, 1)
        average = float(weights @ precision / positive)
        if negative <= 0:
            return np.nan, average
        false_alarms = (at_or_above - tumour_at_or_above) + (
            every[self.first] - tumours[self.tumour_first]
        )
        wrong = float((weights * false_alarms).sum()) / 2
        return 1 - wrong / (float(positive) * float(negative)), average

    def cumulated(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return tumour and normal patches at or above each distinct score, and the scores.

        Three arrays (K + 1,) that begin with no patch at an infinite score.
        """
        ends = np.flatnonzero(np.append(np.diff(self.score) != 0, True))
        tumour = np.cumsum(self.tumour, dtype=np.int64)[ends]
        normal = ends + 1 - tumour
        score = self.score[ends]
        return np.append(0, tumour), np.append(0, normal), np.append(np.inf, score)


@final
class ResampledAreas:
    """The same two areas for one draw of units after another.

    Every array a draw needs is made once, since fresh ones of this size cost more than the sums
    in them; an object serves one thread.

    Args:
        ranking: N patches, P of them with tumour.
        ranked_units: int64 (N,): unit of the patch at each rank, codes 0..U-1.
    """

    def __init__(self, ranking: Ranking, ranked_units: IntArray) -> None:
        self._ranking, self._units = ranking, ranked_units
        self._tumour_units = ranked_units[ranking.tumour]
        n, p = len(ranked_units), len(self._tumour_units)
        self._weights, self._every = np.empty(n, np.int64), np.zeros(n + 1, np.int64)
        self._tumour_weights, self._tumours = np.empty(p, np.int64), np.zeros(p + 1, np.int64)
        self._above, self._tumours_above, self._scratch = np.empty((3, p), np.int64)
        self._precision = np.empty(p)

    def of(self, drawn: IntArray) -> tuple[float, float]:
        """Return what :meth:`Ranking.areas` does, for int64 (U,): how often each unit was drawn."""
        ranking, weights = self._ranking, self._tumour_weights
        every, tumours = self._every, self._tumours
        _take(drawn, self._units, self._weights)
        np.cumsum(self._weights, out=every[1:])
        _take(drawn, self._tumour_units, weights)
        np.cumsum(weights, out=tumours[1:])
        positive = int(tumours[-1])
        negative = int(every[-1]) - positive
        if not positive:
            return np.nan, np.nan
        above, tumours_above, scratch = self._above, self._tumours_above, self._scratch
        _take(every, ranking.last, above)
        _take(tumours, ranking.tumour_last, tumours_above)
        np.maximum(above, 1, out=scratch)
        np.divide(tumours_above, scratch, out=self._precision)
        average = float(np.multiply(self._precision, weights, out=self._precision).sum()) / positive
        if not negative:
            return np.nan, average
        above -= tumours_above  # now false alarms at or above the score
        _take(every, ranking.first, scratch)
        above += scratch
        _take(tumours, ranking.tumour_first, scratch)
        above -= scratch  # and those above it, so that a tie counts half
        wrong = int(np.multiply(above, weights, out=above).sum()) / 2
        return 1 - wrong / (positive * negative), average


def _take(source: IntArray, places: IntArray, out: IntArray) -> None:
    np.take(source, places, out=out, mode="clip")  # places are valid; "raise" would copy first


def _from_zero(weights: _Weights) -> _Weights:
    sums: _Weights = np.zeros(len(weights) + 1, dtype=weights.dtype)
    np.cumsum(weights, out=sums[1:])
    return sums


def _areas(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None
) -> tuple[float, float]:
    ranking = Ranking.of(labels, probabilities)
    w = np.ones(len(ranking.order), np.int64) if weights is None else np.asarray(weights)
    return ranking.areas(w[ranking.order])


def roc_auc(labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, NaN with one class only.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        weights: At least 0, shape (N,); None counts each patch once.
    """
    return _areas(labels, probabilities, weights)[0]


def average_precision(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the area under the precision-recall curve as average precision.

    Arguments as of :func:`roc_auc`; NaN without a tumour patch.
    """
    return _areas(labels, probabilities, weights)[1]


def roc_curve(ranking: Ranking) -> CurvePoints:
    """Return 1 - specificity against sensitivity; NaN for a class that is not there."""
    tumour, normal, score = ranking.cumulated()
    return CurvePoints(_share(normal), _share(tumour), score)


def pr_curve(ranking: Ranking) -> CurvePoints:
    """Return recall against precision, from the highest score on."""
    tumour, normal, score = ranking.cumulated()
    precision = tumour[1:] / (tumour[1:] + normal[1:])
    return CurvePoints(_share(tumour)[1:], precision, score[1:])


def _share(counts: IntArray) -> FloatArray:
    return counts / counts[-1] if counts[-1] else np.full(len(counts), np.nan)
