"""The stain space: stain vectors of every slide, and the slides that lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.config import AuditConfig
from sentinode.core import Progress
from sentinode.explore.facts import StainRow, Stains
from sentinode.explore.pixels import copied, drawn
from sentinode.stain import estimate_pooled
from sentinode.tables import PackedSet

__all__ = ["Apart", "chromaticity", "lying_apart", "named_alike", "stains_of"]

METHOD: Literal["macenko"] = "macenko"
STAINS = ("haematoxylin", "eosin")
PATCHES_A_ROW = 32
PIXELS_A_ROW = 32 * 96 * 96
SLIDES_MOST = 400
GROUPS_MOST = 48
LEAST_TISSUE = 0.25
FEWEST = 5
"""Below this many estimates a median and its deviation say nothing."""
DEVIATIONS = 3.5
"""Of Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers."""
LEAST_ANGLE = 5.0
"""Degrees; random groups of 32 patches of many slides seldom lie further from their median."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

RULE = (
    f"A vector lies apart where its angle to the median vector is more than {DEVIATIONS} robust "
    f"standard deviations ({NORMAL_MAD} times the median absolute deviation) above the median "
    f"angle, and at least {LEAST_ANGLE:.0f}°. Which of two vectors is haematoxylin is told by the "
    "nearer medians."
)


@final
@dataclass(frozen=True)
class Apart:
    """Which vectors lie apart from the others.

    Attributes:
        medians: float64 (2, 3), of length 1; NaN with fewer than five estimates.
        angles: float64 (S, 2), degrees to the medians; NaN without an estimate.
        limits: float64 (2,), degrees; an angle above is outlying.
    """

    medians: NDArray[np.float64]
    angles: NDArray[np.float64]
    limits: NDArray[np.float64]

    @property
    def outlying(self) -> NDArray[np.bool_]:
        """Boolean (S, 2)."""
        beyond: NDArray[np.bool_] = self.angles > self.limits  # never true of NaN
        return beyond


def lying_apart(vectors: NDArray[np.float64]) -> Apart:
    """Find outlying stain vectors by :data:`RULE`.

    Args:
        vectors: float64 (S, 2, 3), rows haematoxylin and eosin, of length 1; NaN where unknown.
    """
    known = ~np.isnan(vectors).any(axis=(1, 2))
    if known.sum() < FEWEST:
        nothing = np.full((2, 3), np.nan)
        return Apart(nothing, np.full((len(vectors), 2), np.nan), np.full(2, np.nan))
    middle = np.median(vectors[known], axis=0)
    medians = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    cosines = np.einsum("skc,kc->sk", vectors, medians)
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    usual = np.median(angles[known], axis=0)
    deviation = NORMAL_MAD * np.median(np.abs(angles[known] - usual), axis=0)
    return Apart(medians, angles, np.maximum(usual + DEVIATIONS * deviation, LEAST_ANGLE))


