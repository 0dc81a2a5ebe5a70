"""The positions at which a slide is asked, as squares that cover it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.errors import InputError
from sentinode.slides.reader import Slide
from sentinode.types import Level0Px, Mpp, PatchPx

__all__ = ["Grid"]

SAME_SCALE = 0.02  # a level this near to the network's scale is taken as it is
ENLARGED = 1.3  # a slide coarser than the network by more has no usable level


@final
@dataclass(frozen=True)
class Grid:
    """Squares side by side, from the slide's upper left corner on.

    Position (i, j) is the square from (stride i, stride j) on, with the patch around it in whose
    middle it lies. At a slide's border the patch sticks out, over glass.

    Attributes:
        mpp: Scale at which the slide is read.
        scale: Px of level 0 per px at that scale.
        stride: Side of a square, at that scale.
        patch: Side of a patch, at that scale.
        rows: Number of positions down.
        columns: Number of positions across.
    """

    mpp: Mpp
    scale: float
    stride: PatchPx
    patch: PatchPx
    rows: int
    columns: int

    @classmethod
    def of(cls, slide: Slide, mpp: Mpp, patch: PatchPx, stride: PatchPx) -> Grid:
        """Cover a slide.

        Args:
            slide: Which.
            mpp: The network's scale. A level within 2 % of it is read as it is.
            patch: Side of the network's patch.
            stride: Side of a square, even as ``patch`` is.

        Raises:
            InputError: The slide's scale is unknown, or its finest level is too coarse.
        """
        finest = slide.mpp
        if finest > mpp * ENLARGED:
            raise InputError(
                f"{slide.path} has {finest:.3g} µm/px at its finest level, the network needs "
                f"{mpp:.3g} µm/px; take a scan of higher magnification"
            )
        near = [Mpp(finest * level.downsample) for level in slide.levels]
        near = [one for one in near if abs(one / mpp - 1) <= SAME_SCALE]
        chosen = min(near, key=lambda one: abs(one - mpp), default=mpp)
        scale = chosen / finest
        width, height = slide.dimensions
        across, down = (max(1, int(np.ceil(side / scale / stride))) for side in (width, height))
        return cls(chosen, scale, stride, patch, down, across)

    @property
    def cell_mm(self) -> float:
        """Side of a square in mm."""
        return float(self.stride * self.mpp / 1000)

    def corner(self, row: int, column: int) -> tuple[Level0Px, Level0Px]:
        """Return x and y of a square's upper left corner."""
        step = self.stride * self.scale
        return Level0Px(round(column * step)), Level0Px(round(row * step))

    def patch_corner(self, row: int, column: int) -> tuple[Level0Px, Level0Px]:
        """Return x and y of the upper left corner of the patch around a square."""
        out = (self.patch - self.stride) / 2
        x, y = ((i * self.stride - out) * self.scale for i in (column, row))
        return Level0Px(round(x)), Level0Px(round(y))

    def extent(self, positions: int) -> PatchPx:
        """Return the px that so many positions side by side see."""
        return PatchPx((positions - 1) * self.stride + self.patch)

    def share(self, mask: NDArray[np.bool_], mpp: float) -> NDArray[np.float32]:
        """Return which share of each square a mask covers.

        Args:
            mask: bool (H, W) over the whole slide.
            mpp: Of the mask in µm/px.

        Returns:
            float32 (rows, columns) in 0..1.
        """
        step = self.stride * self.mpp / mpp
        total = np.pad(mask.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
        down = _between(total, np.arange(self.rows + 1) * step)
        both = _between(down.T, np.arange(self.columns + 1) * step).T
        area = np.diff(np.diff(both, axis=0), axis=1)
        return (area / step**2).clip(0, 1).astype(np.float32)


def _between(sums: NDArray[np.float64], at: NDArray[Any]) -> NDArray[np.float64]:
    """Interpolate rows of cumulated sums linearly."""
    at = at.clip(0, len(sums) - 1)
    low = np.minimum(at.astype(int), len(sums) - 2)
    weight = (at - low)[:, None]
    return np.asarray(sums[low] * (1 - weight) + sums[low + 1] * weight)
