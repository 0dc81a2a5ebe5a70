"""A slide as a tiled, pyramidal TIFF with its scale, lossless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from sentinode.core import atomic_path

__all__ = ["write_pyramid"]

TILE = 256
SMALLEST = 256
PX_PER_CM = 10_000.0  # at 1 µm/px


def write_pyramid(path: Path, image: NDArray[Any], mpp: float) -> None:
    """Write levels of half the size each until the last fits in a tile.

    Args:
        path: File to write, whole or not at all.
        image: uint8 (H, W, 3) RGB or (H, W).
        mpp: µm/px of level 0.
    """
    photometric = "rgb" if image.ndim == 3 else "minisblack"
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary) as writer:
        level, scale = image, 1
        while True:
            writer.write(
                level,
                photometric=photometric,
                tile=(TILE, TILE),
                compression="adobe_deflate",
                resolution=(PX_PER_CM / (mpp * scale),) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=1 if scale > 1 else 0,
                metadata=None,
                software="sentinode phantom",
            )
            if max(level.shape[:2]) <= SMALLEST:
                return
            level, scale = _half(level), scale * 2


def _half(image: NDArray[Any]) -> NDArray[Any]:
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2, *image.shape[2:])
    half: NDArray[Any] = blocks.mean((1, 3)).round().astype(image.dtype)
    return half
