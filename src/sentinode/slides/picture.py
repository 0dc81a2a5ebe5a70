"""An ordinary image as a slide of one level: a region somebody cut out."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, UnidentifiedImageError

from sentinode.errors import InputError
from sentinode.slides.backend import GLASS, Backend, blank
from sentinode.types import UInt8Array

__all__ = ["Picture", "open_whole"]

BITS = 8
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "La", "CMYK", "YCbCr", "HSV", "LAB")
LARGEST = 100_000_000  # px of an image that is decoded whole

Image.MAX_IMAGE_PIXELS = LARGEST  # once and for all: Pillow would warn from 89 megapixels on


def open_whole(path: Path) -> Image.Image:
    """Open an image that is to be decoded at once.

    Raises:
        InputError: It has too many pixels.
        OSError: It cannot be read; ``UnidentifiedImageError`` where it is no image.
    """
    try:
        image = Image.open(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    if image.width * image.height > LARGEST:  # Pillow warned, where warnings are no errors
        image.close()
        raise _too_large(path)
    return image


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path} has more than {LARGEST / 1e6:.0f} megapixels, too many for an image that is "
        "decoded whole; save it as a tiled TIFF"
    )


def _pixels(image: Image.Image, path: Path) -> UInt8Array:
    """Return RGB, what is transparent over glass."""
    if image.mode not in EIGHT_BITS or (image.format == "PNG" and _bits(path) > BITS):
        raise InputError(f"{path} has more than 8 bits a channel; expected 8-bit RGB or gray")
    if "A" in image.getbands() or "transparency" in image.info:
        opaque = image.convert("RGBA")
        glass = Image.new("RGBA", image.size, (GLASS, GLASS, GLASS, 255))
        image = Image.alpha_composite(glass, opaque)
    return np.asarray(image.convert("RGB"))


def _bits(path: Path) -> int:
    """Return the bits a channel of a PNG, as its header says; Pillow cuts them to 8."""
    with path.open("rb") as handle:
        return handle.read(25)[24]


@final
class Picture(Backend):
    """PNG, JPEG or BMP, held in memory; see :class:`Backend`."""

    def __init__(self, path: Path) -> None:
        try:
            with open_whole(path) as image:
                self._pixels = _pixels(image, path)
        except InputError:
            raise
        except UnidentifiedImageError as error:
            raise InputError(
                f"{path} is no slide: expected SVS, NDPI, MRXS, SCN, DICOM, Philips TIFF or what "
                "else OpenSlide reads, OME-TIFF, TIFF, PNG or JPEG"
            ) from error
        except (OSError, SyntaxError, ValueError) as error:  # ValueError: too much text in a PNG
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