def chromaticity(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where stain vectors lie in the plane of hue and saturation of optical density.

    The plane is that of van der Laak et al. (2000), Cytometry 39: 275-284: it does not depend on
    how thick a section is, and haematoxylin and eosin lie far from each other in it.

    Args:
        vectors: float64 (..., 3), optical density of R, G and B.

    Returns:
        float64 (..., 2).
    """
    mean = vectors.mean(axis=-1)
    red = vectors[..., 0] / mean - 1
    green_blue = (vectors[..., 1] - vectors[..., 2]) / (np.sqrt(3) * mean)
    return np.stack([red, green_blue], axis=-1)


def named_alike(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exchange the two vectors of a slide where they then lie nearer to the medians.

    An estimate tells haematoxylin from eosin by its colour alone, which fails on a few slides;
    left as it is, such a slide would seem to lie apart in both stains.

    Args:
        vectors: As of :func:`lying_apart`.
    """
    apart = lying_apart(vectors)
    as_they_are = np.einsum("skc,kc->s", vectors, apart.medians)
    exchanged = np.einsum("skc,kc->s", vectors[:, ::-1], apart.medians)
    return np.where((exchanged > as_they_are)[:, None, None], vectors[:, ::-1], vectors)


def stains_of(packed: PackedSet, limits: AuditConfig, seed: int) -> Stains:
    """Estimate the stain vectors of every slide, or of random groups where slides are unknown.

    Near-black and blurred patches are not taken: dirt and shadow, all of one colour, would turn
    the vectors of a whole slide.

    Args:
        packed: The set.
        limits: Where near-black and blurred begin.
        seed: Of the draw of patches.
    """
    frame = packed.manifest.frame
    tissue = frame["tissue"].to_numpy(np.float64, na_value=np.nan)
    blurred = frame["sharpness"].to_numpy(np.float64, na_value=np.nan) < limits.blur_sharpness
    black = frame["max"].to_numpy(np.float64, na_value=np.nan) < limits.near_black_max
    rows = np.flatnonzero(packed.manifest.usable & ~(tissue < LEAST_TISSUE) & ~blurred & ~black)
    most = max(1, min(PATCHES_A_ROW, PIXELS_A_ROW // packed.meta.size**2))
    by_slide = bool(frame["slide"].notna().any())
    groups = list(_by_slide(frame, rows, most, seed) if by_slide else _by_chance(rows, most, seed))
    kept = groups[:SLIDES_MOST]
    vectors = np.full((len(kept), 2, 3), np.nan)
    with Progress("estimate stains", len(kept), unit="groups") as progress:
        for place, (_, chosen) in enumerate(kept):
            vectors[place] = estimate_pooled(copied(packed, chosen), method=METHOD)
            progress.advance()
    vectors = named_alike(vectors)
    apart = lying_apart(vectors)
    told = not np.isnan(apart.limits).any()
    return Stains(
        by="slide" if by_slide else "random group",
        method=METHOD,
        rule=RULE,
        haematoxylin=_vector(apart.medians[0]),
        eosin=_vector(apart.medians[1]),
        limits=(float(apart.limits[0]), float(apart.limits[1])) if told else None,
        left=len(groups) - len(kept),
        rows=tuple(_row(*kept[s], vectors[s], apart, s) for s in range(len(kept))),
    )


def _by_slide(
    frame: pd.DataFrame, rows: NDArray[np.int64], most: int, seed: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    slides = frame["slide"].iloc[rows].dropna()
    sizes = slides.value_counts()
    members = slides.groupby(slides.astype(object)).indices
    places = slides.index.to_numpy(np.int64)
    for name in sorted(sizes.index.tolist(), key=lambda s: (-sizes[s], s)):
        yield str(name), drawn(places[members[name]], most, seed)


def _by_chance(
    rows: NDArray[np.int64], most: int, seed: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    order = np.random.default_rng(seed).permutation(rows)
    for number in range(min(GROUPS_MOST, max(1, len(rows) // most)) if len(rows) else 0):
        yield f"group {number + 1}", np.sort(order[number * most : (number + 1) * most])


def _row(
    name: str, chosen: NDArray[np.int64], vectors: NDArray[np.float64], apart: Apart, place: int
) -> StainRow:
    angles, beyond = apart.angles[place], apart.outlying[place]
    return StainRow(
        name=name,
        patches=len(chosen),
        haematoxylin=_vector(vectors[0]),
        eosin=_vector(vectors[1]),
        haematoxylin_angle=None if np.isnan(angles[0]) else float(angles[0]),
        eosin_angle=None if np.isnan(angles[1]) else float(angles[1]),
        outlying=tuple(stain for stain, out in zip(STAINS, beyond, strict=True) if out),
    )


def _vector(values: NDArray[np.float64]) -> tuple[float, float, float] | None:
    if np.isnan(values).any():
        return None
    red, green, blue = values.tolist()
    return red, green, blue
