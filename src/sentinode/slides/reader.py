"""One slide: its size, its scale, and regions of it at any scale."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, final

import numpy as np
import tifffile
from PIL import Image

from sentinode.core import hash_file
from sentinode.errors import InputError, MissingInputError
from sentinode.slides.backend import Backend, blank
from sentinode.slides.picture import Picture
from sentinode.slides.tiff import TiffSlide
from sentinode.slides.vendors import GENERIC, VendorFile, vendor_of
from sentinode.types import Level0Px, Mpp, PatchPx, UInt8Array

__all__ = ["Level", "Slide"]

PLAUSIBLE_MPP = (0.05, 20.0)  # 72 dpi, which editors write into any file, would be 353 µm/px
SQUARE = 0.02  # by which a pixel's sides may differ
NOT_COARSER = 1.01  # a level this much coarser than asked still serves
DRIFT = 0.25  # px over a region, below which it is copied and not resampled
BLOCK = 4096  # px of a level at once, in x and y
HASHED_WHOLE = 1 << 30  # bytes of a file
SAMPLES, SAMPLE_BYTES = 64, 1 << 16  # of a larger one


@final
@dataclass(frozen=True)
class Level:
    """One level of a slide's pyramid.

    Attributes:
        width: In px of the level.
        height: In px of the level.
        downsample: By which it is coarser than level 0.
    """

    width: int
    height: int
    downsample: float


@final
class Slide:
    """An open slide; a context manager. Reading from several threads is safe.

    Args:
        path: What OpenSlide reads, OME-TIFF, TIFF, or an image. Of a slide of many files the one
            that OpenSlide is given: ``.mrxs``, or any of a DICOM series.
        mpp: µm/px of level 0, which counts where the file says none, or none that can be.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is no slide, damaged, or not 8-bit RGB.
    """

    def __init__(self, path: Path, mpp: Mpp | None = None) -> None:
        if not path.is_file():
            raise MissingInputError(f"no slide {path}: expected a file")
        if mpp is not None and not PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]:
            raise InputError(
                f"--mpp takes µm/px of the slide's finest level, as in 0.25, got {mpp:g}"
            )
        self.path = path
        self._given = mpp
        self._file = _open(path)
        self.vendor = self._file.vendor
        self.levels = tuple(
            Level(width, height, downsample)
            for (width, height), downsample in zip(
                self._file.sizes, self._file.downsamples, strict=True
            )
        )

    def __enter__(self) -> Self:
        """Give the slide."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def name(self) -> str:
        """The file's name without its suffixes, as in ``tumor_001``."""
        return self.path.name.removesuffix(self.path.suffix).removesuffix(".ome")

    @property
    def dimensions(self) -> tuple[Level0Px, Level0Px]:
        """Width and height of level 0."""
        return Level0Px(self.levels[0].width), Level0Px(self.levels[0].height)

    @cached_property
    def mpp(self) -> Mpp:
        """µm/px of level 0 as the file says, else as given; never guessed.

        Raises:
            InputError: The file does not say, or says what cannot be, and none was given.
        """
        problem = self._without_scale
        if problem is None and self._file.mpp is not None:
            return Mpp(sum(self._file.mpp) / 2)
        if self._given is not None:
            return self._given
        raise InputError(
            f"{self.path} {problem}; give the scale of its finest level with --mpp, as in "
            "--mpp 0.25"
        )

    @property
    def mpp_given(self) -> bool:
        """Whether :attr:`mpp` is the given one, because the file says none."""
        return self._given is not None and self._without_scale is not None

    @cached_property
    def _without_scale(self) -> str | None:
        """Why the file's own scale cannot be used; None where it can."""
        found = self._file.mpp
        if found is None:
            hint = f" ({self._file.hint})" if self._file.hint else ""
            return f"does not say its µm/px{hint}"
        x, y = found
        if not all(PLAUSIBLE_MPP[0] <= v <= PLAUSIBLE_MPP[1] for v in found):
            return f"says {x:.4g} µm/px, which no scan of cells has"
        if abs(x / y - 1) > SQUARE:
            return f"says {x:.4g} µm/px across and {y:.4g} down, expected square pixels"
        return None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file's size, its bytes, and OpenSlide's own hash.

        Of a file of more than 1 GiB it takes 64 pieces spread over it: to hash many gigabytes would
        take longer than to use them.
        """
        size = self.path.stat().st_size
        digest = hashlib.sha256(f"{size} {self._file.identity}".encode())
        if size <= HASHED_WHOLE:
            digest.update(hash_file(self.path).encode())
            return digest.hexdigest()
        with self.path.open("rb") as handle:
            for i in range(SAMPLES):
                handle.seek(max(0, size - SAMPLE_BYTES) * i // (SAMPLES - 1))
                digest.update(handle.read(SAMPLE_BYTES))
        return digest.hexdigest()

    def read(
        self, x0: Level0Px, y0: Level0Px, width: PatchPx, height: PatchPx, mpp: Mpp
    ) -> UInt8Array:
        """Read a region at a scale, from the coarsest level that is fine enough.

        Args:
            x0: Left side, in px of level 0; may lie outside.
            y0: Upper side.
            width: Of the result, in px of ``mpp``.
            height: Of the result.
            mpp: Scale of the result in µm/px.

        Returns:
            uint8 (height, width, 3), RGB; white outside the slide and where nothing was scanned.

        Raises:
            InputError: The file cannot be read there: it is damaged or cut short.
        """
        per_pixel = mpp / self.mpp
        level = max(
            (i for i, v in enumerate(self.levels) if v.downsample <= per_pixel * NOT_COARSER),
            key=lambda i: self.levels[i].downsample,
            default=0,
        )
        downsample = self.levels[level].downsample
        ratio = per_pixel / downsample
        side = max(1, int(BLOCK / ratio))
        if width <= side and height <= side:
            return self._block(level, x0 / downsample, y0 / downsample, width, height, ratio)
        region = blank(width, height)
        for top in range(0, height, side):
            for left in range(0, width, side):
                part = region[top : top + side, left : left + side]
                part[:] = self._block(
                    level,
                    x0 / downsample + left * ratio,
                    y0 / downsample + top * ratio,
                    part.shape[1],
                    part.shape[0],
                    ratio,
                )
        return region

    def thumbnail(self, longest: int) -> tuple[UInt8Array, Mpp]:
        """Return the whole slide at most ``longest`` px wide or high, and its µm/px."""
        width, height = self.dimensions
        scale = max(1.0, max(width, height) / longest)
        size = PatchPx(math.ceil(width / scale)), PatchPx(math.ceil(height / scale))
        mpp = Mpp(self.mpp * scale)
        return self.read(Level0Px(0), Level0Px(0), *size, mpp), mpp

    def _block(
        self, level: int, x: float, y: float, width: int, height: int, ratio: float
    ) -> UInt8Array:
        """Read from (x, y) of a level; ``ratio`` is px of the level per px of the result."""
        try:
            if abs(ratio - 1) * max(width, height) < DRIFT:
                return self._file.read(level, round(x), round(y), width, height)
            # what lies around the region takes part in its outermost pixels, so that regions read
            # side by side meet without a seam
            margin = math.ceil(3 * max(ratio, 1))
            left, top = math.floor(x) - margin, math.floor(y) - margin
            columns = math.ceil(x + width * ratio) + margin - left
            rows = math.ceil(y + height * ratio) + margin - top
            pixels = self._file.read(level, left, top, columns, rows)
        except (OSError, ValueError) as error:
            scale = self.levels[level].downsample
            raise InputError(
                f"{self.path} cannot be read at x {round(x * scale)}, y {round(y * scale)} of "
                f"level 0: {error}; the file is damaged or cut short"
            ) from error
        box = (x - left, y - top, x - left + width * ratio, y - top + height * ratio)
        kind = Image.Resampling.HAMMING if ratio > 1 else Image.Resampling.BICUBIC
        return np.asarray(Image.fromarray(pixels).resize((width, height), kind, box))


def _open(path: Path) -> Backend:
    vendor = vendor_of(path)
    if vendor is not None and not (vendor == GENERIC and _is_ome(path)):
        return VendorFile(path)
    try:
        with path.open("rb") as handle:
            start = handle.read(4)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return TiffSlide(path)
    return Picture(path)


def _is_ome(path: Path) -> bool:
    """Tell whether a TIFF is OME's, whose coarser levels OpenSlide does not find."""
    try:
        with tifffile.TiffFile(path) as file:
            return bool(file.is_ome)
    except (tifffile.TiffFileError, OSError, ValueError, struct.error):
        return False  # OpenSlide says what is wrong with it
