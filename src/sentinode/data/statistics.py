"""What packing measures of a patch: hash, colour, contrast, sharpness, tissue and coarse look."""

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
"""A pixel is stained when its optical density, -ln((v + 1) / 256) summed over R, G and B, is
above this: 0.15 a channel, the limit of Macenko et al. (2009) for transparent pixels."""

STATISTICS_DTYPES = (
    {"sha256": "string", "min": "UInt8", "max": "UInt8"}
    | {f"{what}_{channel}": "float32" for what in ("mean", "std") for channel in "rgb"}
    | dict.fromkeys(("saturation", "sharpness", "tissue"), "float32")
)

_STAINED = 256.0**3 * np.exp(-TISSUE_DENSITY)


def measure(patch: UInt8Array) -> tuple[dict[str, Any], UInt8Array]:
    """Measure one patch.

    Sums of integers below 2^53 are exact in float64, so that their order does not matter and
    every machine gets the same.

    Args:
        patch: uint8 (H, W, 3), RGB, contiguous.

    Returns:
        One value for each of :data:`STATISTICS_DTYPES`: SHA-256 of the pixels; least and largest
        value; mean and standard deviation of each channel (0..255); mean HSV saturation (0..1);
        sharpness, the variance of the 4-neighbour Laplacian of the luma (Pech-Pacheco et al.,
        2000); and the share of stained pixels (0..1). With it the coarse look, uint8 (8, 8, 3):
        the means of the fields of an 8x8 grid.
    """
    height, width, _ = patch.shape
    planes: UInt8Array = np.ascontiguousarray(patch.reshape(-1, 3).T)
    values = planes.astype(np.float64)
    count = values.shape[1]
    mean = [plane.sum() / count for plane in values]
    square = [plane @ plane / count for plane in values]
    top = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    low = np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    saturation = np.divide(top - low, np.maximum(top, 1), dtype=np.float32)
    numbers = {
        "sha256": hash_bytes(patch.data),
        "min": int(low.min()),
        "max": int(top.max()),
        **{f"mean_{c}": mean[i] for i, c in enumerate("rgb")},
        **{f"std_{c}": max(square[i] - mean[i] ** 2, 0) ** 0.5 for i, c in enumerate("rgb")},
        "saturation": saturation.sum() / count,
        "sharpness": _sharpness(luma(planes).reshape(height, width)),
        "tissue": _stained(planes) / count,
    }
    return numbers, _coarse(values.reshape(3, height, width))


def coarse_look(patch: UInt8Array) -> UInt8Array:
    """Return the means of the fields of an 8x8 grid over a patch: uint8 (8, 8, 3).

    Args:
        patch: uint8 (H, W, 3), RGB.
    """
    return _coarse(patch.transpose(2, 0, 1).astype(np.float64))


def luma(planes: UInt8Array) -> UInt8Array:
    """Return the luma of ITU-R BT.601, in whole numbers.

    Args:
        planes: uint8 (3, ...), R, G and B.
    """
    red, green, blue = planes.astype(np.uint16)
    grey: UInt8Array = ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.uint8)
    return grey


def _stained(planes: UInt8Array) -> int:
    """Count the pixels whose optical density is above the limit, without a logarithm."""
    red, green, blue = planes.astype(np.float32) + 1
    return int(np.count_nonzero(red * green * blue < _STAINED))


def _sharpness(grey: UInt8Array) -> float:
    if min(grey.shape) < 3:
        return 0.0
    v = grey.astype(np.int16)
    laplacian = 4 * v[1:-1, 1:-1] - v[:-2, 1:-1] - v[2:, 1:-1] - v[1:-1, :-2] - v[1:-1, 2:]
    flat = laplacian.ravel().astype(np.float64)
    return float(flat @ flat / flat.size - (flat.sum() / flat.size) ** 2)


def _coarse(planes: NDArray[np.float64]) -> UInt8Array:
    _, height, width = planes.shape
    across = np.ascontiguousarray(_fields(width).T)  # a transposed operand takes twice as long
    rows = (planes.reshape(-1, width) @ across).reshape(3, height, COARSE_SIDE)
    means = _fields(height) @ rows
    look: UInt8Array = np.floor(means + 0.5).astype(np.uint8).transpose(1, 2, 0)
    return look


@lru_cache(maxsize=8)
def _fields(side: int) -> NDArray[np.float64]:
    """Return the matrix (8, side) that averages ``side`` values in eight equal fields."""
    edges = np.linspace(0, side, COARSE_SIDE + 1)
    low, high = np.arange(side), np.arange(side) + 1
    share = np.minimum(high, edges[1:, None]) - np.maximum(low, edges[:-1, None])
    fields: NDArray[np.float64] = np.maximum(share, 0) * COARSE_SIDE / side
    return fields
