"""Places of patches on a slide, and their labels by the rule of the centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, final

import numpy as np
from numpy.typing import NDArray

from sentinode.slides import Box, Truth

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import ExtractConfig

__all__ = ["Lattice", "label", "tissue_share"]

Indices = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Lattice:
    """Places of patches that lie wholly on a slide; rows and columns of them.

    Attributes:
        x: int64 (C,), left sides in px of level 0, rising.
        y: int64 (R,), upper sides.
        scale: px of level 0 per px of a patch.
        size: Side of a patch in px of the patch.
        centre: Side of the square in its middle.
    """

    x: Indices
    y: Indices
    scale: float
    size: int
    centre: int

    @classmethod
    def over(cls, dimensions: tuple[int, int], mpp: float, config: ExtractConfig) -> Self:
        """Lay places over a slide.

        Args:
            dimensions: Width and height of level 0 in px.
            mpp: µm/px of level 0.
            config: Size, scale and stride of the patches.
        """
        scale = config.mpp / mpp
        side = int(np.ceil(config.size * scale))
        x, y = (_places(length, side, config.stride * scale) for length in dimensions)
        return cls(x, y, scale, config.size, config.centre)

    def middle(self, starts: Indices) -> tuple[Indices, Indices]:
        """Return first and last-but-one px of level 0 whose centres lie in the patches' centres.

        Args:
            starts: Left or upper sides.
        """
        low = (self.size - self.centre) / 2
        first, stop = (starts + edge * self.scale for edge in (low, low + self.centre))
        return np.ceil(first - 0.5).astype(np.int64), np.ceil(stop - 0.5).astype(np.int64)


def _places(length: int, side: int, step: float) -> Indices:
    places = np.round(np.arange(max(0, int((length - side) / step + 2))) * step).astype(np.int64)
    return np.unique(places[places + side <= length])


def label(
    lattice: Lattice, truth: Truth, wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Label places: tumour where any pixel of level 0 in the centre is.

    This is the rule of PatchCamelyon (Veeling et al., 2018), on the slide's own pixels so that
    nothing thin is lost.

    Args:
        lattice: Places.
        truth: Where tumour is.
        wanted: bool (R, C), places to look at.

    Returns:
        Two times bool (R, C): which are tumour, and of which nothing is known. A centre with some
        tumour is tumour even if the rest of it is not known.
    """
    tumour, unknown = np.zeros_like(wanted), np.zeros_like(wanted)
    tops, ends = lattice.middle(lattice.y)
    bounds = truth.bounds()
    for row in np.flatnonzero(wanted.any(1)).tolist():
        columns = np.flatnonzero(wanted[row])
        left, right = lattice.middle(lattice.x[columns])
        x, y = int(left[0]), int(tops[row])
        window = Box(x, y, int(right[-1]) - x, int(ends[row]) - y)
        if bounds is not None and bounds.meets(window):
            tumour[row, columns] = _any(truth.tumour(window), left - x, right - x)
        strange = truth.unknown(window)
        if strange is not None:
            unknown[row, columns] = _any(strange, left - x, right - x)
    return tumour, unknown & ~tumour


def _any(flags: NDArray[np.bool_], left: Indices, right: Indices) -> NDArray[np.bool_]:
    counts = np.concatenate([[0], np.cumsum(flags.any(0))])
    some: NDArray[np.bool_] = counts[right] > counts[left]
    return some


def tissue_share(
    lattice: Lattice, tissue: NDArray[np.bool_], downsample: float
) -> NDArray[np.float32]:
    """Return the share of tissue of each patch, float32 (R, C).

    Args:
        lattice: Places.
        tissue: bool (H, W), tissue of the slide.
        downsample: px of level 0 per px of ``tissue``.
    """
    total = np.pad(tissue.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = (
        _spans(starts, lattice.size * lattice.scale, downsample, length)
        for starts, length in zip((lattice.y, lattice.x), tissue.shape, strict=True)
    )
    (top, bottom), (left, right) = rows, columns
    sums = (
        total[np.ix_(bottom, right)]
        - total[np.ix_(top, right)]
        - total[np.ix_(bottom, left)]
        + total[np.ix_(top, left)]
    )
    area = np.outer(bottom - top, right - left)
    share: NDArray[np.float32] = (sums / area).astype(np.float32)
    return share


def _spans(starts: Indices, side: float, downsample: float, length: int) -> tuple[Indices, Indices]:
    low = np.clip(np.round(starts / downsample).astype(np.int64), 0, length - 1)
    high = np.clip(np.round((starts + side) / downsample).astype(np.int64), low + 1, length)
    return low, high
