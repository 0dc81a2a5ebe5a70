"""Patches grouped by the hue of their stains, since laboratories differ in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from sentinode.core import Progress
from sentinode.metrics import FloatArray, IntArray
from sentinode.stain import StainTarget, estimate, estimate_pooled, optical_density, to_rgb
from sentinode.stain.density import planes
from sentinode.stain.estimates import strongest, unmix
from sentinode.tables import PackedSet
from sentinode.types import UInt8Array

__all__ = ["StainClusters", "cluster_stains", "stain_colours"]

PATCHES_A_SLIDE = 16
PIXELS_A_SLIDE = 40_000
PATCHES_MOST = 20_000
BLOCK = 512
FEWEST_A_CLUSTER = 5
MOST_DEVIATIONS = 8.0


@final
@dataclass(frozen=True)
class StainClusters:
    """Rows of a set in clusters of like stain.

    Attributes:
        names: string (R,), the cluster of each row, null where its stain was not measured.
        looks: Cluster -> medians of its stain vectors and of their strength.
        said: What was measured, in a sentence.
    """

    names: pd.Series[str]
    looks: dict[str, StainTarget]
    said: str


def cluster_stains(
    packed: PackedSet, rows: IntArray, clusters: int, seed: int
) -> StainClusters | None:
    """Group rows of a set by stain: slides where they are known, else single patches.

    Stain vectors are Macenko's. Groups are those of k-means over where haematoxylin and eosin lie
    in the plane of hue and saturation of optical density (van der Laak et al., 2000), which does
    not depend on how thick a section is or how many nuclei a patch has.

    Args:
        packed: The set.
        rows: int64 (R,), rows of it.
        clusters: How many, 2 at least.
        seed: Of the patches that stand for a slide, and of k-means.

    Returns:
        None where too few slides or patches show stain to tell clusters apart.
    """
    slides = packed.manifest.frame["slide"].iloc[rows]
    by_slide = bool(slides.notna().all())
    codes, units = _units(slides) if by_slide else _drawn(len(rows), seed)
    measured = [rows[np.flatnonzero(codes == u)] for u in range(units)] if by_slide else []
    if by_slide:
        vectors, strengths = _of_slides(packed, measured, seed)
    else:
        vectors, strengths = _of_patches(packed, rows[codes >= 0])
    known = np.isfinite(vectors).all(axis=(1, 2)) & (strengths > 0).all(axis=1)
    if known.sum() < FEWEST_A_CLUSTER * clusters:
        return None
    vectors[known], strengths[known] = _named_alike(vectors[known], strengths[known])
    hues = _hues(vectors[known])
    if len(np.unique(hues, axis=0)) < FEWEST_A_CLUSTER * clusters:
        return None
    found = np.full(len(vectors), -1)
    found[known] = KMeans(clusters, n_init=10, random_state=seed).fit_predict(hues)
    at = np.where(codes >= 0, found[codes], -1)
    order = np.argsort([-np.count_nonzero(at == c) for c in range(clusters)], kind="stable")
    names = pd.Series(pd.NA, index=range(len(rows)), dtype="string")
    looks = {}
    for number, cluster in enumerate(order, start=1):
        names[at == cluster] = f"stain {number}"
        looks[f"stain {number}"] = _look(vectors[found == cluster], strengths[found == cluster])
    return StainClusters(names, looks, _said(by_slide, int(known.sum()), len(rows), units))


def stain_colours(look: StainTarget) -> dict[str, str]:
    """Return the colours of both stains at half their strength, as ``#rrggbb``."""
    density = np.array(look.vectors) * np.array(look.strongest)[:, None] / 2
    red_green_blue = to_rgb(density.astype(np.float32), look.background)
    names = ("haematoxylin", "eosin")
    return {n: "#" + bytes(c).hex() for n, c in zip(names, red_green_blue, strict=True)}


def _units(slides: pd.Series[str]) -> tuple[IntArray, int]:
    codes, names = pd.factorize(slides)
    return np.asarray(codes, np.int64), len(names)


def _drawn(count: int, seed: int) -> tuple[IntArray, int]:
    """Return a code of its own for each patch drawn, -1 for the others."""
    chosen = np.arange(count)
    if count > PATCHES_MOST:
        chosen = np.sort(np.random.default_rng(seed).permutation(count)[:PATCHES_MOST])
    codes = np.full(count, -1, np.int64)
    codes[chosen] = np.arange(len(chosen))
    return codes, len(chosen)


