"""What a map says of a slide: its foci, their sizes, and one score."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sentinode.metrics import focus_class, focus_diameters, join_foci

__all__ = ["Focus", "find_foci", "peaks", "slide_score"]

PEAK_REACH_MM = 0.2
SMOOTH = 0.8  # positions, so that one by chance does not make a detection


@final
@dataclass(frozen=True)
class Focus:
    """Positions at or above the threshold that lie together.

    Attributes:
        diameter_mm: Longest diameter.
        size_class: By that diameter.
        area_mm2: Of its squares.
        probability: The highest in it.
        row: Of that position.
        column: Of that position.
    """

    diameter_mm: float
    size_class: str
    area_mm2: float
    probability: float
    row: int
    column: int

    def facts(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def find_foci(probability: NDArray[Any], threshold: float, cell_mm: float) -> list[Focus]:
    """Find the foci of a map, the largest first.

    Args:
        probability: (rows, columns), NaN where there is no tissue.
        threshold: From which a position counts as tumour.
        cell_mm: Side of a position's square.
    """
    known = np.nan_to_num(probability, nan=0.0)
    labels, count = join_foci(known >= threshold, cell_mm)
    if not count:
        return []
    index = np.arange(1, count + 1)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:] * cell_mm**2
    places = ndimage.maximum_position(np.where(labels > 0, known, -1), labels, index)
    diameters = focus_diameters(labels, count, cell_mm)
    foci = [
        Focus(float(d), focus_class(d), float(a), float(known[at]), int(at[0]), int(at[1]))
        for d, a, at in zip(diameters, areas, places, strict=True)
    ]
    return sorted(foci, key=lambda f: (-f.diameter_mm, f.row, f.column))


def slide_score(probability: NDArray[Any]) -> float:
    """Return the highest probability that two by two neighbouring positions all reach.

    One position by chance decides nothing then. Where no four positions have tissue, it is the
    highest of all; 0 without tissue.
    """
    known = np.nan_to_num(probability, nan=-1.0)
    if min(known.shape) > 1:
        rows = np.minimum(known[:-1], known[1:])
        best = float(np.minimum(rows[:, :-1], rows[:, 1:]).max())
        if best >= 0:
            return best
    return max(0.0, float(known.max(initial=0.0)))


def peaks(
    probability: NDArray[Any], cell_mm: float, least: float = 0.05
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return detections for FROC: from the highest position on, none near one already taken.

    Args:
        probability: (rows, columns), NaN where there is no tissue.
        cell_mm: Side of a position's square.
        least: Probability below which nothing is a detection.

    Returns:
        int64 (D, 2), row and column, and float64 (D,), the smoothed probability.
    """
    known = np.nan_to_num(np.asarray(probability, np.float64), nan=0.0)
    smooth = ndimage.gaussian_filter(known, SMOOTH, mode="nearest")
    reach = max(1, round(PEAK_REACH_MM / cell_mm))
    axis = np.arange(-reach, reach + 1)
    near = np.hypot(axis[:, None], axis[None]) <= reach
    free = np.pad(smooth, reach)
    places, scores = [], []
    for flat in np.argsort(-smooth, axis=None, kind="stable"):
        row, column = divmod(int(flat), known.shape[1])
        score = smooth[row, column]
        if score < least:
            break
        if free[row + reach, column + reach] <= 0:
            continue
        places.append((row, column))
        scores.append(score)
        free[row : row + 2 * reach + 1, column : column + 2 * reach + 1][near] = 0
    return np.array(places, np.int64).reshape(-1, 2), np.array(scores, np.float64)
