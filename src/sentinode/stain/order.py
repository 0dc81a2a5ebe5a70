"""Percentiles of each row of a batch, over the entries that count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.typing import NDArray

__all__ = ["percentile"]

SAMPLE = 512


def percentile(
    values: Any,
    percents: tuple[float, ...],
    *,
    counted: Any = None,
    through: Callable[[Any], Any] | None = None,
) -> tuple[Any, ...]:
    """Return percentiles by linear interpolation between order statistics, as NumPy's default.

    Args:
        values: float (N, P).
        percents: In 0..100.
        counted: Boolean (N, P), which of them count; all where it is not given.
        through: Applied to the order statistics before they are interpolated: a function that
            grows with its argument, cheaper on a few values than on all.

    Returns:
        float (N,) for each percent; NaN in rows that count nothing.
    """
    xp = array_namespace(values)
    if counted is None:
        counted = xp.ones_like(values, dtype=xp.bool)
    count = xp.sum(xp.astype(counted, xp.int64), axis=1)
    last = xp.clip(count - 1, 0, None)
    exact = [xp.astype(last, xp.float64) * (percent / 100) for percent in percents]
    low = [xp.astype(xp.floor(e), xp.int64) for e in exact]
    wanted = xp.stack([k for at in low for k in (at, xp.minimum(at + 1, last))], axis=1)
    found = _order_statistics(values, counted, wanted)
    if through is not None:
        found = through(found)
    results = []
    for i, (at, place) in enumerate(zip(low, exact, strict=True)):
        part = xp.astype(place - xp.astype(at, xp.float64), values.dtype)
        value = found[:, 2 * i] + part * (found[:, 2 * i + 1] - found[:, 2 * i])
        results.append(xp.where(count > 0, value, float("nan") * xp.ones_like(value)))
    return tuple(results)


def _order_statistics(values: Any, counted: Any, wanted: Any) -> Any:
    """Return what stands at the places ``wanted`` (N, K) of the sorted counted values."""
    if is_numpy_array(values):
        rows = zip(values, counted, wanted, strict=True)
        return np.stack([_selected(row[which], places) for row, which, places in rows])
    xp = array_namespace(values)
    pushed = xp.where(counted, values, float("inf") * xp.ones_like(values))
    return xp.take_along_axis(xp.sort(pushed, axis=1), wanted, axis=1)


def _selected(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """Select order statistics; near an end, from the few values that can be there."""
    if not len(values):
        return np.full(len(places), np.nan, values.dtype)
    found = np.empty(len(places), values.dtype)
    for i in range(0, len(places), 2):  # neighbours, found in one selection
        found[i : i + 2] = _neighbours(values, int(places[i]), int(places[i + 1]))
    return found


def _neighbours(values: NDArray[Any], place: int, after: int) -> NDArray[Any]:
    """Return ``np.sort(values)[[place, after]]``; ``after`` is ``place`` or the next."""
    sample = np.sort(values[:: max(len(values) // SAMPLE, 1)])
    share, both = len(sample) / len(values), np.array([place, after])
    margin = 4 * np.sqrt(min(place, len(values) - place) * share + 1) + 2
    low, high = int(place * share + margin), int(place * share - margin)
    first = 0
    few = values
    if low < len(sample) // 2:
        below = values[values <= sample[low]]
        if after < len(below):
            few = below
    elif high > len(sample) // 2:
        above = values[values >= sample[high]]
        if place >= len(values) - len(above):
            few, first = above, len(values) - len(above)
    found: NDArray[Any] = np.partition(few, both - first)[both - first]
    return found