def _of_slides(
    packed: PackedSet, measured: list[IntArray], seed: int
) -> tuple[FloatArray, FloatArray]:
    vectors, strengths = np.full((len(measured), 2, 3), np.nan), np.full((len(measured), 2), np.nan)
    with Progress("stain", len(measured), unit="slides") as progress:
        for slide, rows in enumerate(measured):
            some = np.random.default_rng((seed, slide)).permutation(rows)[:PATCHES_A_SLIDE]
            images = _thinned(np.asarray(packed.images[np.sort(some)]))
            vectors[slide] = estimate_pooled(images)
            pooled = images.reshape(1, -1, images.shape[2], 3)
            strengths[slide] = _strengths(pooled, vectors[slide][None])[0]
            progress.advance()
    return vectors, strengths


def _thinned(images: UInt8Array) -> UInt8Array:
    """Return every k-th pixel of either axis, so that a slide has at most about 40,000."""
    step = max(1, round(math.sqrt(images[..., 0].size / PIXELS_A_SLIDE)))
    return np.ascontiguousarray(images[:, ::step, ::step])


def _of_patches(packed: PackedSet, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    vectors, strengths = np.empty((len(rows), 2, 3)), np.empty((len(rows), 2))
    with Progress("stain", len(rows)) as progress:
        for start in range(0, len(rows), BLOCK):
            images = np.asarray(packed.images[rows[start : start + BLOCK]])
            part = slice(start, start + len(images))
            vectors[part] = estimate(images)
            strengths[part] = _strengths(images, vectors[part])
            progress.advance(len(images))
    return vectors, strengths


def _strengths(images: UInt8Array, vectors: FloatArray) -> FloatArray:
    """Return the 99th percentile of each stain's concentration, (N, 2); NaN without vectors."""
    shown = np.isfinite(vectors).all(axis=(1, 2))
    found = np.full((len(images), 2), np.nan)
    if shown.any():
        density = optical_density(planes(images[shown]))
        found[shown] = strongest(unmix(density, vectors[shown].astype(np.float32)))
    return found


def _named_alike(vectors: FloatArray, strengths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Exchange the two stains of a unit where they then lie nearer to the medians."""
    middle = np.median(vectors, axis=0)
    nearer = np.einsum("nkc,kc->n", vectors - vectors[:, ::-1], middle) < 0
    return (
        np.where(nearer[:, None, None], vectors[:, ::-1], vectors),
        np.where(nearer[:, None], strengths[:, ::-1], strengths),
    )


def _hues(vectors: FloatArray) -> FloatArray:
    """Return red and green-blue of both stains, (N, 4), each scaled by its usual deviation."""
    mean = vectors.mean(axis=-1)
    red = vectors[..., 0] / mean - 1
    green_blue = (vectors[..., 1] - vectors[..., 2]) / (np.sqrt(3) * mean)
    hues = np.concatenate([red, green_blue], axis=1)
    middle = np.median(hues, axis=0)
    deviation = np.median(np.abs(hues - middle), axis=0)
    # an estimate far away is a failed one, and is not to be a cluster by itself
    scaled: FloatArray = (hues - middle) / np.maximum(deviation, 1e-6)
    return scaled.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)


def _look(vectors: FloatArray, strengths: FloatArray) -> StainTarget:
    middle = np.median(vectors, axis=0)
    first, second = (middle / np.linalg.norm(middle, axis=1, keepdims=True)).tolist()
    haematoxylin, eosin = np.median(strengths, axis=0).tolist()
    return StainTarget(
        method="macenko", vectors=(tuple(first), tuple(second)), strongest=(haematoxylin, eosin)
    )


def _said(by_slide: bool, known: int, rows: int, units: int) -> str:
    if by_slide:
        return (
            f"Stain vectors by Macenko's method of {known:,} of {units:,} slides, grouped by hue."
        )
    return (
        f"Stain vectors by Macenko's method of {known:,} of {rows:,} patches, each measured alone "
        "since their slides are not known, grouped by hue; what tissue a patch shows moves them "
        "too."
    )
