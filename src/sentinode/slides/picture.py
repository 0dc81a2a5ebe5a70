"""An ordinary image as a slide of one level: a region somebody cut out."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, UnidentifiedImageError

from sentinode.errors import InputError
from sentinode.slides.backend import Backend, blank
from sentinode.types import UInt8Array

__all__ = ["Picture"]

LARGEST = 100_000_000  # px; it is decoded whole


@final
class Picture(Backend):
    """PNG, JPEG or BMP, held in memory; see :class:`Backend`."""

    def __init__(self, path: Path) -> None:
        try:
            with Image.open(path) as image:
                if image.width * image.height > LARGEST:
                    raise InputError(
                        f"{path} has {image.width}x{image.height} px, too many for an image that "
                        "is decoded whole; save it as a tiled TIFF"
                    )
                self._pixels = np.asarray(image.convert("RGB"))
        except UnidentifiedImageError as error:
            raise InputError(
                f"{path} is no slide: expected SVS, NDPI, MRXS, SCN, DICOM, Philips TIFF or what "
                "else OpenSlide reads, OME-TIFF, TIFF, PNG or JPEG"
            ) from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path} cannot be decoded: {error}") from error
        height, width = self._pixels.shape[:2]
        self.vendor, self.sizes, self.downsamples = "image", ((width, height),), (1.0,)
        self.mpp = None

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Array:
        """Read as :meth:`Backend.read` says."""
        region = blank(width, height)
        rows, columns = self._pixels.shape[:2]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, columns), min(y + height, rows)
        if x1 > x0 and y1 > y0:
            region[y0 - y : y1 - y, x0 - x : x1 - x] = self._pixels[y0:y1, x0:x1]
        return region

    def close(self) -> None:
        """Nothing is open."""
