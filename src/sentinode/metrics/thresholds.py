"""Rules that choose a threshold, on validation patches."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sentinode.metrics.arrays import FloatArray
from sentinode.metrics.ranking import Ranking

__all__ = ["ThresholdRule", "choose_threshold"]

ThresholdRule = Literal["youden", "accuracy", "half", "sensitivity", "cost"]


def choose_threshold(
    rule: ThresholdRule,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    sensitivity: float = 0.95,
    miss_cost: float = 1.0,
) -> float | None:
    """Return the threshold that a rule chooses; a patch at or above it is called tumour.

    A threshold lies halfway between two neighbouring probabilities, so that it does not hang on
    the last digit of one. Among equally good ones the one nearest to 0.5 is taken.

    Args:
        rule: ``youden`` (largest sensitivity plus specificity), ``accuracy`` (most right),
            ``sensitivity`` (the highest threshold that reaches the target), ``cost`` (least cost)
            or ``half`` (0.5, whatever the patches).
        labels: 0 or 1, shape (N,).
        probabilities: Of tumour, shape (N,), in 0..1.
        sensitivity: Target of the rule of that name, in 0..1.
        miss_cost: Cost of a miss in false alarms, for the rule ``cost``.

    Returns:
        None where the rule cannot choose: it needs both classes and two different probabilities.
    """
    if rule == "half":
        return 0.5
    hits, false_alarms, score = Ranking.of(labels, probabilities).cumulated()
    positive, negative = hits[-1], false_alarms[-1]
    if not (positive and negative) or len(score) < 3:
        return None
    places = _between(score)
    hits, false_alarms = hits[: len(places)], false_alarms[: len(places)]
    if rule == "sensitivity":
        wanted = round(float(sensitivity * positive), 9)  # 0.55 of 100 is 55, not a digit more
        enough = np.flatnonzero(hits >= wanted)
        return float(places[enough[0]])
    gain = {
        "youden": hits * negative - false_alarms * positive,
        "accuracy": hits - false_alarms,
        "cost": miss_cost * hits - false_alarms,
    }[rule]
    best = places[gain == gain.max()]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _between(score: FloatArray) -> FloatArray:
    """Return a threshold for calling nothing, the highest score only, … and everything."""
    finite = score[1:]
    nothing = np.nextafter(1.0, 2.0) if finite[0] == 1 else (finite[0] + 1) / 2
    return np.concatenate([[nothing], (finite[:-1] + finite[1:]) / 2, [finite[-1] / 2]])
