"""A mask image as the truth of a slide: PNG or TIFF at any downsample, read tile by tile."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from sentinode.errors import InputError, MissingInputError
from sentinode.slides.annotation import Truth
from sentinode.slides.fill import Box
from sentinode.slides.picture import open_whole
from sentinode.slides.tiff import decode_segment, segments_of

__all__ = ["MASK_SUFFIXES", "MaskImage", "downsample_of"]

MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp"})
CACHE_BYTES = 64 << 20
SEVERAL = 1000  # whole numbers that fit: the mask is too small to tell


@final
class MaskImage(Truth):
    """Tumour where a mask image says so.

    Pixel (i, j) of level 0 has the value of the mask's pixel in which its centre lies.

    Args:
        path: One channel (or three alike) of whole numbers. TIFF is read tile by tile.
        size: Width and height of the slide's level 0.
        values: Those that mean tumour. Without them all but 0 do, and there may be one only.
        only_annotated: Nothing is known where the mask is 0, and outside of it.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is damaged, has colours, or another shape than the slide.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        values: Sequence[int] = (),
        only_annotated: bool = False,
    ) -> None:
        if not path.is_file():
            raise MissingInputError(f"no mask image {path}")
        self._path, self._values, self._only_annotated = path, frozenset(values), only_annotated
        self._seen: set[int] = set()
        self._file: _Tiff | _Whole = _open(path)
        try:
            self._scale = downsample_of(self._file.size, size, path)
        except InputError:
            self.close()
            raise
        self._slide = Box(0, 0, *size)

    def bounds(self) -> Box | None:
        """Return the whole slide: where tumour is shows only when it is read."""
        return self._slide

    def tumour(self, window: Box) -> NDArray[np.bool_]:
        """Tell where tumour is; see :meth:`Truth.tumour`. Outside the slide is none."""
        return self._flags(window, self._is_tumour)

    def unknown(self, window: Box) -> NDArray[np.bool_] | None:
        """Tell of which pixels nothing is known; see :meth:`Truth.unknown`."""
        return ~self._flags(window, lambda part: part != 0) if self._only_annotated else None

    def _flags(
        self, window: Box, of: Callable[[NDArray[Any]], NDArray[np.bool_]]
    ) -> NDArray[np.bool_]:
        """Return what ``of`` says of the mask's values at the window's pixels; outside not so."""
        columns = self._places(window.x, window.width, axis=0)
        rows = self._places(window.y, window.height, axis=1)
        inside = np.zeros((window.height, window.width), bool)
        some_x, some_y = columns[columns >= 0], rows[rows >= 0]
        if not len(some_x) or not len(some_y):
            return inside
        x, y = int(some_x[0]), int(some_y[0])
        part = self._file.read(x, y, int(some_x[-1]) + 1 - x, int(some_y[-1]) + 1 - y)
        flags = of(part)
        inside[np.ix_(rows >= 0, columns >= 0)] = flags[np.ix_(some_y - y, some_x - x)]
        return inside

    def _places(self, start: int, length: int, axis: int) -> NDArray[np.int64]:
        """Return the mask's pixel in which the centre of each of level 0 lies, -1 outside."""
        at = np.floor((np.arange(start, start + length) + 0.5) / self._scale[axis])
        inside = (at >= 0) & (at < self._file.size[axis])
        return np.where(inside, at, -1).astype(np.int64)

    def _is_tumour(self, part: NDArray[Any]) -> NDArray[np.bool_]:
        self._seen.update(int(v) for v in np.unique(part))
        others = sorted(self._seen - {0})
        some = ", ".join(map(str, others[:6]))
        if self._values:
            strange = others and self._seen.isdisjoint(self._values)
            said = (
                "holds where it was read none of the values that mean tumour, but "
                f"{some}: counts as normal"
            )
            self.notices = (said,) if strange else ()
            return np.isin(part, list(self._values))
        if len(others) > 1:
            raise InputError(
                f"{self._path} has several values besides 0 ({some}); say which of them mean "
                "tumour, as in --mask-values 2 or --mask-values 128-255"
            )
        flags: NDArray[np.bool_] = part != 0
        return flags

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def downsample_of(mask: tuple[int, int], slide: tuple[int, int], path: Path) -> tuple[float, float]:
    """Return by how much a mask is coarser than level 0, in x and y.

    Where the sides were rounded, up or down, it is the power of two between, as of a level of a
    pyramid, or the only whole number; else each side's own ratio.

    Args:
        mask: Width and height in px.
        slide: Those of level 0.
        path: For the message.

    Raises:
        InputError: No downsample fits both sides to within a pixel of the mask.
    """
    low = max(s / (m + 1) for m, s in zip(mask, slide, strict=True))
    high = min(s / (m - 1) if m > 1 else math.inf for m, s in zip(mask, slide, strict=True))
    ratios = slide[0] / mask[0], slide[1] / mask[1]
    if low >= high:
        raise InputError(
            f"{path} is {mask[0]}x{mask[1]} px, the slide {slide[0]}x{slide[1]}: the sides differ "
            f"by {ratios[0]:.3f} and {ratios[1]:.3f}, expected one downsample; is it of another "
            "slide?"
        )
    if ratios[0] == ratios[1] == round(ratios[0]):
        return ratios
    between = range(math.floor(low) + 1, math.ceil(min(high, low + SEVERAL)))
    level = [n for n in between if n.bit_count() == 1]
    one = level or list(between)
    return (float(one[0]),) * 2 if len(one) == 1 else ratios


