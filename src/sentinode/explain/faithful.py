"""Whether a map tells what the network does: take away what it points to, and look again."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.special import expit

from sentinode.explain.methods import Explainer, removed
from sentinode.metrics import FloatArray, centre_square, curve_area
from sentinode.types import UInt8Array

__all__ = ["insertion_deletion", "removal"]

STEPS = 8
CENTRE = 32


def removal(explainer: Explainer, images: UInt8Array) -> dict[str, FloatArray]:
    """Return how much the logit falls when a part of the patch takes the patch's mean colour.

    Args:
        explainer: Gives the logit of its direction; its method does not matter.
        images: uint8 (N, H, W, 3), at least 64 px a side.

    Returns:
        float64 (N,) each: ``occlude_centre``, the middle 32x32 px; ``occlude_corner``, as large a
        square in a corner, the mean of the four; ``occlude_rim``, all but the middle.
    """
    side = images.shape[1]
    whole, nothing = explainer.logits(images), removed(images, "mean")

    def fall(mask: np.ndarray) -> FloatArray:
        return whole - explainer.logits(np.where(mask[..., None], nothing, images))

    centre = centre_square(side, CENTRE)
    corner = np.zeros((side, side), np.bool_)
    corner[:CENTRE, :CENTRE] = True
    return {
        "occlude_centre": fall(centre),
        "occlude_corner": np.mean([fall(np.rot90(corner, k)) for k in range(4)], 0),
        "occlude_rim": fall(~centre),
    }


def insertion_deletion(
    explainer: Explainer, images: UInt8Array, maps: FloatArray, seed: int = 42
) -> dict[str, FloatArray]:
    """Return how much better than chance a map orders the pixels (Petsiuk et al., 2018).

    ``deletion``: pixels take the patch's mean colour, those of the highest values first; the area
    under the probability is small where the map is right. ``insertion``: pixels of the patch come
    back into its blurred picture; the area is large. Both are given as the gain over an order by
    smooth noise, since a network falls for any disturbance of the picture.

    Args:
        explainer: Gives the logit of its direction.
        images: uint8 (N, H, W, 3).
        maps: float64 (N, H, W).
        seed: Of the noise.

    Returns:
        float64 (N,) each, positive where the map is better than noise.
    """
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(maps.shape), (0, 6, 6))
    mean, blurred = removed(images, "mean"), removed(images, "blur")
    by_map = _areas(explainer, images, maps, mean, blurred)
    by_noise = _areas(explainer, images, noise, mean, blurred)
    return {
        "deletion_gain": by_noise[0] - by_map[0],
        "insertion_gain": by_map[1] - by_noise[1],
    }


def _areas(
    explainer: Explainer,
    images: UInt8Array,
    order: FloatArray,
    mean: UInt8Array,
    blurred: UInt8Array,
) -> tuple[FloatArray, FloatArray]:
    n = len(images)
    # ranks from 0 for the highest value; equal values in the order of the pixels
    ranks = np.argsort(np.argsort(-order.reshape(n, -1), 1, kind="stable"), 1)
    share = (ranks / ranks.shape[1]).reshape(order.shape)[..., None]
    deleted, inserted = [], []
    for step in range(STEPS + 1):
        first = share < step / STEPS
        deleted.append(expit(explainer.logits(np.where(first, mean, images))))
        inserted.append(expit(explainer.logits(np.where(first, images, blurred))))
    return curve_area(np.stack(deleted, 1)), curve_area(np.stack(inserted, 1))
