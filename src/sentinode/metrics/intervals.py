"""Bootstrap over slides, or over patches where slides are not known.

A resample gives each unit a whole number of how often it was drawn. Metrics that are sums over
patches become one matrix product of those numbers with each unit's sums; AUC and average
precision are taken from the patches ranked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.arrays import FloatArray, IntArray, checked
from sentinode.metrics.calibration import brier_terms, log_loss_terms
from sentinode.metrics.counts import count_metrics, outcomes
from sentinode.metrics.ranking import Ranking, ResampledAreas

__all__ = ["Draws", "Spread", "bootstrap", "spread"]

VALUES_AT_ONCE = 4_000_000


@final
@dataclass(frozen=True)
class Draws:
    """What each resample gave, NaN where a metric was undefined in it.

    Attributes:
        overall: float64 (R,) for each of roc_auc, pr_auc, brier and log_loss.
        at: Name of the threshold -> metric of ``COUNT_METRICS`` -> float64 (R,).
        sums: Name of a further term -> its sum over the patches drawn, float64 (R,).
    """

    overall: dict[str, FloatArray]
    at: dict[str, dict[str, FloatArray]]
    sums: dict[str, FloatArray]


@final
@dataclass(frozen=True)
class Spread:
    """An interval by percentiles.

    Attributes:
        low: Lower end.
        high: Upper end.
        defined: Share of the resamples in which the metric was defined.
    """

    low: float
    high: float
    defined: float


def bootstrap(
    labels: ArrayLike,
    probabilities: ArrayLike,
    units: IntArray,
    thresholds: Mapping[str, float],
    *,
    resamples: int,
    seed: int,
    terms: Mapping[str, ArrayLike] | None = None,
    on_done: Callable[[int], None] | None = None,
) -> Draws:
    """Draw units with replacement and take every metric of each draw.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        units: int64 (N,), codes 0..U-1: the slide of each patch, or the patch itself.
        thresholds: Thresholds by name.
        resamples: Number of draws.
        seed: Seed of the draws; units are drawn in the order of their highest probability.
        terms: Further values of each patch, (N,) by name, that are summed in each draw.
        on_done: Told the number of draws finished since it was last told.
    """
    more = {name: np.asarray(term, np.float64) for name, term in (terms or {}).items()}
    y, p = checked(labels, probabilities)
    ranking = Ranking.of(y, p)
    ranked_units = _by_first_seen(units[ranking.order])
    y, p = y[ranking.order], p[ranking.order]
    more = {name: term[ranking.order] for name, term in more.items()}
    unit_sums = _unit_sums(y, p, ranked_units, thresholds, more)
    resampled = ResampledAreas(ranking, ranked_units)
    sums, areas = [], []
    for drawn in _draws(len(unit_sums), resamples, seed):
        sums.append(drawn.astype(np.float64) @ unit_sums)
        for row in drawn:
            areas.append(resampled.of(row))
            if on_done is not None:
                on_done(1)
    total = np.concatenate(sums)
    auc, average = np.array(areas).T
    n = total[:, 0]
    overall = {
        "roc_auc": auc,
        "pr_auc": average,
        "brier": total[:, 1] / n,
        "log_loss": total[:, 2] / n,
    }
    at = {name: count_metrics(total[:, 3 + 4 * i : 7 + 4 * i]) for i, name in enumerate(thresholds)}
    last = 3 + 4 * len(thresholds)
    return Draws(overall, at, {name: total[:, last + i] for i, name in enumerate(more)})


def spread(values: FloatArray, confidence: float) -> Spread | None:
    """Return the percentile interval of a metric's draws, None where it was never defined."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Spread(float(low), float(high), len(defined) / len(values))


def _by_first_seen(units: IntArray) -> IntArray:
    """Number units in the order in which they appear, so that memory is read in order too."""
    _, first, codes = np.unique(units, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[codes]


def _unit_sums(
    y: np.ndarray,
    p: FloatArray,
    units: IntArray,
    thresholds: Mapping[str, float],
    more: Mapping[str, FloatArray],
) -> FloatArray:
    """Return float64 (U, 3 + 4T + M).

    Patches, squared error, log-loss, counts at each threshold, and the further terms.
    """
    terms = [np.ones(len(y)), brier_terms(y, p), log_loss_terms(y, p)]
    for threshold in thresholds.values():
        outcome = outcomes(y, p, threshold)
        terms += [(outcome == k).astype(np.float64) for k in range(4)]
    terms += more.values()
    n_units = int(units.max()) + 1
    return np.stack([np.bincount(units, term, minlength=n_units) for term in terms], axis=1)


def _draws(n_units: int, resamples: int, seed: int) -> Iterator[IntArray]:
    """Yield int64 (r, U): how often each unit was drawn, in blocks that fit in memory."""
    rng = np.random.default_rng(seed)
    block = max(1, VALUES_AT_ONCE // n_units)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        yield np.stack(
            [np.bincount(rng.integers(0, n_units, n_units), minlength=n_units) for _ in range(rows)]
        ).astype(np.int64)
