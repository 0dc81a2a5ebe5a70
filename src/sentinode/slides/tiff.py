"""TIFF that is no scanner's own: OME-TIFF with its pyramid, and plain large TIFF."""

from __future__ import annotations

import math
import threading
import xml.etree.ElementTree as ET
from collections import OrderedDict
from pathlib import Path
from typing import Any, final

import numpy as np
import tifffile
from numpy.typing import NDArray

from sentinode.errors import InputError
from sentinode.slides.backend import GLASS, Backend, blank
from sentinode.types import UInt8Array

__all__ = ["TiffSlide", "decode_segment", "segments_of"]

CACHE_BYTES = 192 << 20  # a row of tiles of a slide 100,000 px wide
LARGEST_SEGMENT = 256 << 20
OPACITY_ROWS = 512
MULTIPLIED, APART = 1, 2  # ExtraSamples of an opacity by which colours were multiplied, or not
JPEG = {6, 7, 34892, 33007}
UM_PER_UNIT = {"INCH": 25_400.0, "CENTIMETER": 10_000.0, "MILLIMETER": 1_000.0, "MICROMETER": 1.0}
OME_UM = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


@final
class TiffSlide(Backend):
    """A TIFF file read tile by tile (or strip by strip); see :class:`Backend`.

    Levels are those that tifffile finds: OME's and other writers' sub-images, or pages of falling
    size.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = tifffile.TiffFile(path)
            series: Any = self._file.series[0]
            self._levels: list[list[Any]] = [
                [page.aspage() for page in level.pages] for level in series.levels
            ]
            self._check(path, series)
            self.mpp = self._scale()
        except InputError:
            self.close()
            raise
        except Exception as error:  # a damaged head raises whatever its bytes lead to
            self.close()
            raise InputError(
                f"{path} cannot be opened as TIFF: {error}; the file is damaged or cut short"
            ) from error
        self.vendor = "ome-tiff" if self._file.is_ome else "tiff"
        self.sizes = tuple((pages[0].imagewidth, pages[0].imagelength) for pages in self._levels)
        width = self.sizes[0][0]
        self.downsamples = tuple(width / w for w, _ in self.sizes)
        self._cache: OrderedDict[tuple[int, int, int], NDArray[Any] | None] = OrderedDict()
        self._cached, self._lock = 0, threading.Lock()
        self._opacity: int | None = None

    def _check(self, path: Path, series: Any) -> None:
        page = self._levels[0][0]
        pages, axes = len(self._levels[0]), str(series.axes)
        if pages > 1 and axes[0] not in "CS":
            raise InputError(
                f"{path} is a stack of {pages} pages along {axes[0]} (axes {axes}), expected one "
                "image; export one page of it"
            )
        samples = page.samplesperpixel * pages
        if series.dtype != np.uint8 or samples not in (1, 3, 4):
            raise InputError(
                f"{path} holds {samples} channel(s) of {series.dtype}, expected RGB of uint8; "
                "export it as 8-bit RGB"
            )
        for one in (page for level in self._levels for page in level):
            if not _is_rgb_or_gray(one):
                kind = tifffile.PHOTOMETRIC(one.photometric).name
                raise InputError(
                    f"{path} has colours of the kind {kind}, expected RGB of uint8; export it "
                    "as 8-bit RGB"
                )
            segments_of(one)
        _, rows, columns = segments_of(page)
        if rows * columns * page.samplesperpixel > LARGEST_SEGMENT and page.compression != 1:
            raise InputError(
                f"{path} is compressed in pieces of {columns}x{rows} px, too large to read apart; "
                "save it as a tiled TIFF"
            )

    def _scale(self) -> tuple[float, float] | None:
        if self._file.is_ome:
            return _ome_scale(self._file.ome_metadata or "")
        page = self._levels[0][0]
        um = UM_PER_UNIT.get(page.resolutionunit.name if page.resolutionunit else "", 0.0)
        x, y = page.get_resolution()
        return (um / x, um / y) if um and x and y else None

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Array:
        """Read as :meth:`Backend.read` says."""
        region = blank(width, height)
        columns, rows = self.sizes[level]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, columns), min(y + height, rows)
        if x1 <= x0 or y1 <= y0:
            return region
        pages = self._levels[level]
        planes = [self._page(level, i, (x0, y0, x1, y1)) for i in range(len(pages))]
        inside = planes[0] if len(planes) == 1 else np.concatenate(planes, 2)
        # one channel is repeated
        region[y0 - y : y1 - y, x0 - x : x1 - x] = _over_glass(inside, self._kind_of_fourth())
        return region

    def _kind_of_fourth(self) -> int:
        """Return as what the fourth channel counts, 0 where it is no opacity, or shows nothing."""
        if self._opacity is None:
            page = self._levels[-1][0]
            kind = page.extrasamples[0] if page.extrasamples else 0
            known = page.samplesperpixel == 4 and kind in (MULTIPLIED, APART)
            self._opacity = kind if known and self._shows_anything() else 0
        return self._opacity

    def _shows_anything(self) -> bool:
        """Whether the coarsest level is opaque anywhere: some programs leave opacity at 0."""
        width, height = self.sizes[-1]
        step = min(segments_of(self._levels[-1][0])[1], OPACITY_ROWS)
        bands = ((y, min(y + step, height)) for y in range(0, height, step))
        return any(self._page(-1, 0, (0, y, width, to))[..., 3].any() for y, to in bands)

    def _page(self, level: int, number: int, box: tuple[int, int, int, int]) -> UInt8Array:
        """Return uint8 (y1 - y0, x1 - x0, S) of one page."""
        page = self._levels[level][number]
        x0, y0, x1, y1 = box
        across, rows, columns = segments_of(page)
        planar = page.planarconfig == 2 and page.samplesperpixel > 1
        down = math.ceil(page.imagelength / rows)
        out = np.full((y1 - y0, x1 - x0, page.samplesperpixel), GLASS, np.uint8)
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        for plane in range(page.samplesperpixel if planar else 1):
            wanted = slice(plane, plane + 1) if planar else slice(None)
            for row in range(y0 // rows, math.ceil(y1 / rows)):
                for column in range(x0 // columns, math.ceil(x1 / columns)):
                    index = (plane * down + row) * across + column
                    segment = self._segment(level, number, index)
                    if segment is None:
                        continue
                    top, left = row * rows, column * columns
                    a, b = max(y0, top), min(y1, top + segment.shape[0])
                    c, d = max(x0, left), min(x1, left + segment.shape[1])
                    part = segment[a - top : b - top, c - left : d - left]
                    out[a - y0 : b - y0, c - x0 : d - x0, wanted] = 255 - part if inverted else part
        return out

    def _segment(self, level: int, number: int, index: int) -> NDArray[Any] | None:
        """Return one decoded tile or strip, uint8 (H, W, S); None where the file has none."""
        key = (level, number, index)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        page = self._levels[level][number]
        segment = decode_segment(page, index, self._file.filehandle)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = segment
                self._cached += 0 if segment is None else segment.nbytes
            while self._cached > CACHE_BYTES and len(self._cache) > 1:
                _, old = self._cache.popitem(last=False)
                self._cached -= 0 if old is None else old.nbytes
        return segment

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()


def _is_rgb_or_gray(page: Any) -> bool:
    """Tell whether what tifffile decodes of a page is RGB or gray.

    Of YCbCr only JPEG is, which itself turns it into RGB. JPEG 2000 may do so or not, and the
    file does not say.
    """
    kinds = tifffile.PHOTOMETRIC
    if page.photometric == kinds.YCBCR:
        together = page.samplesperpixel == 3 and page.planarconfig == 1
        return page.compression in JPEG and together
    return page.photometric in (kinds.RGB, kinds.MINISBLACK, kinds.MINISWHITE)


def _over_glass(pixels: UInt8Array, fourth: int) -> UInt8Array:
    """Return colours as they look over glass; a fourth channel that is no opacity is dropped."""
    colours = pixels[..., :3]
    if not fourth:
        return colours
    opacity = pixels[..., 3:].astype(np.uint16)
    seen = colours if fourth == MULTIPLIED else (colours * opacity + 127) // 255
    glass = (GLASS * (255 - opacity) + 127) // 255
    return (seen + glass).clip(0, 255).astype(np.uint8)  # beyond 255 where they were not multiplied


def segments_of(page: Any) -> tuple[int, int, int]:
    """Return how many tiles or strips lie side by side, and height and width of one.

    Raises:
        OSError: A side is 0, of the image or of a piece.
    """
    width, height = page.imagewidth, page.imagelength
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    if not all((width, height, *tile)):
        raise OSError(f"it has {width}x{height} px in pieces of {tile[1]}x{tile[0]}")
    if page.is_tiled:
        return math.ceil(width / tile[1]), *tile
    return 1, min(tile[0], height), width


def decode_segment(page: Any, index: int, handle: Any) -> NDArray[Any] | None:
    """Return one tile or strip, (H, W, S); None where the file has none.

    Raises:
        OSError: It is damaged, or the file ends within it or before it says where it lies.
    """
    if index >= min(len(page.dataoffsets), len(page.databytecounts)):
        raise OSError(f"the file does not say where piece {index} lies")
    count = page.databytecounts[index]
    if not count:
        return None
    with handle.lock:
        handle.seek(page.dataoffsets[index])
        data = handle.read(count)
    if len(data) < count:
        raise OSError(f"the file ends within piece {index}")
    tables = {}
    if page.compression in JPEG:
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    try:
        decoded = page.decode(data, index, **tables)[0]
    except Exception as error:  # codecs raise errors of their own classes
        raise OSError(f"piece {index} cannot be decoded: {error}") from error
    return None if decoded is None else np.asarray(decoded[0])


def _ome_scale(xml: str) -> tuple[float, float] | None:
    """Return the physical size of a pixel of the first image of OME-XML in µm, if it says it."""
    try:
        return _physical_size(ET.fromstring(xml))
    except (ET.ParseError, ValueError):
        return None  # damaged, which says no more than nothing


def _physical_size(root: ET.Element) -> tuple[float, float] | None:
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            sizes = []
            for axis in "XY":
                unit = OME_UM.get(element.get(f"PhysicalSize{axis}Unit", "µm"), 0.0)
                sizes.append(float(element.get(f"PhysicalSize{axis}", "0")) * unit)
            return (sizes[0], sizes[1]) if all(sizes) else None
    return None
