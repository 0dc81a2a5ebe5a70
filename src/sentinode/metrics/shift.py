"""Whether two samples differ by more than their units, such as slides, do among themselves."""

from __future__ import annotations

import numpy as np

from sentinode.metrics.arrays import FloatArray, IntArray

__all__ = ["shift_p_value"]

GRID = 200
MOST_BLOCKS = 500
PERMUTATIONS = 999


def shift_p_value(
    here: FloatArray,
    there: FloatArray,
    here_units: IntArray,
    there_units: IntArray,
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> float:
    """Judge the Kolmogorov-Smirnov distance of two samples by exchanging their units.

    Whole units are dealt out anew, as many to either side as before, so that values of one unit
    may resemble each other. The distance is taken at 200 values; more than 500 units of a side
    are dealt out in 500 lots.

    Args:
        here: float64 (N,), values.
        there: float64 (M,), others.
        here_units: int64 (N,), codes from 0 of their units.
        there_units: int64 (M,), the same; a code stands for another unit than it does there.
        seed: Of the permutations.
        permutations: How many.

    Returns:
        Share of the permutations, the given one counted among them, that lie as far apart.
    """
    grid = np.unique(np.quantile(np.concatenate([here, there]), np.linspace(0, 1, GRID)))
    below = [_below(v, u, grid) for v, u in ((here, here_units), (there, there_units))]
    first, blocks = len(below[0]), np.concatenate(below)
    rng, whole = np.random.default_rng(seed), blocks.sum(axis=0)
    observed, reached = _distance(below[0].sum(axis=0), whole), 1
    for _ in range(permutations):
        some = blocks[rng.permutation(len(blocks))[:first]].sum(axis=0)
        reached += _distance(some, whole) >= observed
    return reached / (permutations + 1)


def _below(values: FloatArray, units: IntArray, grid: FloatArray) -> FloatArray:
    """Return how many values of each unit are at most those of the grid, (units, len(grid))."""
    unit = np.unique(units, return_inverse=True)[1] % MOST_BLOCKS
    place = np.searchsorted(grid, values, side="left")
    count = np.bincount(unit * len(grid) + place, minlength=(int(unit.max()) + 1) * len(grid))
    below: FloatArray = count.reshape(-1, len(grid)).cumsum(axis=1).astype(np.float64)
    return below


def _distance(some: FloatArray, whole: FloatArray) -> float:
    rest = whole - some
    return float(np.abs(some / some[-1] - rest / rest[-1]).max())
