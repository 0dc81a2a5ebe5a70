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
    count = _count(values, counted)
    last = xp.clip(count - 1, 0, None)
    exact = [xp.astype(last, xp.float64) * (percent / 100) for percent in percents]
    low = [xp.astype(xp.floor(e), xp.int64) for e in exact]
    wanted = xp.stack([k for at in low for k in (at, xp.minimum(at + 1, last))], axis=1)
    found = _order_statistics(values, counted, count, wanted)
    if through is not None:
        found = through(found)
    results = []
    for i, (at, place) in enumerate(zip(low, exact, strict=True)):
        part = xp.astype(place - xp.astype(at, xp.float64), values.dtype)
        value = found[:, 2 * i] + part * (found[:, 2 * i + 1] - found[:, 2 * i])
        results.append(xp.where(count > 0, value, float("nan") * xp.ones_like(value)))
    return tuple(results)


def _count(values: Any, counted: Any) -> Any:
    xp = array_namespace(values)
    if counted is None:
        return xp.sum(xp.ones_like(values[:, :1], dtype=xp.int64), axis=1) * values.shape[1]
    if is_numpy_array(counted):  # row by row: NumPy sums truth values slowly
        return np.array([np.count_nonzero(row) for row in counted])
    return xp.sum(xp.astype(counted, xp.int64), axis=1)


def _order_statistics(values: Any, counted: Any, count: Any, wanted: Any) -> Any:
    """Return what stands at the places ``wanted`` (N, K) of the sorted counted values."""
    if is_numpy_array(values):
        return _selected(values, counted, count, wanted)
    xp = array_namespace(values)
    if counted is not None:
        values = xp.where(counted, values, float("inf") * xp.ones_like(values))
    return xp.take_along_axis(xp.sort(values, axis=1), wanted, axis=1)


def _selected(
    values: NDArray[Any],
    counted: NDArray[np.bool_] | None,
    count: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> NDArray[Any]:
    """Select order statistics from the few values that a sample says can be there."""
    low = wanted < count[:, None] // 2
    most, least = _bounds(values, counted, count, wanted, low)
    at_ends = values >= least[:, None]
    if low.any():
        at_ends |= values <= most[:, None]
    if counted is not None:
        at_ends &= counted
    which = np.flatnonzero(at_ends)
    ends = np.split(
        values.reshape(-1)[which], which.searchsorted(values.shape[1] * np.arange(1, len(values)))
    )
    found = np.full(wanted.shape, np.nan, values.dtype)
    for row in np.flatnonzero(count):
        some = np.sort(ends[row])
        places = np.where(low[row], wanted[row], wanted[row] + len(some) - count[row])
        if places.min() >= 0 and places.max() < len(some):
            found[row] = some[places]
        # all values up to `most` and from `least` are among them, so that these are in their place
        if not np.where(low[row], found[row] <= most[row], found[row] >= least[row]).all():
            every = values[row] if counted is None else values[row][counted[row]]
            found[row] = np.partition(every, wanted[row])[wanted[row]]
    return found


def _bounds(
    values: NDArray[Any],
    counted: NDArray[np.bool_] | None,
    count: NDArray[np.int64],
    wanted: NDArray[np.int64],
    low: NDArray[np.bool_],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return values (N,) that likely have what is wanted, and little more, beyond them."""
    step = max(values.shape[1] // SAMPLE, 1)
    sample = values[:, ::step]
    if counted is not None:
        sample = np.where(counted[:, ::step], sample, np.inf)
    sample = np.sort(sample, axis=1)
    size = np.isfinite(sample).sum(1)
    rate = size / np.maximum(count, 1)
    from_below = np.where(low, wanted, -1).max(1)
    from_above = count - 1 - np.where(low, count[:, None], wanted).min(1)
    rows, bounds = np.arange(len(values)), []
    for place, sign in ((from_below, 1), (from_above, -1)):
        expected = np.maximum(place, 0) * rate
        at = (expected + 4 * np.sqrt(expected + 1) + 2).astype(np.int64)
        inside = sample[rows, np.clip(at if sign > 0 else size - 1 - at, 0, sample.shape[1] - 1)]
        bound = np.where(at < size, inside, sign * np.inf)
        bounds.append(np.where(place < 0, -sign * np.inf, bound).astype(values.dtype))
    return bounds[0], bounds[1]
