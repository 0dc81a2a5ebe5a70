"""Scores of attribution maps: where they lie, how even they are, how well they meet a mask.

A map is float (H, W), positive where a pixel speaks for what is explained. Only what is positive
counts. Everything here takes N maps at once and returns float64 (N,), NaN where a score is
undefined, as for a map without anything positive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sentinode.errors import InputError
from sentinode.metrics.arrays import BoolArray, FloatArray, IntArray, ratio
from sentinode.metrics.intervals import Spread, spread
from sentinode.types import UInt8Array

__all__ = [
    "area_matched_iou",
    "border_frame",
    "centre_square",
    "curve_area",
    "effective_area",
    "heterogeneity",
    "mean_interval",
    "pixel_auc",
    "pointing_game",
    "positive_share",
    "rank_correlation",
]

Maps = NDArray[np.floating]


def centre_square(side: int, inner: int = 32) -> BoolArray:
    """Return bool (side, side), true in the middle square of ``inner`` px.

    Raises:
        InputError: The patch is smaller than the square, or cannot have it in its middle.
    """
    if inner > side:
        raise InputError(f"a patch of {side} px has no centre of {inner} px")
    mask = np.zeros((side, side), np.bool_)
    low = (side - inner) // 2
    mask[low : low + inner, low : low + inner] = True
    return mask


def border_frame(side: int, width: int = 8) -> BoolArray:
    """Return bool (side, side), true within ``width`` px of an edge."""
    mask = np.ones((side, side), np.bool_)
    mask[width : side - width, width : side - width] = False
    return mask


def positive_share(maps: Maps, masks: BoolArray) -> FloatArray:
    """Return which share of the positive attribution lies inside a mask.

    Args:
        maps: float (N, H, W).
        masks: bool (H, W) for all, or (N, H, W).
    """
    positive = _positive(maps)
    return ratio((positive * masks).sum((1, 2)), positive.sum((1, 2)))


def effective_area(maps: Maps) -> FloatArray:
    """Return over which share of the patch the positive attribution spreads, in 0..1.

    The exponential of the Shannon entropy of the attribution, over the number of pixels: 1 where
    all pixels have the same, k / (H W) where k pixels share all of it evenly.
    """
    positive = _positive(maps).reshape(len(maps), -1)
    total = positive.sum(1)
    share = positive / np.where(total > 0, total, 1.0)[:, None]
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    return np.where(total > 0, np.exp(entropy) / share.shape[1], np.nan)


def pointing_game(maps: Maps, masks: BoolArray) -> FloatArray:
    """Return whether the largest value lies in the mask (Zhang et al., 2018).

    Where several pixels share the largest value, the share of them that lies in the mask.
    """
    flat, inside = _flat(maps, masks)
    top = flat == flat.max(1, keepdims=True)
    hit = (top & inside).sum(1) / top.sum(1)
    return np.where((flat.max(1) > 0) & inside.any(1), hit, np.nan)


def area_matched_iou(maps: Maps, masks: BoolArray) -> FloatArray:
    """Return intersection over union of the mask and as many of the map's highest pixels.

    No threshold has to be chosen: as many pixels are taken as the mask has. Pixels that share
    the value at the limit count in part. By chance it is about ``a / (2 - a)`` for a mask that
    covers the share ``a``.
    """
    flat, inside = _flat(maps, masks)
    scores = np.full(len(flat), np.nan)
    for i, (values, truth) in enumerate(zip(flat, inside, strict=True)):
        wanted = int(truth.sum())
        if not wanted or wanted == len(truth):
            continue
        limit = np.partition(values, -wanted)[-wanted]
        above, tied = values > limit, values == limit
        part = (wanted - above.sum()) / tied.sum()
        both = (above & truth).sum() + part * (tied & truth).sum()
        scores[i] = both / (2 * wanted - both)
    return scores


def pixel_auc(maps: Maps, masks: BoolArray) -> FloatArray:
    """Return the ROC AUC of a map's values for the mask, pixel by pixel (Mann and Whitney, 1947).

    Ties count half. Negative values keep their order.
    """
    flat, inside = _flat(maps, masks)
    scores = np.full(len(flat), np.nan)
    for i, (values, truth) in enumerate(zip(flat, inside, strict=True)):
        positives = int(truth.sum())
        negatives = len(truth) - positives
        if positives and negatives:
            ranks = rankdata(values)[truth].sum()
            scores[i] = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return scores


def rank_correlation(one: Maps, other: Maps) -> FloatArray:
    """Return Spearman's rank correlation of two maps each, NaN where one of them is flat."""
    first = rankdata(one.reshape(len(one), -1), axis=1)
    second = rankdata(other.reshape(len(other), -1), axis=1)
    first -= first.mean(1, keepdims=True)
    second -= second.mean(1, keepdims=True)
    below = np.sqrt(np.square(first).sum(1) * np.square(second).sum(1))
    return ratio((first * second).sum(1), below)


def curve_area(values: FloatArray) -> FloatArray:
    """Return the mean height of curves over equal steps, by the trapezoid rule.

    Args:
        values: float64 (N, K), K at least 2: the curve at 0, 1 / (K - 1), ..., 1.
    """
    return np.asarray((values[:, 1:] + values[:, :-1]).mean(1) / 2, np.float64)


def heterogeneity(images: UInt8Array, fields: int = 6) -> FloatArray:
    """Return how much the parts of a patch differ: the smaller, the more homogeneous.

    The optical density ``-ln(v / 255)``, summed over the channels, is averaged in each of
    ``fields`` x ``fields`` squares; returned is the standard deviation of these means.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        fields: Squares a side; what does not fill a square is dropped at the right and below.
    """
    density = -np.log(np.maximum(images, 1) / 255.0).sum(3)
    n, height, width = density.shape
    tall, wide = height // fields, width // fields
    cut = density[:, : tall * fields, : wide * fields]
    means = cut.reshape(n, fields, tall, fields, wide).mean((2, 4))
    return np.asarray(means.std((1, 2)), np.float64)


def mean_interval(
    values: FloatArray,
    units: IntArray,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 42,
) -> tuple[float, Spread] | None:
    """Return a mean over patches and its percentile interval by bootstrap over units.

    Args:
        values: float64 (N,); NaN is left out.
        units: int64 (N,), the region or slide of each patch, or the patch itself.
        resamples: Draws of as many units as there are, with replacement.
        confidence: Coverage.
        seed: Of the draws.

    Returns:
        The mean and its interval, None where no value is defined. One unit alone does not tell
        how far others lie: its interval is NaN.
    """
    defined = ~np.isnan(values)
    if not defined.any():
        return None
    _, codes = np.unique(units[defined], return_inverse=True)
    mean = float(values[defined].mean())
    sums = np.bincount(codes, values[defined])
    if len(sums) < 2:
        return mean, Spread(np.nan, np.nan, 0.0)
    counts = np.bincount(codes).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
    interval = spread(sums[drawn].sum(1) / counts[drawn].sum(1), confidence)
    assert interval is not None  # every draw holds at least one value
    return mean, interval


def _positive(maps: Maps) -> FloatArray:
    return np.maximum(maps, 0).astype(np.float64)


def _flat(maps: Maps, masks: BoolArray) -> tuple[FloatArray, BoolArray]:
    if maps.shape != masks.shape:
        raise InputError(f"expected a mask for each map, got maps {maps.shape}, {masks.shape}")
    n = len(maps)
    return maps.reshape(n, -1).astype(np.float64), masks.reshape(n, -1)
