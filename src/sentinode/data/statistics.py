"""What packing measures of patches: hash, colour, contrast, sharpness, tissue and coarse look."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinode.core import hash_bytes
from sentinode.tables import COARSE_SIDE
from sentinode.types import UInt8Array

__all__ = ["STATISTICS_DTYPES", "TISSUE_DENSITY", "coarse_look", "luma", "measure"]

TISSUE_DENSITY = 0.45
"""A pixel is stained when its optical density, -ln(v / 255) summed over R, G and B, is above
this: 0.15 a channel, the limit of Macenko et al. (2009) for transparent pixels."""

STATISTICS_DTYPES = (
    {"sha256": "string", "min": "UInt8", "max": "UInt8"}
    | {f"{what}_{channel}": "float32" for what in ("mean", "std") for channel in "rgb"}
    | dict.fromkeys(("saturation", "sharpness", "tissue"), "float32")
)

MOST_IN_16_BITS = (2**16 - 1) // 255
MOST_IN_32_BITS = (2**32 - 1) // 255**2

_STAINED = np.uint16(np.ceil(255.0**3 / 256 * np.exp(-TISSUE_DENSITY)))


def measure(patches: UInt8Array) -> tuple[dict[str, NDArray[Any]], UInt8Array]:
    """Measure a few patches together.

    Sums of whole numbers are exact, so that their order does not matter and a turned patch has
    the same mean and standard deviation to the last bit.

    Args:
        patches: uint8 (N, H, W, 3), RGB, contiguous; few enough to stay in a processor's caches.

    Returns:
        Values (N,) for each of :data:`STATISTICS_DTYPES`: SHA-256 of the pixels; least and
        largest value; mean and standard deviation of each channel (0..255); mean HSV saturation
        of the coarse look (0..1); sharpness, the variance of the 4-neighbour Laplacian of the
        luma (Pech-Pacheco et al., 2000); and the share of stained pixels (0..1). With them the
        coarse look, uint8 (N, 8, 8, 3): the means of the fields of an 8x8 grid.
    """
    n, height, width, _ = patches.shape
    planes = _planes(patches)
    count = height * width
    whole = np.uint32 if count <= MOST_IN_32_BITS else np.uint64  # the first is twice as fast
    rows, look = _coarse(planes.reshape(n, 3, height, width))
    mean = rows.reshape(n, 3, -1).sum(2, dtype=whole) / count
    square = (planes * planes).sum(2, dtype=whole) / count
    std = np.sqrt(np.maximum(square - mean * mean, 0))
    values = patches.reshape(n, -1)
    numbers: dict[str, NDArray[Any]] = {
        "sha256": np.array([hash_bytes(patch.data) for patch in patches], object),
        "min": values.min(1),
        "max": values.max(1),
        **{f"mean_{c}": mean[:, i] for i, c in enumerate("rgb")},
        **{f"std_{c}": std[:, i] for i, c in enumerate("rgb")},
        "saturation": _saturation(look),
        "sharpness": _sharpness(_luma(planes), width),
        "tissue": _stained(planes) / count,
    }
    return numbers, look


def coarse_look(patch: UInt8Array) -> UInt8Array:
    """Return the means of the fields of an 8x8 grid over a patch: uint8 (8, 8, 3).

    Args:
        patch: uint8 (H, W, 3), RGB.
    """
    _, looks = _coarse(patch.transpose(2, 0, 1)[None].astype(np.uint16))
    look: UInt8Array = looks[0]
    return look


def luma(planes: UInt8Array) -> UInt8Array:
    """Return the luma of ITU-R BT.601, in whole numbers.

    Args:
        planes: uint8 (3, ...), R, G and B.
    """
    grey: UInt8Array = _luma(planes[None].astype(np.uint16))[0].astype(np.uint8)
    return grey


def _planes(patches: UInt8Array) -> NDArray[np.uint16]:
    n, height, width, _ = patches.shape
    planes = np.empty((n, 3, height * width), np.uint16)
    flat = patches.reshape(n, -1, 3)
    for channel in range(3):
        planes[:, channel] = flat[..., channel]
    return planes


def _luma(planes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    grey: NDArray[np.uint16] = 77 * planes[:, 0]
    grey += 150 * planes[:, 1]
    grey += 29 * planes[:, 2]
    grey >>= 8
    return grey


def _saturation(look: UInt8Array) -> NDArray[np.float64]:
    top, low = look.max(3).astype(np.float64), look.min(3)
    saturation: NDArray[np.float64] = ((top - low) / np.maximum(top, 1)).mean((1, 2))
    return saturation


def _stained(planes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Count the pixels whose optical density is above the limit, to 0.003, without a logarithm."""
    product = planes[:, 0] * planes[:, 1]
    product += 127  # so that it still fits in 16 bits, and dividing by 256 rounds
    product >>= 8
    product *= planes[:, 2]
    # row by row: counting along an axis takes ten times as long
    return np.array([np.count_nonzero(row) for row in product < _STAINED])


def _sharpness(grey: NDArray[np.uint16], width: int) -> NDArray[np.float64]:
    n, count = grey.shape
    if min(width, count // width) < 3:
        return np.zeros(n)
    v = grey.astype(np.int16)
    # in one piece, rows running into each other; the first and last columns are then dropped
    middle = slice(width, count - width)
    laplacian = 4 * v[:, middle] - v[:, : count - 2 * width] - v[:, 2 * width :]
    laplacian -= v[:, width - 1 : count - width - 1] + v[:, width + 1 : count - width + 1]
    inner = laplacian.reshape(n, -1, width)[:, :, 1:-1].astype(np.float32).reshape(n, -1)
    number = inner.shape[1]
    mean = inner.sum(1).astype(np.float64) / number
    variance: NDArray[np.float64] = np.vecdot(inner, inner).astype(np.float64) / number - mean**2
    return variance


def _coarse(planes: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], UInt8Array]:
    """Return sums over groups of rows (N, 3, G, W), or the rows, and the coarse look."""
    n, _, height, width = planes.shape
    if height % COARSE_SIDE == 0 and height // COARSE_SIDE <= MOST_IN_16_BITS:
        rows = planes.reshape(n, 3, COARSE_SIDE, -1, width).sum(3, dtype=np.uint16)
        means = rows.astype(np.float64) @ _fields(width) / (height // COARSE_SIDE)
    else:
        rows = planes
        means = _fields(height).T @ (planes.astype(np.float64) @ _fields(width))
    look: UInt8Array = np.floor(means + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)
    return rows, look


@lru_cache(maxsize=8)
def _fields(side: int) -> NDArray[np.float64]:
    """Return the matrix (side, 8) that averages ``side`` values in eight equal fields."""
    edges = np.linspace(0, side, COARSE_SIDE + 1)
    low, high = np.arange(side)[:, None], np.arange(1, side + 1)[:, None]
    share = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
    fields: NDArray[np.float64] = np.maximum(share, 0) * COARSE_SIDE / side
    return fields
