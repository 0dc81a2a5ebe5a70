"""Where a slide has tissue: pale lymph node too, but neither glass, nor pen, nor a bubble.

Haematoxylin and eosin both absorb green most (Ruifrok and Johnston, 2001), so that stained tissue
is known by its optical density of green above that of red and blue, however pale it is. Glass has
no density; dust and the rim of a bubble absorb all three alike; blue and green ink absorbs red
most; red ink absorbs blue as much as green and no red; black ink is darker than any cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import scipy  # ndimage is loaded when it is asked for
from numpy.typing import NDArray

from sentinode.errors import InputError
from sentinode.slides.reader import Slide
from sentinode.types import Mpp, UInt8Array

__all__ = ["Tissue", "find_tissue", "tissue_mask"]

MASK_MPP = (4.0, 12.0)  # a level within is taken as it is
USUAL_MPP = 8.0
SMALLEST_MM2 = 0.01  # of a piece of tissue; a cluster of a few hundred cells
HOLE_MM2 = 0.05  # fat and vessels within tissue
PEN_MM2 = 0.02
PALEST = 0.006, 0.012  # least and largest density of colour that may divide tissue from glass
GLASS_LEAST = 0.003  # share of a slide from which its glass can be measured
GRAY = 0.1  # of the density of green: tissue has 0.3 and more of colour, dust has none
BRIGHT, COLOURLESS = 190, 18  # of 255


@final
@dataclass(frozen=True)
class Tissue:
    """A slide's tissue, and the picture it was found on.

    Attributes:
        picture: uint8 (H, W, 3), the slide.
        mask: bool (H, W), tissue.
        mpp: Of both.
    """

    picture: UInt8Array
    mask: NDArray[np.bool_]
    mpp: Mpp

    @property
    def area_mm2(self) -> float:
        """Area of all tissue."""
        return float(self.mask.sum() * self.mpp**2 / 1e6)


def find_tissue(slide: Slide) -> Tissue:
    """Find the tissue of a slide on its level of about 8 µm/px.

    Raises:
        InputError: Its scale is unknown, it cannot be read, or it has no colours.
    """
    low, high = MASK_MPP
    near = [Mpp(slide.mpp * level.downsample) for level in slide.levels]
    near = [one for one in near if low <= one <= high]
    mpp = min(near, key=lambda one: abs(one - USUAL_MPP), default=Mpp(USUAL_MPP))
    width, height = slide.dimensions
    picture, found = slide.thumbnail(max(1, round(max(width, height) * slide.mpp / mpp)))
    if _is_gray(picture):
        raise InputError(
            f"{slide.path} is gray, and tissue is known by the colours of its stain; take a scan "
            "in colour"
        )
    return Tissue(picture, tissue_mask(picture, found), found)


def tissue_mask(picture: UInt8Array, mpp: float) -> NDArray[np.bool_]:
    """Find tissue.

    Args:
        picture: uint8 (H, W, 3), RGB, at about 8 µm/px, so that cells are averaged away.
        mpp: Of the picture in µm/px.

    Returns:
        bool (H, W).
    """
    density = np.log((_glass(picture) + 1) / (picture.astype(np.float32) + 1)).clip(0)
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    colour = scipy.ndimage.gaussian_filter(green - (red + blue) / 2, USUAL_MPP / mpp)
    px_mm2 = (mpp / 1000) ** 2
    pen = _pen(red, green, blue, px_mm2, mpp)
    gray = colour < GRAY * scipy.ndimage.gaussian_filter(green, USUAL_MPP / mpp)
    mask = (colour > _limit(colour)) & ~gray & ~pen
    # tissue that reaches the picture's border goes on beyond it
    mask = scipy.ndimage.binary_opening(np.pad(mask, 2, mode="edge"))[2:-2, 2:-2]
    mask = _without_small(mask, SMALLEST_MM2 / px_mm2)
    holes = scipy.ndimage.binary_fill_holes(mask) & ~mask
    mask = mask | (holes & ~_without_small(holes, HOLE_MM2 / px_mm2))
    found: NDArray[np.bool_] = mask & ~pen
    return found


def _is_gray(picture: UInt8Array) -> bool:
    """Tell whether a picture has no colour at all and is not glass alone."""
    if (picture != picture[..., :1]).any():
        return False
    return bool(picture.min() < BRIGHT or np.ptp(picture) > COLOURLESS)


def _glass(picture: UInt8Array) -> NDArray[np.float32]:
    """Return the colour of glass, float32 (3,): the most frequent one that is bright and gray."""
    bright = picture.min(2) >= BRIGHT
    glass = picture[bright & (np.ptp(picture, 2) <= COLOURLESS)]
    if len(glass) < GLASS_LEAST * picture[..., 0].size:
        return np.full(3, 245, np.float32)  # tissue all over: what scanners usually give
    counts = [np.bincount(glass[:, c], minlength=256) for c in range(3)]
    return np.array([scipy.ndimage.uniform_filter1d(c, 5).argmax() for c in counts], np.float32)


def _limit(colour: NDArray[np.float32]) -> float:
    """Divide glass from tissue by Otsu's threshold (1979), within what either can be."""
    low, high = PALEST
    counts, edges = np.histogram(colour.clip(0, 4 * high), 200)
    middle = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    total = (counts * middle).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(middle[np.nan_to_num(apart).argmax()].clip(low, high))


def _pen(
    red: NDArray[np.float32],
    green: NDArray[np.float32],
    blue: NDArray[np.float32],
    px_mm2: float,
    mpp: float,
) -> NDArray[np.bool_]:
    """Find ink, with a rim of 16 µm for its soft edge."""
    blue_or_green = (red > 1.15 * green) & (red > 0.3)
    pure_red = (blue > 0.8 * green) & (green > 0.9) & (red < 0.35 * green)
    black = np.minimum(np.minimum(red, green), blue) > 1.2
    ink = scipy.ndimage.binary_closing(blue_or_green | pure_red | black, iterations=1)
    ink = _without_small(ink, PEN_MM2 / px_mm2)
    rim: NDArray[np.bool_] = scipy.ndimage.binary_dilation(ink, iterations=max(1, round(16 / mpp)))
    return rim


def _without_small(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """Drop connected pieces of fewer than ``least`` px."""
    labels, count = scipy.ndimage.label(mask)
    if not count:
        return mask
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= least
    keep[0] = False
    kept: NDArray[np.bool_] = keep[labels]
    return kept
