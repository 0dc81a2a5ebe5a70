"""Filling outlines: which pixels of level 0 lie within a polygon, exactly, in any window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Points", "bounds_of", "fill", "winding"]

Points = NDArray[np.float64]
"""(N, 2): x and y in px of level 0, the corner of its first pixel being (0, 0)."""


class Box(NamedTuple):
    """A rectangle of whole pixels of level 0: ``x`` up to, not including, ``x + width``."""

    x: int
    y: int
    width: int
    height: int

    def common(self, other: Box) -> Box | None:
        """Return the pixels that both have, None where there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width = min(self.x + self.width, other.x + other.width) - x
        height = min(self.y + self.height, other.y + other.height) - y
        return Box(x, y, width, height) if width > 0 and height > 0 else None

    def meets(self, other: Box) -> bool:
        """Tell whether the two have a pixel in common."""
        return self.common(other) is not None


def bounds_of(rings: Iterable[Points]) -> Box:
    """Return the box of all pixels that outlines, at least one, can touch."""
    points = np.concatenate(list(rings))
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    return Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def fill(rings: Iterable[Points], window: Box) -> NDArray[np.bool_]:
    """Tell which pixels have their centre within a polygon: the first ring without the others.

    A ring is closed by itself and encloses all points it winds about (non-zero rule), so that one
    that crosses itself loses nothing.

    Args:
        rings: Outline, then holes.
        window: Pixels wanted.

    Returns:
        bool (height, width).
    """
    inside = np.zeros((window.height, window.width), bool)
    for number, ring in enumerate(rings):
        if number and not inside.any():
            break
        within = winding(ring, window) != 0
        inside = inside & ~within if number else within
    return inside


def winding(ring: Points, window: Box) -> NDArray[np.int16]:
    """Return how often a ring winds about the centre of each pixel of a window.

    Every edge adds its direction to the pixels right of where it crosses a line of pixel centres;
    the sum along the line is the winding number.

    Args:
        ring: Closed by itself.
        window: Pixels wanted.

    Returns:
        int16 (height, width).
    """
    start, end = ring, np.roll(ring, -1, axis=0)
    down = start[:, 1] < end[:, 1]
    # from top to bottom whatever the direction: an edge and its way back cross at equal places
    top, bottom = np.where(down[:, None], start, end), np.where(down[:, None], end, start)
    first = np.clip(np.ceil(top[:, 1] - 0.5) - window.y, 0, window.height).astype(np.int64)
    stop = np.clip(np.ceil(bottom[:, 1] - 0.5) - window.y, 0, window.height).astype(np.int64)
    counts = stop - first
    edge = np.repeat(np.arange(len(ring)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    y: NDArray[Any] = row + window.y + 0.5
    slope = (bottom[edge, 0] - top[edge, 0]) / (bottom[edge, 1] - top[edge, 1])
    x = top[edge, 0] + (y - top[edge, 1]) * slope
    column = np.clip(np.ceil(x - 0.5) - window.x, 0, window.width).astype(np.int64)
    steps = np.zeros((window.height, window.width + 1), np.int16)
    np.add.at(steps, (row, column), np.where(down, 1, -1).astype(np.int16)[edge])
    turns: NDArray[np.int16] = steps[:, :-1].cumsum(1, dtype=np.int16)
    return turns
