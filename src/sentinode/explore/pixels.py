"""What only the pixels tell, from a seeded sample read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from sentinode.core import Progress
from sentinode.explore.facts import KINDS, Histogram, MeanPatch
from sentinode.stain import optical_density
from sentinode.tables import IMAGES_FILE, PackedSet
from sentinode.types import UInt8Array

__all__ = ["CENTRE", "LUMA", "Pixels", "copied", "drawn", "read_pixels", "sample_size"]

CENTRE = 32
"""Side in px of the square that decides a label."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of ITU-R BT.601."""
SAMPLE = 20_000
BLOCK = 256
USUAL_AREA = 96 * 96
CHANNELS = ("red", "green", "blue")

DENSITY_LEAST = -0.1
DENSITY_STEP = 0.05
DENSITY_BINS = 62
DENSITY = np.asarray(optical_density(np.arange(256, dtype=np.uint8)), np.float32)
"""Optical density of each value; negative for the few that are lighter than the background."""


@final
@dataclass(frozen=True)
class Pixels:
    """What the pixels of a sample tell.

    Attributes:
        rows: Rows of the sample, int64 (M,), sorted.
        kinds: Class of each, int64 (M,).
        contrast: Standard deviation of each patch's luma, float64 (M,), in 0..127.5.
        values: Pixels by class, channel and value, int64 (3, 3, 256).
        densities: Pixels by class and mean optical density, int64 (3, 62), bins of
            0.05 from -0.1 to 3.
        means: Mean patch of each class, float64 (3, H, W, 3), NaN without a patch.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    contrast: NDArray[np.float64]
    values: NDArray[np.int64]
    densities: NDArray[np.int64]
    means: NDArray[np.float64]

    def intensity_histogram(self) -> Histogram:
        """Return pixel values by channel and class."""
        counts = {
            f"{channel}, {kind}": tuple(self.values[k, c].tolist())
            for k, kind in enumerate(KINDS)
            for c, channel in enumerate(CHANNELS)
            if self.values[k].any()
        }
        return Histogram(edges=tuple(map(float, range(257))), counts=counts)

    def density_histogram(self) -> Histogram:
        """Return mean optical densities by class; the last bin holds what lies beyond it."""
        edges = (round(DENSITY_LEAST + DENSITY_STEP * i, 2) for i in range(DENSITY_BINS + 1))
        counts = {k: tuple(c.tolist()) for k, c in zip(KINDS, self.densities, strict=True)}
        return Histogram(edges=tuple(edges), counts={k: c for k, c in counts.items() if any(c)})

    def mean_patches(self) -> tuple[MeanPatch, ...]:
        """Return the luma of the mean patches, in their centre and around it."""
        return tuple(
            _mean_patch(kind, int((self.kinds == code).sum()), self.means[code])
            for code, kind in enumerate(KINDS)
            if (self.kinds == code).any()
        )


def _mean_patch(kind: str, patches: int, mean: NDArray[np.float64]) -> MeanPatch:
    luma = mean @ LUMA
    low = max(0, (len(luma) - CENTRE) // 2)
    inside = np.zeros(luma.shape, bool)
    inside[low : low + CENTRE, low : low + CENTRE] = True
    rim = None if inside.all() else float(luma[~inside].mean())
    return MeanPatch(kind=kind, patches=patches, centre=float(luma[inside].mean()), rim=rim)


def sample_size(side: int) -> int:
    """Return how many patches of a side in px are sampled: 20,000 of 96 px, fewer of larger."""
    return int(min(SAMPLE, max(1, SAMPLE * USUAL_AREA // side**2)))


def drawn(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Draw at most ``most`` of ``rows`` without repetition, and sort them."""
    if len(rows) <= most:
        return np.sort(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def copied(packed: PackedSet, rows: NDArray[np.int64]) -> UInt8Array:
    """Copy patches out of a set: uint8 (M, H, W, 3), RGB.

    They come by a mapping of their own that ends here: one that stays counts every page it ever
    touched as this process's memory.

    Args:
        packed: The set.
        rows: Which ones, int64 (M,), sorted; a block's worth.
    """
    images: UInt8Array = np.load(packed.folder / IMAGES_FILE, mmap_mode="r", allow_pickle=False)
    return np.asarray(images[rows])


def read_pixels(packed: PackedSet, rows: NDArray[np.int64], kinds: NDArray[np.int64]) -> Pixels:
    """Read patches once, block by block, in the order they lie on disk.

    Args:
        packed: The set.
        rows: Which ones, int64 (M,), sorted.
        kinds: Class of each of them, int64 (M,).
    """
    height = width = packed.meta.size
    values = np.zeros((3, 3, 256), np.int64)
    densities = np.zeros((3, DENSITY_BINS), np.int64)
    sums = np.zeros((3, height, width, 3), np.int64)
    contrast = np.zeros(len(rows))
    with Progress("read pixels", len(rows)) as progress:
        for part in _blocks(len(rows), height * width):
            block, codes = copied(packed, rows[part]), kinds[part]
            contrast[part] = _luma_deviation(block)
            for code in np.unique(codes).tolist():
                chosen = block[codes == code]
                planes = np.ascontiguousarray(chosen.reshape(-1, 3).T)
                values[code] += [np.bincount(plane, minlength=256) for plane in planes]
                densities[code] += _density_counts(planes)
                sums[code] += chosen.sum(0, dtype=np.int64)
            progress.advance(len(block))
    count = np.bincount(kinds, minlength=3)[:, None, None, None]
    means = np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)
    return Pixels(rows, kinds, contrast, values, densities, means)


def _blocks(count: int, area: int) -> Iterator[slice]:
    """Yield parts of a sample, of as many pixels as 256 patches of 96 px have."""
    step = max(1, min(BLOCK, BLOCK * USUAL_AREA // area))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _luma_deviation(block: UInt8Array) -> NDArray[np.float64]:
    luma = block.reshape(len(block), -1, 3) @ LUMA.astype(np.float32)
    deviation: NDArray[np.float64] = luma.std(axis=1, dtype=np.float64)
    return deviation


def _density_counts(planes: UInt8Array) -> NDArray[np.int64]:
    density = DENSITY[planes[0]] + DENSITY[planes[1]] + DENSITY[planes[2]]
    places = ((density / 3 - DENSITY_LEAST) / DENSITY_STEP).astype(np.int64)
    return np.bincount(np.minimum(places, DENSITY_BINS - 1), minlength=DENSITY_BINS)
