"""Slides of scanners, read by OpenSlide: SVS, NDPI, MRXS, SCN, DICOM, Philips and others."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
import openslide
from PIL import Image

from sentinode.errors import InputError
from sentinode.slides.backend import GLASS, Backend
from sentinode.types import UInt8Array

__all__ = ["GENERIC", "VendorFile", "vendor_of"]

GENERIC = "generic-tiff"


def vendor_of(path: Path) -> str | None:
    """Return OpenSlide's name of a file's format, None where it knows none."""
    found: str | None = openslide.OpenSlide.detect_format(path)
    return found


@final
class VendorFile(Backend):
    """A file that OpenSlide reads; see :class:`Backend`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise InputError(
                f"{path} cannot be opened: {error}; the file is damaged or cut short"
            ) from error
        properties = self._file.properties
        self.vendor = properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self.sizes = tuple(self._file.level_dimensions)
        self.downsamples = tuple(self._file.level_downsamples)
        self.identity = properties.get(openslide.PROPERTY_NAME_QUICKHASH1, "")
        x, y = (
            _number(properties.get(name, ""))
            for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
        )
        self.mpp = (x, y) if x and y else None
        power = properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        self.hint = f"it says objective {power}x only" if power else ""

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Array:
        """Read as :meth:`Backend.read` says; transparent pixels are glass."""
        scale = self.downsamples[level]
        at = (round(x * scale), round(y * scale))
        try:
            region = self._file.read_region(at, level, (width, height))
        except openslide.OpenSlideError as error:
            # after an error OpenSlide answers with it whatever is asked: the rest may be sound
            try:
                self._file = openslide.OpenSlide(self._path)
            except openslide.OpenSlideError as gone:
                raise OSError(f"cannot be read any more: {gone}") from error
            raise OSError(str(error)) from error
        opacity = np.asarray(region.getchannel("A"))
        if opacity.min(initial=255) < 255:
            glass = Image.new("RGBA", region.size, (GLASS, GLASS, GLASS, 255))
            region = Image.alpha_composite(glass, region)
        return np.asarray(region)[..., :3]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
