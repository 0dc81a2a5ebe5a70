"""A pyramidal, tiled TIFF with its scale, lossless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import tifffile
from numpy.typing import NDArray

from sentinode.core import atomic_path, hash_bytes

__all__ = ["write_map", "write_pyramid"]

TILE = 256
STRIP = 1024  # rows halved at once
PX_PER_CM = 10_000.0  # at 1 µm/px


def write_pyramid(path: Path, image: NDArray[Any], mpp: float, software: str = "sentinode") -> None:
    """Write levels of half the size each until the last fits in a tile.

    Args:
        path: File to write, whole or not at all.
        image: uint8 (H, W, 3) RGB or (H, W); may be memory-mapped.
        mpp: µm/px of level 0.
        software: What the file says made it.
    """
    photometric = "rgb" if image.ndim == 3 else "minisblack"
    large = image.nbytes > 3 << 30
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=large) as writer:
        for number, level in enumerate(_levels(image)):
            writer.write(
                level,
                photometric=photometric,
                tile=(TILE, TILE),
                compression="adobe_deflate",
                resolution=(PX_PER_CM / (mpp * 2**number),) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=1 if number else 0,
                metadata=None,
                software=software,
            )


def write_map(path: Path, values: NDArray[np.float32], mpp: float, name: str) -> None:
    """Write a map as a pyramidal OME-TIFF.

    Args:
        path: File to write, whole or not at all.
        values: float32 (H, W); NaN where there is none.
        mpp: µm/px of the map.
        name: Of the channel.
    """
    levels = list(_levels(values))
    scale: dict[str, Any] = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    scale |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    # tifffile draws a UUID otherwise, and the same map would never be the same file
    own = uuid5(NAMESPACE_OID, hash_bytes(values.tobytes()))
    about = {"axes": "YX", "Name": name, "Channel": {"Name": name}, "UUID": str(own), **scale}
    common: dict[str, Any] = {
        "photometric": "minisblack",
        "tile": (TILE, TILE),
        "compression": "adobe_deflate",
        "software": "sentinode",
    }
    with (
        atomic_path(path) as temporary,
        tifffile.TiffWriter(temporary, ome=True) as writer,
    ):
        writer.write(levels[0], subifds=len(levels) - 1, metadata=about, **common)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, metadata=None, **common)


def _levels(image: NDArray[Any]) -> Iterator[NDArray[Any]]:
    level = image
    while True:
        yield level
        if max(level.shape[:2]) <= TILE or min(level.shape[:2]) < 2:
            return
        level = _half(level)


def _half(image: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of 2x2 px each; of a float map, of those that are numbers."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    half = np.empty((height // 2, width // 2, *image.shape[2:]), image.dtype)
    for top in range(0, height, STRIP):
        rows = image[top : min(top + STRIP, height), :width]
        corners = [rows[y::2, x::2] for y in (0, 1) for x in (0, 1)]
        out = half[top // 2 : top // 2 + len(corners[0])]
        if image.dtype == np.uint8:
            total = sum(corner.astype(np.uint16) for corner in corners)
            out[:] = (np.asarray(total) + 2) // 4
        else:
            out[:] = _mean(np.stack(corners))
    return half


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    known = ~np.isnan(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
