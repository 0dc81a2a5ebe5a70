"""Pictures as slides, written by other libraries."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from sentinode.types import UInt8Array

RNG = np.random.default_rng(7)


def picture(height: int = 700, width: int = 900) -> UInt8Array:
    """Smooth colours with some grain, so that resampling and JPEG can be judged."""
    ys, xs = np.mgrid[:height, :width].astype(np.float64)
    waves = np.stack([np.sin(xs / 40), np.cos(ys / 50), np.sin((xs + ys) / 60)], -1)
    return (waves * 100 + 128 + RNG.normal(0, 3, (height, width, 3))).clip(0, 255).astype(np.uint8)


def per_cm(mpp: float) -> dict[str, Any]:
    return {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}


def write_ome(path: Path, image: UInt8Array, **how: Any) -> None:
    scale = {"axes": "YXS", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
    scale |= {"PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(path, ome=True) as writer:
        common: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128), **how}
        writer.write(image, subifds=2, metadata=scale, **common)
        writer.write(image[::2, ::2], subfiletype=1, **common)
        writer.write(image[::4, ::4], subfiletype=1, **common)