def _open(path: Path) -> _Tiff | _Whole:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _Tiff(path)
        return _Whole(path)
    except (
        tifffile.TiffFileError,
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        IndexError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as a mask image: {error}") from error


class _Whole:
    """An image that is decoded at once."""

    def __init__(self, path: Path) -> None:
        with open_whole(path) as image:
            self._pixels = _one_channel(np.asarray(image), path)
        self.size = self._pixels.shape[1], self._pixels.shape[0]

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        return self._pixels[y : y + height, x : x + width]

    def close(self) -> None:
        """Nothing is open."""


class _Tiff:
    """The first page of a TIFF, of which tiles or strips are decoded when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, tifffile.TiffFile(path)
        try:
            page: Any = self._file.pages[0]
            if page.dtype is None or page.dtype.kind not in "bui":
                raise InputError(f"{path} holds {page.dtype}, expected whole numbers")
            self._across, self._rows, self._columns = segments_of(page)
        except (InputError, IndexError, OSError):
            self.close()
            raise
        self._page = page
        self.size = page.imagewidth, page.imagelength
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        out = np.zeros((height, width), self._page.dtype)
        for row in range(y // self._rows, math.ceil((y + height) / self._rows)):
            for column in range(x // self._columns, math.ceil((x + width) / self._columns)):
                segment = self._segment(row * self._across + column)
                top, left = row * self._rows, column * self._columns
                a, b = max(y, top), min(y + height, top + segment.shape[0])
                c, d = max(x, left), min(x + width, left + segment.shape[1])
                if a < b and c < d:
                    out[a - y : b - y, c - x : d - x] = segment[
                        a - top : b - top, c - left : d - left
                    ]
        return out

    def close(self) -> None:
        self._file.close()

    def _segment(self, index: int) -> NDArray[Any]:
        """Return one decoded tile or strip; one that the file lacks is 0."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        try:
            found = decode_segment(self._page, index, self._file.filehandle)
        except OSError as error:
            raise InputError(f"{self._path} is damaged or cut short: {error}") from error
        segment = np.zeros((1, 1), self._page.dtype)
        if found is not None:
            segment = _one_channel(found, self._path)
        self._cache[index] = segment
        self._bytes += segment.nbytes
        while self._bytes > CACHE_BYTES and len(self._cache) > 1:
            self._bytes -= self._cache.popitem(last=False)[1].nbytes
        return segment


def _one_channel(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    if pixels.ndim == 2:
        return pixels
    first: NDArray[Any] = pixels[..., 0]
    if (pixels[..., 1:3] != first[..., None]).any():
        raise InputError(f"{path} has colours, expected a mask of one channel")
    return first
