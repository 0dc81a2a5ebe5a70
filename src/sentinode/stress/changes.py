"""What a scanner, a laboratory or a file format does to a patch, as functions of patches.

Every function takes uint8 (N, H, W, 3), RGB, and returns the same; at the strength that its
docstring calls neutral it returns what it was given, to the byte.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from sentinode.stain import StainTarget, estimate, normalise, optical_density, to_rgb
from sentinode.stain.estimates import unmix
from sentinode.types import UInt8Array

__all__ = [
    "blurred",
    "brighter",
    "gamma",
    "jpeg",
    "noisy",
    "restained",
    "stronger",
    "turned",
    "white_balanced",
]

WHITE = 256.0
"""Grey level of unhindered light for which optical density is exact in both directions."""


def brighter(images: UInt8Array, factor: float) -> UInt8Array:
    """Multiply every intensity: a brighter or darker lamp. Neutral at 1."""
    return _rounded(images.astype(np.float32) * factor)


def gamma(images: UInt8Array, exponent: float) -> UInt8Array:
    """Raise every intensity, as a share of 255, to a power: another tone curve. Neutral at 1."""
    table = np.round(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return table[images]


def white_balanced(images: UInt8Array, warmth: float) -> UInt8Array:
    """Multiply red by ``1 + warmth`` and blue by ``1 - warmth``. Neutral at 0."""
    gains = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    return _rounded(images.astype(np.float32) * gains)


def blurred(images: UInt8Array, sigma: float) -> UInt8Array:
    """Blur by a Gaussian of ``sigma`` px: out of focus. Neutral at 0."""
    return _rounded(
        gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest")
    )


def noisy(images: UInt8Array, sigma: float, seed: int, rows: NDArray[np.int64]) -> UInt8Array:
    """Add normal noise of ``sigma`` grey levels to every value. Neutral at 0.

    Args:
        images: uint8 (N, H, W, 3).
        sigma: Standard deviation in grey levels.
        seed: Of the noise.
        rows: int64 (N,): a number for each patch, so that its noise is its own in any batch.
    """
    noise = np.stack(
        [np.random.default_rng((seed, int(r))).standard_normal(images.shape[1:]) for r in rows]
    )
    return _rounded(images + sigma * noise)


def jpeg(images: UInt8Array, quality: float) -> UInt8Array:
    """Write and read as JPEG with colour at half the resolution (4:2:0), as slides mostly are."""
    read = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="JPEG", quality=int(quality), subsampling=2)
        read.append(np.asarray(Image.open(buffer).convert("RGB")))
    return np.stack(read)


def turned(images: UInt8Array, orientation: float) -> UInt8Array:
    """Turn by ``orientation % 4`` quarters; from 4 on mirrored first. Neutral at 0."""
    mirrored = images[:, :, ::-1] if orientation >= 4 else images
    return np.ascontiguousarray(np.rot90(mirrored, int(orientation) % 4, axes=(1, 2)))


def stronger(images: UInt8Array, factor: float, stain: int) -> UInt8Array:
    """Multiply one stain's concentration by a factor. Neutral at 1.

    Args:
        images: uint8 (N, H, W, 3). A patch whose stains cannot be told apart stays as it is.
        factor: What the concentration is multiplied with.
        stain: 0 for haematoxylin, 1 for eosin.
    """
    vectors = estimate(images)
    known = np.isfinite(vectors).all(axis=(1, 2))
    if not known.any():
        return images
    density = optical_density(images[known], WHITE)
    flat = density.reshape(len(density), -1, 3).transpose(0, 2, 1)
    amount = unmix(flat, vectors[known])[:, stain]
    more = (factor - 1) * amount[..., None] * vectors[known, None, stain]
    changed = images.copy()
    changed[known] = _rgb(density + more.reshape(density.shape))
    return changed


def restained(images: UInt8Array, amount: float, target: StainTarget) -> UInt8Array:
    """Move each patch to the look of a target: neutral at 0, there at 1.

    The optical density lies on the straight line from the patch to what Macenko's normalisation
    makes of it; above 1 the line goes on beyond the target.

    Args:
        images: uint8 (N, H, W, 3). A patch whose stains cannot be told apart stays as it is.
        amount: Share of the way.
        target: The look.
    """
    start = optical_density(images, WHITE)
    end = optical_density(normalise(images, target), WHITE)
    return _rgb(start + amount * (end - start))


def _rgb(density: NDArray[np.float32]) -> UInt8Array:
    images: UInt8Array = to_rgb(density, WHITE)
    return images


def _rounded(values: NDArray[np.floating]) -> UInt8Array:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
